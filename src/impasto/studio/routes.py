"""The HTTP interface: the FastAPI routes, the page, and the API documentation."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Literal

import fastapi_offline
import segno
from fastapi import APIRouter, Body, Cookie, FastAPI, Query, Request, Response, UploadFile
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask

from impasto import __version__
from impasto.output.options import OutputOptions
from impasto.studio.form_schema import Form, make_form
from impasto.studio.http_errors import HANDLERS, HttpError, documented
from impasto.studio.schemas import (
    LookId,
    LookStatus,
    Order,
    PictureId,
    Plan,
    Purpose,
    StudioPicture,
    Work,
    WorkId,
)
from impasto.studio.security import MOST_UPLOAD_BYTES, Guard, Rules
from impasto.studio.service import StudioService
from impasto.studio.storage import clean_name
from impasto.studio.uploads import MOST_PIXELS, Uploads

_WEB = Path(__file__).parent / "web"
_SWAGGER = Path(fastapi_offline.__file__).parent / "static"
_CLIENT_COOKIE = "impasto_client"
_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "tiff": "image/tiff",
    "webp": "image/webp",
    "avif": "image/avif",
}
# The bits a sample of the files that every work has.
_KEPT_BITS = {"png": 8, "jpg": 8, "tiff": 16}
# A picture that is addressed by its hash never changes.
_CACHE_FOREVER = {"cache-control": "private, max-age=31536000, immutable"}
_NO_STORE = {"cache-control": "no-store"}

Client = Annotated[str | None, Cookie(alias=_CLIENT_COOKIE, include_in_schema=False)]


class PainterStatus(BaseModel):
    """The state of a painter."""

    state: str
    message: str


class Status(BaseModel):
    """The state of the studio."""

    version: str
    painters: list[PainterStatus]
    waiting: int = Field(description="Works that wait for a painter.")
    most_upload_bytes: int = MOST_UPLOAD_BYTES
    uploaded_bytes: int = Field(description="Size of all uploaded pictures.")
    upload_quota_bytes: int = Field(description="Maximum size of all uploaded pictures.")
    most_upload_pixels: int = MOST_PIXELS
    is_for_others: bool = Field(description="Whether a phone can open /api/phone's address.")


class Steering(BaseModel):
    """Settings to change while painting; the form marks them as steerable."""

    settings: dict[str, Any] = Field(min_length=1, max_length=64)


def make_app(make_service: Callable[[], StudioService], rules: Rules) -> FastAPI:
    """Make the application.

    Args:
        make_service: called when the event loop runs.
        rules: the rules of the guard.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = make_service()
        yield
        app.state.service.close()

    app = FastAPI(
        title="impasto studio",
        version=__version__,
        description="Order paintings, watch them happen, steer them, and fetch them.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        servers=[{"url": str(rules.public)}] if rules.public else None,
    )
    app.add_middleware(Guard, rules=rules)
    app.include_router(_api(rules))
    _serve_page(app)
    for kind, answer in HANDLERS.items():
        app.add_exception_handler(kind, answer)
    return app


def _api(rules: Rules) -> APIRouter:
    """Return the routes under /api."""
    api = APIRouter(prefix="/api")

    @api.get("/status", responses=documented())
    async def status(request: Request) -> Status:
        """Return the state of the studio."""
        service = _service(request)
        return Status(
            version=__version__,
            waiting=service.waiting,
            is_for_others=rules.is_for_others,
            uploaded_bytes=service.uploads.used_bytes,
            upload_quota_bytes=service.uploads.quota_bytes,
            painters=[
                PainterStatus(state=one.state, message=one.message) for one in service.painters
            ],
        )

    @api.get("/phone", response_class=Response, responses=_file("svg+xml"))
    async def phone() -> Response:
        """Return a QR code of the address that opens the studio on another machine, as SVG."""
        if not rules.is_for_others:
            raise HttpError(
                404, "expected a studio that others can open; start it with --host 0.0.0.0"
            )
        drawn = BytesIO()
        segno.make(rules.opened, micro=False).save(drawn, kind="svg", scale=8, light="white")
        return Response(drawn.getvalue(), media_type="image/svg+xml", headers=_NO_STORE)

    @api.get("/form", responses=documented())
    async def form() -> Form:
        """List all settings, with kind, bounds, default and description."""
        return make_form()

    @api.get("/events", response_class=StreamingResponse, responses=_stream())
    async def events(
        request: Request,
        work: Annotated[WorkId | None, Query(description="Events of this work only.")] = None,
        client: Client = None,
    ) -> Response:
        """Stream events, as server-sent events.

        ``work``: the new state of a work. ``preview``: the address of its current picture.
        ``look``: a first look is ready or failed. ``removed``: a work was deleted. ``painters``:
        the states of the painters.
        """
        return StreamingResponse(
            _events(_service(request), work, _client(request, client)),
            media_type="text/event-stream",
            headers=_NO_STORE,
        )

    _add_pictures(api)
    _add_works(api)
    _add_acts(api)
    return api


