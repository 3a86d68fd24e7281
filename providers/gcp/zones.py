"""What is the same for machines and slices: they are listed zone by zone, and all zones at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from accel_scaling.providers.gcp.calls import call_each
from accel_scaling.providers.gcp.errors import of_exception

if TYPE_CHECKING:
    from collections.abc import Sequence


class ListingFailedError(Exception):
    """A zone could not be asked for its nodes, so nobody knows all of them."""


class OverZones:
    """The listings of a resource that lives in several zones; `_list_zone` asks one of them for all pages."""

    KIND = ""

    def _set_zones(self, zones: Sequence[str]) -> None:
        self.zones = list(zones)
        # Of their own, and kept: a listing waits for nothing else, and its connections stay open.
        self._listers = ThreadPoolExecutor(len(self.zones), thread_name_prefix="accel-gcp-list")

    def list_all(self) -> list[Any]:
        """Return every node of the cluster, stopped ones too.

        Raises:
            ListingFailedError: one of the zones could not be asked.
        """
        found, errors = call_each(self._list_zone, self.zones, pool=self._listers)
        for zone, error in errors.items():
            failure = of_exception(error)
            raise ListingFailedError(
                f"provider.availability_zone {zone}: the cluster's nodes there ({self.KIND}) could not be listed: "
                f"{failure.category.value}: Google says: {failure}"
            ) from error
        return [node for zone in self.zones for node in found[zone]]

    def list_instances(
        self,
        label_filters: dict[str, str] | None = None,
        is_terminated: bool = False,  # noqa: FBT001, FBT002 - as Ray calls it
    ) -> list[Any]:
        """Return the nodes with these tags, as Ray's do: those that exist, or those that are stopped."""
        wanted = (label_filters or {}).items()
        return [
            node
            for node in self.list_all()
            if (node.is_stopped() if is_terminated else not node.is_terminated())
            and wanted <= node.get_labels().items()
        ]

    def _list_zone(self, zone: str) -> list[Any]:
        raise NotImplementedError
