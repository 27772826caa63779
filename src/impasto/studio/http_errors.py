"""HTTP errors: a status and a one-line message, always as JSON."""

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
    """An error: what was expected, what came, and what to do."""

    error: str = Field(description="The message, for people.")


class HttpError(HTTPException):
    """An error that a request is answered with.

    Args:
        status: the HTTP status.
        error: the message, without any path of the server.
    """

    def __init__(self, status: int, error: str) -> None:
        super().__init__(status, error)
        self.status, self.error = status, error


_MEANINGS = {
    400: "The request is malformed.",
    401: "The token is missing or wrong.",
    403: "The request comes from another site.",
    404: "It does not exist.",
    409: "Not possible in its current state.",
    413: "Too large.",
    415: "Of an unsupported type.",
    421: "The Host header is not this machine's name.",
    422: "Options or pictures that cannot be used.",
    428: "It takes long and must be confirmed: send it again with confirmed.",
    429: "Too many at once.",
    503: "The painter cannot answer now.",
    507: "The quota of uploaded pictures is used up.",
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe a route's errors for OpenAPI, with those that every route can answer."""
    return {
        status: {"model": Problem, "description": _MEANINGS[status]}
        for status in (*statuses, 401, 403, 421)
    }


def _problem(status: int, error: str, headers: Any = None) -> Response:
    return JSONResponse(Problem(error=error).model_dump(), status, headers=headers)


async def _answer_http_error(request: Request, error: Any) -> Response:
    return _problem(error.status_code, str(error.detail), error.headers)


async def _answer_invalid_request(request: Request, error: Any) -> Response:
    messages = []
    for fault in error.errors():
        field = ".".join(str(part) for part in fault["loc"][1:]).removeprefix("settings.")
        messages.append(
            f"{field}: {fault['msg'].removeprefix('Value error, ')}" if field else fault["msg"]
        )
    return _problem(422, "; ".join(messages)[:1000])


async def _answer_bad_input(request: Request, error: Any) -> Response:
    return _problem(422, str(error))


async def _answer_unexpected(request: Request, error: Any) -> Response:
    return _problem(500, "an unexpected error; the reason is in the studio's terminal")


# The handler of each kind of error; all answer with JSON, without paths or tracebacks.
HANDLERS: dict[type[Exception], Callable[[Request, Any], Awaitable[Response]]] = {
    HTTPException: _answer_http_error,
    RequestValidationError: _answer_invalid_request,
    ImpastoError: _answer_bad_input,
    Exception: _answer_unexpected,
}
