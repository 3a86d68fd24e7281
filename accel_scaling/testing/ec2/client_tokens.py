"""Client tokens of RunInstances, as AWS documents them; moto takes one and launches again.

A request with the token of one that succeeded, and with the same parameters, gets the same machines. With other
parameters it is refused. A request that failed leaves nothing behind.
Sources: docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html, and the codes of
docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_ENDED = ("shutting-down", "terminated")


@dataclass
class _Launch:
    """What a token stands for; ``reservation`` is None until the machines are there."""

    parameters: dict[str, Any]
    reservation: Any = None


def launched_before(response: Any) -> Any | None:
    """Return the reservation of a request that was carried out already; remember the request where it was not.

    Args:
        response: moto's response object of the request.

    Raises:
        EC2ClientError: its token stands for another request, or for machines that have ended.
    """
    from moto.ec2.exceptions import EC2ClientError

    parameters = copy.deepcopy(dict(response.params))
    token = parameters.get("ClientToken")
    if not token:
        return None
    launches = _launches(response.ec2_backend)
    known = launches.get(token)
    if known is None or known.reservation is None:
        launches[token] = _Launch(parameters)
        return None
    if known.parameters != parameters:
        raise EC2ClientError("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent.")
    if _ended(known.reservation.instances):
        raise EC2ClientError("IdempotentInstanceTerminated", "The instance of this client token has been terminated.")
    return known.reservation


def note_launched(backend: Any, token: str | None, reservation: Any) -> None:
    """Remember what a request with a token has launched."""
    if known := _launches(backend).get(token or ""):
        known.reservation = reservation


def _launches(backend: Any) -> dict[str, _Launch]:
    kept: dict[str, _Launch] = backend.__dict__.setdefault("rehearsal_tokens", {})
    return kept


def _ended(instances: Iterable[Any]) -> bool:
    return all(instance.state in _ENDED for instance in instances)
