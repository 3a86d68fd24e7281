"""The Ferrum N1, a made-up NPU: everything that accel_scaling needs to know of the family."""

from collections.abc import Sequence
from pathlib import Path

from accel_scaling.families import Family

PRODUCT = "sys/class/ferrum/ferrum{}/product"  # a file of the driver's for each device


def probe(root: Path) -> list[str]:
    """Ask the driver for each device's product."""
    return [path.read_text().strip() for path in sorted(root.glob(PRODUCT.format("[0-9]*")))]


def emulate(root: Path, products: Sequence[str]) -> None:
    """For rehearsals: write what the driver would show."""
    for number, product in enumerate(products):
        file = root / PRODUCT.format(number)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(product + "\n")


FAMILY = Family(
    name="ferrum",
    resource="FERRUM",
    visible_devices="FERRUM_VISIBLE_DEVICES",
    shared=True,  # two tasks may have half of one N1 each
    nodes="ferrum[0-9]*",
    probe=probe,
    emulate=emulate,
    each_device="--device=/dev/ferrum{n}",
    driver="the ferrum kernel driver",
    device_plugin="ferrum.example.com/n1",  # in a pod's limits on Kubernetes
)
