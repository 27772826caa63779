"""The HTTP interface of blind comparison: a page that shows two pictures at a time, and a ranking.

It has the studio's guard. No answer before the ranking names a method.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field

from impasto import __version__
from impasto.studio.comparison import Answer, Comparison, Side
from impasto.studio.http_errors import HANDLERS, HttpError, documented
from impasto.studio.security import Guard, Rules

_WEB = Path(__file__).parent / "web"
_NO_STORE = {"cache-control": "no-store"}


class ComparisonProgress(BaseModel):
    """The progress of the comparison."""

    trial: int | None = Field(description="The number of the next trial; null at the end.")
    answered: int
    total: int


class Chosen(BaseModel):
    """The answer to a trial."""

    chosen: Answer


class Rank(BaseModel):
    """A method in the ranking; the preferred one is first."""

    method: str
    strength: float = Field(description="Bradley-Terry strength; 1 is the mean.")
    chosen: float = Field(description="Number of trials that it won; 'neither' counts a half.")
    compared: int


class Excluded(BaseModel):
    """A file that was not compared."""

    file: str
    reason: str


class Ranking(BaseModel):
    """The ranking, and the files that are not in it."""

    methods: list[Rank]
    left_out: list[Excluded]


def make_app(comparison: Comparison, rules: Rules) -> FastAPI:
    """Make the application.

    Args:
        comparison: the comparison of a folder.
        rules: the rules of the guard.
    """
    app = FastAPI(
        title="impasto: the blind choice",
        version=__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(Guard, rules=rules)
    _add_routes(app, comparison)
    app.mount("/web", StaticFiles(directory=_WEB), name="web")
    for kind, answer in HANDLERS.items():
        app.add_exception_handler(kind, answer)
    return app


def _add_routes(app: FastAPI, comparison: Comparison) -> None:
    def progress() -> ComparisonProgress:
        return ComparisonProgress(
            trial=comparison.current, answered=comparison.answered, total=len(comparison.trials)
        )

    def check(number: int) -> None:
        if number not in range(len(comparison.trials)):
            raise HttpError(404, f"no trial {number}: expected 0 to {len(comparison.trials) - 1}")

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(_WEB / "compare.html", headers=_NO_STORE)

    @app.get("/api/progress", responses=documented())
    async def read_progress() -> ComparisonProgress:
        """Return the number of the next trial."""
        return progress()

    @app.get(
        "/api/trials/{number}/{side}",
        response_class=FileResponse,
        responses=documented(404, 422),
    )
    async def picture(number: int, side: Side) -> Response:
        """Return the picture on one side."""
        check(number)
        entry = comparison.trials[number].entry(side)
        if not entry.path.is_file():
            raise HttpError(404, "the picture no longer exists; start the comparison again")
        return FileResponse(entry.path, media_type=entry.media_type, headers=_NO_STORE)

    @app.post("/api/trials/{number}", responses=documented(404, 409, 422))
    async def choose(number: int, answer: Chosen) -> ComparisonProgress:
        """Answer the next trial; the answer is saved in the folder."""
        check(number)
        if number != comparison.current:
            raise HttpError(409, "expected an answer to the next trial; load the page again")
        comparison.choose(number, answer.chosen)
        return progress()

    @app.get("/api/ranking", responses=documented())
    async def ranking() -> Ranking:
        """Rank the methods by the choices so far."""
        return Ranking(
            methods=[Rank(**dataclasses.asdict(one)) for one in comparison.ranking()],
            left_out=[Excluded(**dataclasses.asdict(one)) for one in comparison.left_out],
        )