def _add_pictures(api: APIRouter) -> None:
    @api.get("/pictures", responses=documented(422))
    async def pictures(
        request: Request,
        uploaded: Annotated[bool, Query(description="List the uploads instead.")] = False,
    ) -> list[StudioPicture]:
        """List the photographs and paintings that come with impasto, or the uploads."""
        uploads = _uploads(request)
        return uploads.uploaded() if uploaded else uploads.bundled()

    @api.post("/pictures", status_code=201, responses=documented(400, 413, 415, 422, 507))
    async def upload(
        request: Request,
        file: UploadFile,
        purpose: Annotated[Purpose, Query(description="What it is for.")] = "picture",
    ) -> StudioPicture:
        """Upload a picture; the same file gets the same id, and the new name."""
        uploads = _uploads(request)
        path = uploads.incoming()
        try:
            with path.open("xb") as target:
                while data := await file.read(2**20):
                    target.write(data)
            return await uploads.add(path, clean_name(file.filename), purpose)
        finally:
            path.unlink(missing_ok=True)

    @api.get("/pictures/{picture_id}", responses=documented(404, 422))
    async def picture(request: Request, picture_id: PictureId) -> StudioPicture:
        """Return a picture's name, size and recipe."""
        return _uploads(request).picture(picture_id)

    @api.delete("/pictures/{picture_id}", status_code=204, responses=documented(404, 409, 422))
    async def remove_picture(request: Request, picture_id: PictureId) -> None:
        """Delete an uploaded picture; finished works that used it stay."""
        _service(request).remove_picture(picture_id)

    @api.get("/pictures/{picture_id}/small", response_class=FileResponse, responses=_file("jpeg"))
    async def small_picture(request: Request, picture_id: PictureId) -> Response:
        """Return a small copy of a picture, at most 1024 pixels a side."""
        path = _uploads(request).small(picture_id)
        return FileResponse(path, media_type="image/jpeg", headers=_CACHE_FOREVER)

    @api.get(
        "/pictures/{picture_id}/original",
        response_class=FileResponse,
        responses=_file("application/octet-stream"),
    )
    async def original(request: Request, picture_id: PictureId) -> Response:
        """Download a picture as it was uploaded."""
        file = _uploads(request).original(picture_id)
        return FileResponse(
            file.file,
            media_type="application/octet-stream",
            filename=file.name,
            headers=_CACHE_FOREVER,
        )


