"""The HTTP interface: FastAPI routes over the service, the page, and its documentation."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import fastapi_offline
from fastapi import APIRouter, Cookie, FastAPI, Query, Request, Response, UploadFile
from fastapi.responses import FileResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field

from impasto import __version__
from impasto.studio.form_schema import Form, make_form
from impasto.studio.http_errors import ANSWERS, documented
from impasto.studio.schemas import Order, PictureId, Plan, StudioPicture, Work, WorkId
from impasto.studio.security import MOST_UPLOAD_BYTES, Guard, Rules
from impasto.studio.service import StudioService
from impasto.studio.storage import clean_name
from impasto.studio.uploads import MOST_PIXELS, Uploads

_WEB = Path(__file__).parent / "web"
_SWAGGER = Path(fastapi_offline.__file__).parent / "static"
_CLIENT_COOKIE = "impasto_client"
_TYPES = {"png": "image/png", "jpg": "image/jpeg", "tiff": "image/tiff"}
# What is asked for by a picture's hash never changes.
_FOR_EVER = {"cache-control": "private, max-age=31536000, immutable"}
_NEVER = {"cache-control": "no-store"}

Client = Annotated[str | None, Cookie(alias=_CLIENT_COOKIE, include_in_schema=False)]


class PainterStatus(BaseModel):
    """What a painter is doing."""

    state: str
    message: str


class Status(BaseModel):
    """How the studio is."""

    version: str
    painters: list[PainterStatus]
    waiting: int = Field(description="Works that wait for a painter.")
    most_upload_bytes: int = MOST_UPLOAD_BYTES
    uploaded_bytes: int = Field(description="What the uploaded pictures take.")
    upload_quota_bytes: int = Field(description="What they may take in all.")
    most_upload_pixels: int = MOST_PIXELS


class Steering(BaseModel):
    """Settings to change while painting: those that the form calls steerable."""

    settings: dict[str, Any] = Field(min_length=1, max_length=64)


def make_app(make_service: Callable[[], StudioService], rules: Rules) -> FastAPI:
    """Put the application together.

    Args:
        make_service: called in the event loop, once it runs.
        rules: what the guard goes by.
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
    app.include_router(_api())
    _serve_page(app)
    for kind, answer in ANSWERS.items():
        app.add_exception_handler(kind, answer)
    return app


def _api() -> APIRouter:
    """Return the routes under /api."""
    api = APIRouter(prefix="/api")

    @api.get("/status", responses=documented())
    async def status(request: Request) -> Status:
        """Say how the studio is."""
        service = _service(request)
        return Status(
            version=__version__,
            waiting=service.waiting,
            uploaded_bytes=service.uploads.used_bytes,
            upload_quota_bytes=service.uploads.quota_bytes,
            painters=[
                PainterStatus(state=one.state, message=one.message) for one in service.painters
            ],
        )

    @api.get("/form", responses=documented())
    async def form() -> Form:
        """List every setting: its kind, bounds, default and description."""
        return make_form()

    @api.get("/events", response_class=StreamingResponse, responses=_stream())
    async def events(
        request: Request,
        work: Annotated[WorkId | None, Query(description="Hear of this one only.")] = None,
    ) -> Response:
        """Stream what happens, as server-sent events.

        ``work``: a work as it stands. ``preview``: the address of its picture as it stands.
        ``removed``: a work is gone. ``painters``: what the painters do.
        """
        return StreamingResponse(
            _events(_service(request), work), media_type="text/event-stream", headers=_NEVER
        )

    _add_pictures(api)
    _add_works(api)
    _add_acts(api)
    return api


