"""An account of what was bought in which order, kept from the cloud's side: each request with what became of it.

A launch may ask for machines in one way only when each earlier way of the user's order has definitely none: the cloud
has refused it, or a reservation has no free place by the cloud's own count. After a request of which nobody knows what
became of it, nothing may be asked for in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

REFUSED, GRANTED, OPEN = "refused", "granted", "open"


@dataclass(frozen=True)
class Request:
    """One request for machines, as the cloud has seen it.

    Attributes:
        way: the key of its capacity entry.
        zone: where.
        outcome: refused, granted, or open: the caller does not know.
        code: of the refusal.
        token: by which the cloud knows the same request again.
        unusable: the reservations without a free place then, by the cloud's own count.
    """

    way: str
    zone: str
    outcome: str
    code: str = ""
    token: str = ""
    unusable: frozenset[str] = frozenset()


def check_order(
    order: Sequence[str],
    zones_of: Callable[[str], set[str]],
    requests: Sequence[Request],
    sold_out: set[str],
    earlier_tokens: set[str],
) -> None:
    """Check the requests of one launch against the user's order.

    Args:
        order: the keys of the capacity entries.
        zones_of: the zones in which a way is to be tried.
        requests: of the launch, in their order.
        sold_out: the codes that another zone may answer differently.
        earlier_tokens: of requests of earlier launches: repeated, they bring what those have asked for, once.
    """
    requests = [one for one in requests if not (one.token and one.token in earlier_tokens)]
    for number, request in enumerate(requests):
        assert request.way in order, f"{request} is in no order of the user's"
        before = requests[:number]
        for earlier in order[: order.index(request.way)]:
            last = {one.zone: one for one in before if one.way == earlier}
            still_open = [one for one in last.values() if one.outcome == OPEN]
            assert not still_open, f"{request} beside {still_open[0]}, of which nobody knows what became"
            if earlier in request.unusable:
                continue
            refused = {zone for zone, one in last.items() if one.outcome == REFUSED}
            for_good = any(one.code not in sold_out for one in last.values() if one.outcome == REFUSED)
            assert for_good or refused >= zones_of(earlier), f"{request} before {earlier} was refused in every zone"
