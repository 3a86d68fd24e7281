"""What behaves differently after a migration, as far as this file meets it: one sentence each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from accel_scaling._ray.facts import GPU
from accel_scaling.cluster.cluster import node_config_reader
from accel_scaling.message_text import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from accel_scaling.cluster.cluster import Cluster


_COMMANDS = (
    "`ray up`, `ray exec` and `ray down` with this file need this package beside Ray; nodes get it by themselves"
)


class StockDifferences(Protocol):
    """The part ``stock_differences`` of a cloud's folder: what is not as with Ray's own provider for it."""

    def differences(self, cluster: Cluster, without_image: Sequence[str]) -> Iterator[str]:
        """Yield a sentence for each difference that this file meets.

        Args:
            cluster: the migrated file, read.
            without_image: its node types that get a default image.
        """


def differences(before: dict[str, Any], cluster: Cluster) -> list[str]:
    """Return what behaves differently with the provider of this package; the most important first.

    Args:
        before: the file's content before the migration.
        cluster: the migrated file, read.
    """
    part: StockDifferences = cluster.cloud.part("stock_differences")
    return [
        *_common(before, cluster),
        *part.differences(cluster, _without_image(cluster)),
        *_of_devices(cluster),
        _COMMANDS,
    ]


def _common(before: dict[str, Any], cluster: Cluster) -> Iterator[str]:
    yield (
        "a node joins only after a check of its devices; a machine without what is promised is terminated, and after "
        "two of them its node type is in quarantine for a while"
    )
    own = [name for name, one in cluster.node_types.items() if not one.resources]
    if own:
        yield f"resources and labels of {listed(own)} come from the catalog: `accel-scaling fill` shows them"
    if "setup_commands" not in before:
        yield (
            "nodes without Ray install the version of the machine that runs `ray up`; Ray's own default is a nightly "
            "build"
        )
    if len(cluster.placement.zones) > 1:
        yield "a launch tries one zone after another; a zone that is sold out is tried last for a while"


def _of_devices(cluster: Cluster) -> Iterator[str]:
    spared = [
        name
        for name, one in cluster.node_types.items()
        if not one.is_head and one.machine.machine.chip is not None and one.machine.machine.chip.resource != GPU
    ]
    if spared:
        yield f"tasks that ask for no accelerator launch {listed(spared)} last; Ray itself spares GPUs only"
    if cluster.config.get("docker") and any(one.machine.machine.chip for one in cluster.node_types.values()):
        yield "containers get the options that show them the devices, where the file has none"


def _without_image(cluster: Cluster) -> list[str]:
    reader = node_config_reader(cluster.cloud)
    return [
        name
        for name, one in cluster.node_types.items()
        if one.machine.slice is None and reader.with_image(one, one.node_config, cluster.provider)[0] != one.node_config
    ]