def _add_pictures(api: APIRouter) -> None:
    @api.get("/pictures", responses=documented(422))
    async def pictures(
        request: Request,
        uploaded: Annotated[bool, Query(description="Those that were uploaded, instead.")] = False,
    ) -> list[StudioPicture]:
        """List the photographs and paintings that come with impasto, or those uploaded."""
        uploads = _uploads(request)
        return uploads.uploaded() if uploaded else uploads.bundled()

    @api.post("/pictures", status_code=201, responses=documented(400, 413, 415, 422, 507))
    async def upload(request: Request, file: UploadFile) -> StudioPicture:
        """Upload a picture; the same file again is the same picture."""
        uploads = _uploads(request)
        path = uploads.incoming()
        try:
            with path.open("xb") as target:
                while data := await file.read(2**20):
                    target.write(data)
            return await uploads.take_in(path, clean_name(file.filename))
        finally:
            path.unlink(missing_ok=True)

    @api.get("/pictures/{picture_id}", responses=documented(404, 422))
    async def picture(request: Request, picture_id: PictureId) -> StudioPicture:
        """Tell of a picture."""
        return _uploads(request).picture(picture_id)

    @api.delete("/pictures/{picture_id}", status_code=204, responses=documented(404, 409, 422))
    async def remove_picture(request: Request, picture_id: PictureId) -> None:
        """Delete an uploaded picture for good; works that were painted from it stay."""
        _service(request).remove_picture(picture_id)

    @api.get("/pictures/{picture_id}/small", response_class=FileResponse, responses=_file("jpeg"))
    async def small_picture(request: Request, picture_id: PictureId) -> Response:
        """Show a picture, at most 1024 pixels a side."""
        path = _uploads(request).small(picture_id)
        return FileResponse(path, media_type="image/jpeg", headers=_FOR_EVER)

    @api.get(
        "/pictures/{picture_id}/original",
        response_class=FileResponse,
        responses=_file("application/octet-stream"),
    )
    async def original(request: Request, picture_id: PictureId) -> Response:
        """Download a picture as it was uploaded."""
        file = _uploads(request).original(picture_id)
        return FileResponse(
            file.file, media_type="application/octet-stream", filename=file.name, headers=_FOR_EVER
        )


def _add_works(api: APIRouter) -> None:
    @api.post("/plan", responses=documented(404, 415, 413, 422, 429, 503))
    async def plan(request: Request, order: Order) -> Plan:
        """Say how an order would be painted: sizes, time and memory."""
        return await _service(request).plan(order)

    @api.post("/works", status_code=201, responses=documented(413, 415, 422, 428, 429, 503))
    async def order_work(request: Request, order: Order, client: Client = None) -> Work:
        """Order a painting; it begins when its turn has come.

        One whose plan ``needs_confirmation`` must say that it is ``confirmed``.
        """
        return await _service(request).order(order, _client(request, client))

    @api.get("/works", responses=documented(422))
    async def works(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=200)] = 60,
        before_s: Annotated[float, Query(description="Ordered before, as created_s tells.")] = 1e12,
    ) -> list[Work]:
        """List works, the latest first."""
        return _service(request).works(limit, before_s)

    @api.get("/works/{work_id}", responses=documented(404, 422))
    async def work(request: Request, work_id: WorkId) -> Work:
        """Tell of a work."""
        return _service(request).work(work_id).public()

    @api.delete("/works/{work_id}", status_code=204, responses=documented(404, 422))
    async def remove(request: Request, work_id: WorkId) -> None:
        """Remove a work and its pictures for good."""
        _service(request).remove(work_id)

    @api.get("/works/{work_id}/losses", responses=documented(404, 422))
    async def losses(request: Request, work_id: WorkId) -> list[tuple[int, float]]:
        """List steps and their total loss, a few hundred at most."""
        return _service(request).work(work_id).losses_so_far

    @api.get("/works/{work_id}/preview", responses=_file("jpeg"), response_class=Response)
    async def preview(request: Request, work_id: WorkId, step: int = 0) -> Response:
        """Show the picture as it stands; ``step`` only tells one address from the next."""
        data = _service(request).preview(work_id)
        return Response(data, media_type="image/jpeg", headers=_NEVER)

    @api.get("/works/{work_id}/small", responses=_file("jpeg"), response_class=FileResponse)
    async def small(request: Request, work_id: WorkId) -> Response:
        """Show a finished picture, at most 480 pixels a side."""
        path = _service(request).file(work_id, "small.jpg")
        return FileResponse(path, media_type="image/jpeg", headers=_NEVER)

    @api.get(
        "/works/{work_id}/picture.{ending}",
        responses=_file("png", "jpeg", "tiff"),
        response_class=FileResponse,
    )
    async def picture(
        request: Request, work_id: WorkId, ending: Literal["png", "jpg", "tiff"]
    ) -> Response:
        """Download a picture: PNG or JPEG of 8 bits, or TIFF of 16; each carries its recipe."""
        service = _service(request)
        return FileResponse(
            service.file(work_id, f"picture.{ending}"),
            media_type=_TYPES[ending],
            filename=f"{service.work(work_id).file_stem}.{ending}",
            headers=_NEVER,
        )


