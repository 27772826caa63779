"""Answers that say no: an HTTP status and one line of words, always as JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from impasto.errors import ImpastoError


class Problem(BaseModel):
    """Why something was not done: what was expected, what came, what to do."""

    error: str = Field(description="In words, for people.")


class HttpError(HTTPException):
    """The answer is no.

    Args:
        status: as HTTP counts.
        error: in words, without any path of the server.
    """

    def __init__(self, status: int, error: str) -> None:
        super().__init__(status, error)
        self.status, self.error = status, error


_MEANINGS = {
    400: "The request is malformed.",
    401: "The token is missing or wrong.",
    403: "The request comes from another site.",
    404: "There is no such thing.",
    409: "Not in the state that it is in.",
    413: "Too large.",
    415: "Of a type that cannot be read.",
    421: "Asked for by a name that is not this machine's.",
    422: "Options or pictures that cannot be used.",
    428: "Takes long: send it again with confirmed.",
    429: "Too much at once.",
    503: "The painter cannot answer now.",
    507: "The quota of uploaded pictures is used up.",
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe in OpenAPI the refusals of a route, with those that any route may give."""
    return {
        status: {"model": Problem, "description": _MEANINGS[status]}
        for status in (*statuses, 401, 403, 421)
    }


def _problem(status: int, error: str, headers: Any = None) -> Response:
    return JSONResponse(Problem(error=error).model_dump(), status, headers=headers)


async def _refuse(request: Request, error: Any) -> Response:
    return _problem(error.status_code, str(error.detail), error.headers)


async def _refuse_fields(request: Request, error: Any) -> Response:
    told = []
    for fault in error.errors():
        place = ".".join(str(part) for part in fault["loc"][1:]).removeprefix("settings.")
        told.append(
            f"{place}: {fault['msg'].removeprefix('Value error, ')}" if place else fault["msg"]
        )
    return _problem(422, "; ".join(told)[:1000])


async def _refuse_input(request: Request, error: Any) -> Response:
    return _problem(422, str(error))


async def _apologise(request: Request, error: Any) -> Response:
    return _problem(500, "something went wrong; what, stands in the studio's terminal")


# How each kind of error is answered: as JSON, without a path or a traceback.
ANSWERS: dict[type[Exception], Callable[[Request, Any], Awaitable[Response]]] = {
    HTTPException: _refuse,
    RequestValidationError: _refuse_fields,
    ImpastoError: _refuse_input,
    Exception: _apologise,
}
