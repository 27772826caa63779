"""The HTTP interface of the blind choice: a page, two pictures at a time, and the ranking.

The guard is the studio's. Nothing that the page is sent before the ranking names a method.
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
from impasto.studio.http_errors import ANSWERS, HttpError, documented
from impasto.studio.security import Guard, Rules

_WEB = Path(__file__).parent / "web"
_NEVER = {"cache-control": "no-store"}


class ComparisonProgress(BaseModel):
    """How far the choosing is."""

    trial: int | None = Field(description="The trial to be answered; null at the end.")
    answered: int
    total: int


class Chosen(BaseModel):
    """The answer to a trial."""

    chosen: Answer


class Rank(BaseModel):
    """A method in the ranking, the preferred first."""

    method: str
    strength: float = Field(description="By Bradley and Terry; 1 is the mean.")
    chosen: float = Field(description="How often it was chosen; a half where neither was.")
    compared: int


class Excluded(BaseModel):
    """A file that was not compared."""

    file: str
    reason: str


class Ranking(BaseModel):
    """The ranking, and what is not in it."""

    methods: list[Rank]
    left_out: list[Excluded]


def make_app(comparison: Comparison, rules: Rules) -> FastAPI:
    """Put the application together.

    Args:
        comparison: the folder's.
        rules: what the guard goes by.
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
    for kind, answer in ANSWERS.items():
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
        return FileResponse(_WEB / "compare.html", headers=_NEVER)

    @app.get("/api/progress", responses=documented())
    async def read_progress() -> ComparisonProgress:
        """Say which trial comes next."""
        return progress()

    @app.get(
        "/api/trials/{number}/{side}",
        response_class=FileResponse,
        responses=documented(404, 422),
    )
    async def picture(number: int, side: Side) -> Response:
        """Show the picture on one side."""
        check(number)
        entry = comparison.trials[number].entry(side)
        if not entry.path.is_file():
            raise HttpError(404, "the picture is gone; start the comparison anew")
        return FileResponse(entry.path, media_type=entry.media_type, headers=_NEVER)

    @app.post("/api/trials/{number}", responses=documented(404, 409, 422))
    async def choose(number: int, answer: Chosen) -> ComparisonProgress:
        """Answer the trial that comes next; the answer is kept in the folder."""
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
