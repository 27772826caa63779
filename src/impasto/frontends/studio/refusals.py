"""Answers that say no: an HTTP status and one line of words, always as JSON."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException


class Problem(BaseModel):
    """Why something was not done: what was expected, what came, what to do."""

    error: str = Field(description="In words, for people.")


class Refusal(HTTPException):
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
    429: "Too much at once.",
    503: "The painter cannot answer now.",
    507: "The folder is full.",
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe in OpenAPI the refusals of a route, with those that any route may give."""
    return {
        status: {"model": Problem, "description": _MEANINGS[status]}
        for status in (*statuses, 401, 403, 421)
    }
