"""Promised against detected, for every accelerated EC2 type: stock Ray beside accel_scaling.

Detected: Ray's own detection code, run over emulated devices made from
EC2's recorded API answers and the drivers' names, which share nothing with our catalog. Stock: Ray's AWS provider
against moto's server. A promise is right when the node's truth is exactly what was promised; an exact variant that
we promise beside Ray's type (A100-80G) is checked against the driver's name by the boot check's own rule.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

TYPE = "accelerator_type:"
IGNORED = {"CPU", "memory"}


@dataclass(frozen=True)
class Row:
    """One EC2 type: accelerator resources as promised and as detected."""

    instance_type: str
    stock: dict[str, float]
    ours: dict[str, float]
    detected: dict[str, float]
    stock_right: bool
    ours_right: bool


def rows() -> list[Row]:
    """Return a row for each accelerated type that moto records."""
    from accel_scaling.testing.devices.ec2_machines import _recording, hardware_of

    types = sorted(name for name in _recording() if hardware_of(name).kind != "none")
    stock = stock_promises(types)
    found = []
    for name in types:
        ours = accelerators(our_promise(name))
        detected, confirmed = truth(name, ours)
        stock_right = stock[name] == detected != {}
        found.append(Row(name, stock[name], ours, detected, stock_right, confirmed))
    return found


def accelerators(resources: dict[str, float]) -> dict[str, float]:
    """Return a promise without CPU and memory."""
    return {name: amount for name, amount in resources.items() if name not in IGNORED}


def our_promise(name: str) -> dict[str, float]:
    """Return what our fill promises."""
    from accel_scaling.catalog.load import shipped_catalog
    from accel_scaling.fill.promise import promise_for

    return dict(promise_for(shipped_catalog().machine_type("aws", name)).resources)


def stock_promises(types: list[str]) -> dict[str, dict[str, float]]:
    """Return what Ray's own AWS provider fills, asking moto's server as it would ask EC2."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
    }
    try:
        from ray.autoscaler._private.aws import node_provider

        answer = node_provider.list_ec2_instances("us-east-1")
        node_provider.list_ec2_instances = lambda *_: answer  # asked once, not once a type
        return {name: _stock_promise(node_provider.AWSNodeProvider, name) for name in types}
    finally:
        server.stop()


def _stock_promise(provider: Any, name: str) -> dict[str, float]:
    node_types = {"head": {"node_config": {"InstanceType": "m5.large"}}, "w": {"node_config": {"InstanceType": name}}}
    config = {"provider": {"region": "us-east-1"}, "head_node_type": "head", "available_node_types": node_types}
    filled = provider.fillout_available_node_types_resources(config)
    return accelerators(filled["available_node_types"]["w"].get("resources", {}))


def truth(name: str, promised: dict[str, float]) -> tuple[dict[str, float], bool]:
    """Return what Ray detects on such a machine, and whether our boot check confirms the promise there."""
    from accel_scaling.boot.compare import compare
    from accel_scaling.families.inventory import detect
    from accel_scaling.testing.devices.device_files import install
    from accel_scaling.testing.devices.ec2_machines import hardware_of

    with tempfile.TemporaryDirectory() as folder:
        hardware = hardware_of(name)
        environment = install(Path(folder), hardware)
        with _environment(environment):
            detected = _ray_detects(hardware, Path(folder))
            verdict = compare(promised, detect())
    count = {key: value for key, value in promised.items() if not key.startswith(TYPE)}
    if hardware.kind not in ("nvml", "neuron"):  # Ray names no type: the number of devices is what can be right
        return detected, verdict.confirmed and sum(count.values()) == hardware.count
    same_count = count == {key: value for key, value in detected.items() if not key.startswith(TYPE)}
    # A partition (`NVIDIA L4-3Q`) is announced as such, by the start hook, and never as the whole chip's type.
    partition = hardware.driver_name.endswith("Q")
    types = {key for key in detected if key.startswith(TYPE)} <= set(promised) or partition
    return detected, verdict.confirmed and same_count and types


def _ray_detects(hardware: Any, root: Path) -> dict[str, float]:
    from ray._private.accelerators import NeuronAcceleratorManager, NvidiaGPUAcceleratorManager

    if hardware.kind == "nvml":
        manager: Any = NvidiaGPUAcceleratorManager
        count = manager.get_current_node_num_accelerators()
    elif hardware.kind == "neuron":
        manager = NeuronAcceleratorManager
        count = _neuron_cores(manager, root)
    else:
        return {}
    return {manager.get_resource_name(): count, TYPE + manager.get_current_node_accelerator_type(): 1}


def _neuron_cores(manager: Any, root: Path) -> int:
    """Run Ray's own counting with its fixed /opt/aws/neuron/bin moved under the emulated machine's root."""
    from ray._private.accelerators import neuron

    folder = str(root / "opt/aws/neuron/bin/")
    real = neuron.os
    moved = type("MovedOs", (), {"path": real.path, "environ": real.environ})
    moved.path = type("MovedPath", (), {"isdir": lambda _: True, "join": lambda _, tool: f"{folder}/{tool}"})
    neuron.os = moved
    try:
        return int(manager.get_current_node_num_accelerators())
    finally:
        neuron.os = real


class _environment:  # noqa: N801 - reads as a statement
    def __init__(self, variables: dict[str, str]) -> None:
        self._variables = variables

    def __enter__(self) -> None:
        os.environ |= self._variables

    def __exit__(self, *_: object) -> None:
        for name in self._variables:
            os.environ.pop(name, None)


def show(table: list[Row]) -> str:
    """Return the table as text, wrong promises marked."""
    from accel_scaling.tables import render
    from accel_scaling.testing.rehearse.timeline import shown

    lines = [
        (
            row.instance_type,
            shown(row.detected) or "(Ray has no manager)",
            ("  " if row.stock_right else "X ") + (shown(row.stock) or "nothing"),
            ("  " if row.ours_right else "X ") + shown(row.ours),
        )
        for row in table
    ]
    head = ("EC2 type", "detected on the node", "stock promises", "we promise")
    right = (
        f"right: stock {sum(r.stock_right for r in table)}, ours {sum(r.ours_right for r in table)}, of {len(table)}"
    )
    return render(head, lines) + "\n" + right


def _with_emulated_driver() -> None:
    """Start this script again with the emulated driver's library: the linker looks for it only at the start."""
    from accel_scaling.testing.devices.device_files import install
    from accel_scaling.testing.devices.drivers import NVML_CONFIG_VARIABLE
    from accel_scaling.testing.devices.ec2_machines import hardware_of

    if NVML_CONFIG_VARIABLE in os.environ:
        return
    with tempfile.TemporaryDirectory(prefix="accel-nvml-") as folder:
        environment = {**os.environ, **install(Path(folder), hardware_of("p4d.24xlarge"))}
        raise SystemExit(subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode)


def main() -> None:
    """Print the table, or its rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the rows as a JSON list")
    as_json = parser.parse_args().json
    _with_emulated_driver()
    with contextlib.redirect_stdout(sys.stderr):  # Ray says there what it creates
        table = rows()
    print(json.dumps([asdict(row) for row in table]) if as_json else show(table))


if __name__ == "__main__":
    main()