def _add_works(api: APIRouter) -> None:
    @api.post("/plan", responses=documented(404, 415, 413, 422, 429, 503))
    async def plan(request: Request, order: Order) -> Plan:
        """Return the expected sizes, time and memory of an order, without painting."""
        return await _service(request).plan(order)

    @api.post("/looks", responses=documented(413, 415, 422))
    async def want_looks(
        request: Request, wanted: Annotated[list[Order], Body(max_length=64)], client: Client = None
    ) -> list[LookStatus]:
        """Ask for first looks at orders, in place of those asked for before.

        They are painted in this order while no work waits, until the client's stream of events
        ends. An event ``look`` says when one is
        ready. An order with a look goes on from it.
        """
        return _service(request).want_looks(wanted, _client(request, client))

    @api.get("/looks/{look_id}", responses=_file("jpeg"), response_class=FileResponse)
    async def look(request: Request, look_id: LookId) -> Response:
        """Return a look, at most 480 pixels a side."""
        path = _service(request).look(look_id)
        return FileResponse(path, media_type="image/jpeg", headers=_CACHE_FOREVER)

    @api.post("/works", status_code=201, responses=documented(413, 415, 422, 428, 429, 503))
    async def order_work(request: Request, order: Order, client: Client = None) -> Work:
        """Order a painting; it waits in the queue until a painter is free.

        If its plan says ``needs_confirmation``, the order must say ``confirmed``.
        """
        return await _service(request).order(order, _client(request, client))

    @api.get("/works", responses=documented(422))
    async def works(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=200)] = 60,
        before_s: Annotated[
            float, Query(description="Only works with a smaller created_s.")
        ] = 1e12,
        in_bin: Annotated[
            bool, Query(alias="bin", description="List those in the bin instead.")
        ] = False,
        search: Annotated[
            str, Query(max_length=200, description="Only works with these words in the title.")
        ] = "",
    ) -> list[Work]:
        """List works, the latest first."""
        return _service(request).works(limit, before_s, in_bin=in_bin, search=search)

    @api.get("/works.zip", response_class=FileResponse, responses=_file("application/zip"))
    async def archive(
        request: Request,
        work_ids: Annotated[list[WorkId], Query(alias="id", min_length=1, max_length=200)],
    ) -> Response:
        """Download the pictures of several works as PNG files in a ZIP archive."""
        path = await _service(request).archive(work_ids)
        return FileResponse(
            path,
            media_type="application/zip",
            filename="impasto.zip",
            headers=_NO_STORE,
            background=BackgroundTask(path.unlink, missing_ok=True),
        )

    @api.get("/works.jpg", response_class=Response, responses=_file("jpeg"))
    async def sheet(
        request: Request,
        work_ids: Annotated[list[WorkId], Query(alias="id", min_length=1, max_length=200)],
    ) -> Response:
        """Download a contact sheet: the pictures of several works, each above its title."""
        data = await _service(request).contact_sheet(work_ids)
        disposition = {"content-disposition": 'attachment; filename="contact-sheet.jpg"'}
        return Response(data, media_type="image/jpeg", headers=_NO_STORE | disposition)

    @api.get("/works/{work_id}", responses=documented(404, 422))
    async def work(request: Request, work_id: WorkId) -> Work:
        """Return the state of a work."""
        return _service(request).work(work_id).public()

    @api.delete("/works/{work_id}", status_code=204, responses=documented(404, 422))
    async def remove(request: Request, work_id: WorkId) -> None:
        """Cancel a work, and put it into the bin; a work in the bin is deleted for good.

        The bin keeps works for 30 days.
        """
        _service(request).remove(work_id)

    @api.post("/works/{work_id}/restore", responses=documented(404, 422))
    async def restore(request: Request, work_id: WorkId) -> Work:
        """Take a work out of the bin."""
        return _service(request).restore(work_id)

    @api.post("/works/{work_id}/star", responses=documented(404, 422))
    async def star(request: Request, work_id: WorkId, starred: bool = True) -> Work:
        """Mark a work, or take the mark away."""
        return _service(request).star(work_id, starred=starred)

    @api.get("/works/{work_id}/losses", responses=documented(404, 422))
    async def losses(request: Request, work_id: WorkId) -> list[tuple[int, float]]:
        """Return pairs of step and total loss, a few hundred at most."""
        return _service(request).work(work_id).losses_so_far

    @api.get("/works/{work_id}/preview", responses=_file("jpeg"), response_class=Response)
    async def preview(request: Request, work_id: WorkId, step: int = 0) -> Response:
        """Return the current picture; ``step`` is ignored, but makes addresses differ."""
        data = _service(request).preview(work_id)
        return Response(data, media_type="image/jpeg", headers=_NO_STORE)

    @api.get("/works/{work_id}/small", responses=_file("jpeg"), response_class=FileResponse)
    async def small(request: Request, work_id: WorkId) -> Response:
        """Return a small copy of a finished picture, at most 480 pixels a side."""
        path = _service(request).file(work_id, "small.jpg")
        return FileResponse(path, media_type="image/jpeg", headers=_NO_STORE)

    @api.get(
        "/works/{work_id}/recipe", response_class=Response, responses=_file("application/json")
    )
    async def work_recipe(request: Request, work_id: WorkId) -> Response:
        """Download the recipe of a picture, which it also contains."""
        service = _service(request)
        name = f"{service.work(work_id).file_stem}.json"
        return Response(
            await service.recipe(work_id),
            media_type="application/json",
            headers=_NO_STORE | {"content-disposition": f'attachment; filename="{name}"'},
        )

    @api.get("/works/{work_id}/frames", responses=documented(404, 422))
    async def frames(request: Request, work_id: WorkId) -> list[int]:
        """List the steps that the time-lapse has frames of."""
        return _service(request).frames(work_id).steps()

    @api.get("/works/{work_id}/frames/{step}", responses=_file("jpeg"), response_class=FileResponse)
    async def frame(
        request: Request, work_id: WorkId, step: Annotated[int, PathParameter(ge=1, le=10**7)]
    ) -> Response:
        """Return a frame of the time-lapse, at most 512 pixels a side."""
        path = _service(request).frames(work_id).path(step)
        if not path.exists():
            raise HttpError(404, f"no frame of step {step}; list the frames again")
        return FileResponse(path, media_type="image/jpeg", headers=_NO_STORE)

    @api.get(
        "/works/{work_id}/timelapse.{ending}",
        responses=_file("gif", "webp"),
        response_class=FileResponse,
    )
    async def timelapse(
        request: Request, work_id: WorkId, ending: Literal["gif", "webp"]
    ) -> Response:
        """Download the time-lapse as an animation; the result is its last frame."""
        path = await _service(request).timelapse(work_id, ending)
        return FileResponse(
            path,
            media_type=f"image/{ending}",
            filename=f"{_service(request).work(work_id).file_stem}.{ending}",
            headers=_NO_STORE,
            background=BackgroundTask(path.unlink, missing_ok=True),
        )

    @api.get(
        "/works/{work_id}/picture.{ending}",
        responses=_file("png", "jpeg", "tiff", "webp", "avif"),
        response_class=FileResponse,
    )
    async def picture(
        request: Request,
        work_id: WorkId,
        ending: Literal["png", "jpg", "tiff", "webp", "avif"],
        bits: Annotated[
            int | None, Query(description="8 or 16; by default 16 for TIFF and 8 for the others.")
        ] = None,
        dpi: Annotated[float | None, Query(description="As the option of the command.")] = None,
        width: Annotated[
            str | None, Query(max_length=20, description="As the option of the command: 60cm.")
        ] = None,
        no_recipe: Annotated[bool, Query(description="Leave the recipe out.")] = False,
    ) -> Response:
        """Download a picture in a format and print size; it contains the recipe."""
        service, kept_bits = _service(request), _KEPT_BITS.get(ending)
        name = f"{service.work(work_id).file_stem}.{ending}"
        chosen: dict[str, Any] = {"bits": bits or kept_bits or 8, "dpi": dpi, "width": width}
        options = OutputOptions(**chosen, no_recipe=no_recipe)
        if options.bits == kept_bits and dpi is None and width is None and not no_recipe:
            path, after = service.file(work_id, f"picture.{ending}"), None
        else:
            path = await service.converted(work_id, ending, options)
            after = BackgroundTask(path.unlink, missing_ok=True)
        return FileResponse(
            path, media_type=_TYPES[ending], filename=name, headers=_NO_STORE, background=after
        )


