"""What Google says when it refuses or fails, and which kind of failure that is, by catalogs/gcp_launch_errors.csv."""

from __future__ import annotations

import http.client
import json
from typing import Any

import httplib2
from google.auth.exceptions import GoogleAuthError, TransportError
from googleapiclient.errors import HttpError

from accel_scaling.catalog.launch_errors import Category, Failure, classified
from accel_scaling.errors import AccelScalingError


class GoogleRefusedError(AccelScalingError):
    """Google could not be asked, or did not let us."""


class OperationFailedError(Exception):
    """An operation that Google accepted and could not carry out."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


# What a lost or silent connection raises; whether the request was carried out is not known then.
BROKEN = (OSError, httplib2.HttpLib2Error, http.client.HTTPException, TransportError)


def of_exception(error: BaseException) -> Failure:
    """Return what an exception of a call or an operation means."""
    if isinstance(error, OperationFailedError):
        return error.failure
    if isinstance(error, HttpError):
        return _of_http(error)
    if isinstance(error, BROKEN):
        return Failure(Category.UNAVAILABLE, type(error).__name__, str(error) or "no answer from Google")
    if isinstance(error, GoogleAuthError):
        return Failure(Category.PERMISSION, type(error).__name__, str(error))
    return Failure(Category.UNKNOWN, type(error).__name__, str(error))


def of_operation(error: dict[str, Any]) -> Failure:
    """Return what the ``error`` of an operation means, of Compute Engine (a list) or of Cloud TPU (a code)."""
    failures = []
    for one in error.get("errors") or [error]:
        codes = [str(one.get("code", "")), *_reasons(one.get("errorDetails") or one.get("details") or [])]
        failures.append(classified("gcp", [code for code in codes if code], str(one.get("message", ""))))
    # Bulk creation puts "too few were created" beside the reason.
    return next((failure for failure in failures if failure.category is not Category.UNKNOWN), failures[0])


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of an error, None where it has none."""
    return int(error.resp.status) if isinstance(error, HttpError) else None


def may_pass(error: BaseException) -> bool:
    """Say whether the same call may succeed a moment later: 5xx, too many calls, a broken connection."""
    if isinstance(error, BROKEN):
        return True
    category = of_exception(error).category
    return category is Category.THROTTLED or category is Category.UNAVAILABLE


def _of_http(error: HttpError) -> Failure:
    status = str(error.resp.status)
    try:
        content = json.loads(error.content)["error"]
    except (ValueError, KeyError, TypeError):
        return classified("gcp", [status], str(error.reason or error))
    if not isinstance(content, dict):
        return classified("gcp", [status], str(content))
    listed = [str(one.get("reason", "")) for one in content.get("errors") or []]
    codes = [*listed, *_reasons(content.get("details") or [])]
    # Behind a 5xx the canonical status says less than the number.
    codes += [status] if status.startswith("5") else [str(content.get("status", "")), status]
    return classified("gcp", [code for code in codes if code], str(content.get("message", "")))


def _reasons(details: list[Any]) -> list[str]:
    found = [one.get("errorInfo", one).get("reason") for one in details if isinstance(one, dict)]
    return [str(reason) for reason in found if reason]
