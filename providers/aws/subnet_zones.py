"""The zones of subnets: learned from EC2's answers, so a zone has one name in launches and in refusals.

EC2 is asked (`ec2:DescribeSubnets`); where it does not say, each machine that comes names its subnet and its zone.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class SubnetZones:
    """What is known of subnets and machines of one region; safe for several threads.

    Args:
        client: boto3's EC2 client.
        provider: the cluster file's ``provider`` section; a single zone in it is that of all subnets.
    """

    def __init__(self, client: Any, provider: dict[str, Any]) -> None:
        self._client = client
        # As it is: `ray up` has checked it, and `ray down` ends machines whatever is written there.
        named = provider.get("availability_zone")
        self._only_zone = named.strip() if isinstance(named, str) and "," not in named else ""
        self._lock = threading.Lock()
        self._of_subnet: dict[str, str] = {}
        self._of_machine: dict[str, str] = {}

    def by_zone(self, subnets: Sequence[str]) -> dict[str, list[str]]:
        """Return subnets by their zones, in the given order; those whose zone is not known have no name."""
        # Once each: of network interfaces, Ray copies one for each of them, and EC2 refuses a list that repeats itself.
        once = list(dict.fromkeys(subnets))
        self._ask([subnet for subnet in once if subnet not in self._of_subnet])
        found: dict[str, list[str]] = {}
        for subnet in once:
            # Ray chooses subnets of the zones that the file names. A guess anyway: what EC2 says replaces it.
            found.setdefault(self._of_subnet.get(subnet) or self._only_zone, []).append(subnet)
        return found

    def learn(self, machines: Iterable[Any]) -> None:
        """Remember where machines are: instances of boto3, as a launch or a listing returns them."""
        for machine in machines:
            described = described_in(machine)
            zone = (described.get("Placement") or {}).get("AvailabilityZone")
            if not zone:
                continue
            with self._lock:
                self._of_machine[machine.id] = zone
                # A subnet stays in its zone.
                if subnet := described.get("SubnetId"):
                    self._of_subnet[subnet] = zone

    def of_machine(self, machine_id: str) -> str:
        """Return the zone of a machine; empty where no answer has said it yet."""
        return self._of_machine.get(machine_id, "")

    def _ask(self, subnets: Sequence[str]) -> None:
        if not subnets:
            return
        try:
            answer = self._client.describe_subnets(SubnetIds=list(subnets))
            known = {subnet["SubnetId"]: subnet["AvailabilityZone"] for subnet in answer["Subnets"]}
        # Asked again at the next launch. That says what is wrong with a subnet, and the machine that comes where it is.
        except Exception:  # noqa: BLE001
            return
        with self._lock:
            self._of_subnet |= known


def described_in(machine: Any) -> Mapping[str, Any]:
    """Return what an instance of boto3 was described as, in EC2's words, without asking."""
    # As an attribute, what an answer lacks would be asked for by a call.
    return getattr(getattr(machine, "meta", None), "data", None) or {}
