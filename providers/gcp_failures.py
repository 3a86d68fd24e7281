"""What Google says when it refuses or fails, and which kind of failure that is, by catalogs/gcp_launch_errors.csv."""

from __future__ import annotations

import csv
import functools
import http.client
import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

import httplib2
from google.auth.exceptions import GoogleAuthError, TransportError
from googleapiclient.errors import HttpError

from accel_scaling.catalog.files import SHIPPED_FOLDER
from accel_scaling.errors import AccelScalingError

TABLE = SHIPPED_FOLDER / "gcp_launch_errors.csv"


class Category(str, Enum):
    """Kinds of failure, by what helps: another zone or time, more quota, less haste, a changed file, a role."""

    CAPACITY = "capacity"
    NOT_OFFERED = "not offered"
    QUOTA = "quota"
    THROTTLED = "throttled"
    BAD_REQUEST = "bad request"
    PERMISSION = "permission"
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Failure:
    """One failure: its kind, and Google's own code and message."""

    category: Category
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


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
        failures.append(_classified([code for code in codes if code], str(one.get("message", ""))))
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
        return _classified([status], str(error.reason or error))
    if not isinstance(content, dict):
        return _classified([status], str(content))
    listed = [str(one.get("reason", "")) for one in content.get("errors") or []]
    codes = [*listed, *_reasons(content.get("details") or [])]
    # Behind a 5xx the canonical status says less than the number.
    codes += [status] if status.startswith("5") else [str(content.get("status", "")), status]
    return _classified([code for code in codes if code], str(content.get("message", "")))


def _reasons(details: list[Any]) -> list[str]:
    found = [one.get("errorInfo", one).get("reason") for one in details if isinstance(one, dict)]
    return [str(reason) for reason in found if reason]


def _classified(codes: list[str], message: str) -> Failure:
    """Return the failure of the most telling code: a row of the table that fits, the first code first."""
    for code in codes:
        for wanted, part, category in _table():
            if code == wanted and part.lower() in message.lower():
                return Failure(category, codes[0], message)
    server = any(code.isdigit() and 500 <= int(code) < 600 for code in codes)
    return Failure(Category.UNAVAILABLE if server else Category.UNKNOWN, (codes or ["unknown"])[0], message)


@functools.cache
def _table() -> list[tuple[str, str, Category]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [(row["code"], row["message"], Category(row["category"])) for row in rows]