def _add_acts(api: APIRouter) -> None:
    errors = documented(404, 409, 422)

    @api.post("/works/{work_id}/cancel", responses=errors)
    async def cancel(request: Request, work_id: WorkId) -> Work:
        """End a painting after the current step; the picture so far is saved."""
        return _service(request).cancel(work_id)

    @api.post("/works/{work_id}/pause", responses=errors)
    async def pause(request: Request, work_id: WorkId) -> Work:
        """Pause a painting after the current step; it can be resumed days later."""
        return _service(request).pause(work_id)

    @api.post("/works/{work_id}/resume", responses=errors)
    async def resume(request: Request, work_id: WorkId) -> Work:
        """Resume a paused painting."""
        return _service(request).resume(work_id)

    @api.post("/works/{work_id}/steer", responses=documented(404, 409, 413, 415, 422, 429, 503))
    async def steer(request: Request, work_id: WorkId, steering: Steering) -> Work:
        """Change settings while painting; the recipe records the change with its step."""
        return await _service(request).steer(work_id, steering.settings)

    @api.post("/works/{work_id}/branch", responses=documented(404, 409, 422, 429, 503, 507))
    async def branch(request: Request, work_id: WorkId) -> Order:
        """Return an order that starts from this work's current picture, to be changed and sent."""
        return await _service(request).branch(work_id)

    @api.post("/works/{work_id}/upload", responses=documented(404, 409, 422, 507))
    async def upload_work(
        request: Request,
        work_id: WorkId,
        purpose: Annotated[Purpose, Query(description="What it is for.")] = "picture",
    ) -> StudioPicture:
        """Add a finished picture to the uploads, for other orders."""
        return await _service(request).upload(work_id, purpose)

    @api.post(
        "/works/{work_id}/detail",
        status_code=201,
        responses=documented(404, 409, 422, 428, 429, 503, 507),
    )
    async def detail(
        request: Request,
        work_id: WorkId,
        confirmed: Annotated[bool, Query(description="As in an order.")] = False,
        client: Client = None,
    ) -> Work:
        """Order the same picture at twice the size, starting from this one."""
        return await _service(request).order_detail(
            work_id, _client(request, client), confirmed=confirmed
        )


