# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Errors as OpenAI's clients read them: `{"error": {"message", "type", "param", "code"}}` with the HTTP status."""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from entropy_asr.modeling.messages_entropy_asr import shortened


INVALID, OVERLOADED, FAILED = "invalid_request_error", "rate_limit_error", "server_error"
# What a client whose connection is gone would be told; it is for logs.
CLIENT_GONE = 499


class OpenAIError(Exception):
    """Why a request is refused.

    Args:
        message: In words that name the input and the reason.
        param: Field of the request that is to blame.
        code: What programs tell errors apart by.
        status: Of HTTP.
        kind: One of this module's types.
        headers: Of the answer.
    """

    def __init__(
        self,
        message: str,
        param: str | None = None,
        code: str | None = None,
        status: int = 400,
        kind: str = INVALID,
        headers: dict[str, str] | None = None,
    ):
        super().__init__(shortened(message))
        self.param, self.code, self.status, self.kind, self.headers = param, code, status, kind, headers

    @property
    def body(self) -> dict[str, Any]:
        """What is sent."""
        return {"error": {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}}


def server_failed() -> OpenAIError:
    """What a client is told of a fault that is not its own; the log has the rest."""
    return OpenAIError("the server failed", code="internal_error", status=500, kind=FAILED)


async def answer_error(request: Request, error: OpenAIError) -> JSONResponse:
    """A refused request."""
    return JSONResponse(error.body, error.status, error.headers)


async def answer_http_error(request: Request, error: HTTPException) -> JSONResponse:
    """What Starlette refuses: unknown addresses and methods, and bodies that are no form."""
    messages = {
        404: f"there is no {request.method} {request.url.path} here",
        405: f"{request.url.path} does not take {request.method}",
    }
    code = {400: "invalid_body", 404: "unknown_url", 405: "method_not_supported"}.get(error.status_code)
    refused = OpenAIError(
        messages.get(error.status_code, error.detail), None, code, error.status_code, headers=error.headers
    )
    return await answer_error(request, refused)


async def answer_fault(request: Request, error: Exception) -> JSONResponse:
    """A fault of the server; what runs the application logs it."""
    return await answer_error(request, server_failed())


async def answer_nobody(request: Request, error: ClientDisconnect) -> Response:
    """A client that went away before all was sent."""
    return Response(status_code=CLIENT_GONE)


HANDLERS = {
    OpenAIError: answer_error,
    HTTPException: answer_http_error,
    ClientDisconnect: answer_nobody,
    Exception: answer_fault,
}