def _add_acts(api: APIRouter) -> None:
    refusals = documented(404, 409, 422)

    @api.post("/works/{work_id}/cancel", responses=refusals)
    async def cancel(request: Request, work_id: WorkId) -> Work:
        """End a painting within one step; the picture so far is kept."""
        return _service(request).cancel(work_id)

    @api.post("/works/{work_id}/pause", responses=refusals)
    async def pause(request: Request, work_id: WorkId) -> Work:
        """Set a painting aside within one step, even for days."""
        return _service(request).pause(work_id)

    @api.post("/works/{work_id}/resume", responses=refusals)
    async def resume(request: Request, work_id: WorkId) -> Work:
        """Go on with a paused painting."""
        return _service(request).resume(work_id)

    @api.post("/works/{work_id}/steer", responses=documented(404, 409, 413, 415, 422, 429, 503))
    async def steer(request: Request, work_id: WorkId, steering: Steering) -> Work:
        """Change settings while it is painted; the recipe records when."""
        return await _service(request).steer(work_id, steering.settings)

    @api.post("/works/{work_id}/branch", responses=documented(404, 409, 422, 429, 503, 507))
    async def branch(request: Request, work_id: WorkId) -> Order:
        """Return an order that begins where this work stands, to be changed and sent."""
        return await _service(request).branch(work_id)

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
        """Order the same picture at twice the size, going on from this one."""
        return await _service(request).order_detail(
            work_id, _client(request, client), confirmed=confirmed
        )


def _serve_page(app: FastAPI) -> None:
    app.mount("/web", StaticFiles(directory=_WEB), name="web")
    app.mount("/swagger", StaticFiles(directory=_SWAGGER), name="swagger")

    @app.get("/", include_in_schema=False)
    async def page(client: Client = None) -> Response:
        response = FileResponse(_WEB / "index.html", headers=_NEVER)
        if client is None:
            response.set_cookie(
                _CLIENT_COOKIE, secrets.token_hex(8), httponly=True, samesite="strict"
            )
        return response

    @app.get("/docs", include_in_schema=False)
    async def documentation() -> Response:
        return FileResponse(_WEB / "docs.html", headers=_NEVER)


async def _events(service: StudioService, work_id: str | None) -> AsyncIterator[bytes]:
    listener = service.events.join(work_id)
    try:
        async for event in listener.stream():
            yield event
    finally:
        service.events.leave(listener)


def _service(request: Request) -> StudioService:
    service: StudioService = request.app.state.service
    return service


def _uploads(request: Request) -> Uploads:
    return _service(request).uploads


def _client(request: Request, cookie: str | None) -> str:
    """Name who asks, so that everybody gets a turn: a browser by its cookie, others by address."""
    if cookie is not None:
        return cookie[:64]
    return request.client.host if request.client else ""


def _stream() -> dict[int | str, dict[str, Any]]:
    return {
        200: {"content": {"text/event-stream": {}}, "description": "Events, until one hangs up."},
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