def _serve_page(app: FastAPI) -> None:
    app.mount("/web", StaticFiles(directory=_WEB), name="web")
    app.mount("/swagger", StaticFiles(directory=_SWAGGER), name="swagger")

    @app.get("/", include_in_schema=False)
    async def page(client: Client = None) -> Response:
        response = FileResponse(_WEB / "index.html", headers=_NO_STORE)
        if client is None:
            response.set_cookie(
                _CLIENT_COOKIE, secrets.token_hex(8), httponly=True, samesite="strict"
            )
        return response

    @app.get("/docs", include_in_schema=False)
    async def documentation() -> Response:
        return FileResponse(_WEB / "docs.html", headers=_NO_STORE)


async def _events(service: StudioService, work_id: str | None, client: str) -> AsyncIterator[bytes]:
    listener = service.events.join(work_id)
    try:
        # The work may have ended before this stream began.
        with suppress(HttpError):
            if work_id is not None:
                state = service.work(work_id).public().model_dump(mode="json")
                listener.put("work", work_id, state)
        async for event in listener.stream():
            yield event
    finally:
        service.events.leave(listener)
        # Who does not listen does not look, either.
        service.want_looks([], client)


def _service(request: Request) -> StudioService:
    service: StudioService = request.app.state.service
    return service


def _uploads(request: Request) -> Uploads:
    return _service(request).uploads


def _client(request: Request, cookie: str | None) -> str:
    """Return the client's name for the fair queue: a browser's cookie, or the address."""
    if cookie is not None:
        return cookie[:64]
    return request.client.host if request.client else ""


def _stream() -> dict[int | str, dict[str, Any]]:
    return {
        200: {
            "content": {"text/event-stream": {}},
            "description": "Events, until the client disconnects.",
        },
        **documented(422),
    }


def _file(*kinds: str) -> dict[int | str, dict[str, Any]]:
    return {
        200: {
            "content": {kind if "/" in kind else f"image/{kind}": {} for kind in kinds},
            "description": "The picture.",
        },
        **documented(404, 409, 422),
    }
