"""The refusals of the local Compute Engine, in the form of Google's own error bodies."""

from __future__ import annotations

from typing import Any

# The canonical word for an HTTP status: google/rpc/code.proto.
_STATUS_WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}


class ApiError(Exception):
    """A refusal with an HTTP status.

    Attributes:
        code: the HTTP status.
        message: Google's sentence.
        reason: the word in ``errors[].reason``.
        status: the canonical word.
    """

    def __init__(self, code: int, message: str, reason: str = "invalid", status: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.reason = code, message, reason
        self.status = status or _STATUS_WORDS.get(code, "UNKNOWN")

    def body(self) -> dict[str, Any]:
        """Return the JSON of the answer."""
        error = {"message": self.message, "domain": "global", "reason": self.reason}
        return {"error": {"code": self.code, "message": self.message, "errors": [error], "status": self.status}}


def invalid(message: str) -> ApiError:
    """Return 400: a value that makes no sense."""
    return ApiError(400, message)


def wrong_field(field: str, value: Any, why: str) -> ApiError:
    """Return 400: a field of the request is wrong."""
    return ApiError(400, f"Invalid value for field '{field}': '{value}'. {why}")


def not_found(resource: str) -> ApiError:
    """Return 404: the resource is not there."""
    return ApiError(404, f"The resource '{resource}' was not found", "notFound")


def exists(resource: str) -> ApiError:
    """Return 409: there is one already."""
    return ApiError(409, f"The resource '{resource}' already exists", "alreadyExists")


def no_such_method(http: str, path: str) -> ApiError:
    """Return 404: no document of ours has this call."""
    return ApiError(404, f"{http} {path} is in none of Google's documents that are known here", "notFound")


def not_carried_out(method: str) -> ApiError:
    """Return 501: Google has it, this Compute Engine does not."""
    return ApiError(501, f"{method} is a method of Google's, but the local Compute Engine lacks it", "notImplemented")
