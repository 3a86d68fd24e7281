"""Inputs for every command: a case is a command line with its files and environment, made from real files at random."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from accel_scaling.inputs.yaml_nodes import FAST
from tests.hostile import structures
from tests.hostile.mutations import ARGUMENTS, changed, changed_json, changed_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

ROOT = Path(__file__).resolve().parents[2]
SEEDS = Path(__file__).with_name("seeds")
PROMISE = '{"CPU": 8, "GPU": 1, "accelerator_type:A10G": 1, "memory": 12345678}'
STATE = {
    "version": 1,
    "kept": {"i-1": "kept for inspection"},
    "types": {
        "w": {
            "zones": ["us-west-2a"],
            "boots": [{"zone": "us-west-2a", "verdict": "NoDevice"}],
            "quarantines": [
                {
                    "zone": "us-west-2a", "kind": "refused", "reason": "NoDevice", "message": "promised 1 x A10G",
                    "since_s": 1.0, "until_s": 4e9, "times": 1,
                }
            ],
        }
    },
    "judged": {"i-1": "NoDevice"},
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One input.

    Attributes:
        group: what is tried, such as ``kuberay fill``.
        words: the command line; of ``ray up`` the name of the cluster file alone.
        files: content by name, in the folder where the command runs.
        environment: variables for it.
    """

    group: str
    words: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the case as a file of `found/` has it."""
        content = {
            "group": self.group,
            "words": [word.encode("utf-8", "surrogateescape").decode("latin-1") for word in self.words],
            "files": {name: base64.b64encode(data).decode() for name, data in self.files.items()},
            "environment": dict(self.environment),
        }
        return json.dumps(content, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Case:
        """Return the case of a file of `found/`."""
        content: dict[str, Any] = json.loads(text)
        words = tuple(word.encode("latin-1").decode("utf-8", "surrogateescape") for word in content["words"])
        files = {name: base64.b64decode(data) for name, data in content["files"].items()}
        return cls(content["group"], words, files, content["environment"])


@cache
def clusters() -> list[bytes]:
    paths = [*sorted((ROOT / "example_clusters").glob("*.yaml")), *sorted(SEEDS.glob("cluster-*.yaml"))]
    return [path.read_bytes() for path in paths]


@cache
def manifests() -> list[bytes]:
    paths = [*sorted((ROOT / "tests/data/kuberay").glob("*.yaml")), *sorted(SEEDS.glob("kuberay-*.yaml"))]
    return [path.read_bytes() for path in paths]


@cache
def loaded(cluster: bool) -> list[Any]:
    """The same, as YAML means them."""
    texts = clusters() if cluster else manifests()
    found = []
    for text in texts:
        with contextlib.suppress(yaml.YAMLError):  # a template
            found += [one for one in yaml.load_all(text, Loader=FAST) if isinstance(one, dict)]
    return found


def cluster(random: Random) -> bytes:
    """Return a cluster file with something changed: in its text, or in its meaning."""
    if random.randrange(3) == 0:
        return changed(random, random.choice(clusters()))
    others = loaded(cluster=True)
    return structures.written(structures.changed(random, copy.deepcopy(random.choice(others)), others))


def manifest(random: Random) -> bytes:
    """Return the same of a manifest."""
    if random.randrange(2):
        return changed(random, random.choice(manifests()))
    others = loaded(cluster=False)
    return structures.written(structures.changed(random, copy.deepcopy(random.choice(others)), others))


@cache
def catalogs() -> dict[str, bytes]:
    """The beginnings of catalog files, by their names: some rows of each, so a command takes milliseconds."""
    tables = {path.name: path.read_bytes() for path in sorted((ROOT / "catalogs").glob("*.csv"))}
    found = {name: b"\n".join(data.split(b"\n")[:14]) + b"\n" for name, data in tables.items()}
    chips = (ROOT / "catalogs/accelerators.yaml").read_bytes().split(b"\n")
    found["accelerators.yaml"] = b"\n".join(line for line in chips[:60] if not line.startswith(b"#")) + b"\n"
    found["mine_hardware.csv"] = b"instance,count,driver_name\nx9.large,1,NVIDIA L4\n"
    return found


PRICES = b"instance_type,price_per_hour,spot_price_per_hour\ng5.xlarge,1.006,0.4\ng4dn.xlarge,0.526,\n"


def fill(random: Random) -> Case:
    return Case("fill", ("fill", "c.yaml"), {"c.yaml": cluster(random)})


def rehearse(random: Random) -> Case:
    words = ("rehearse", "c.yaml", *random.choice(((), ("--faults", "f.txt"), ("--fault", random.choice(ARGUMENTS)))))
    faults = changed(random, b"no-capacity:g5.xlarge\nfewer:p4d.24xlarge=4 # four\n")
    return Case("rehearse", words, {"c.yaml": cluster(random), "f.txt": faults})


def plan(random: Random) -> Case:
    words = ("plan", "c.yaml", "--demand", "A10G", *random.choice(((), ("--json",))))
    return Case("plan", words, {"c.yaml": cluster(random)})


def plan_arguments(random: Random) -> Case:
    option = random.choice(
        (["--demand", "A10G:1x2", "CPU:4"], ["--gang", "PACK", "A10G:1x2"], ["--label", "a=b"], ["--address", "x:1"])
    )
    words = changed_words(random, ["plan", "c.yaml", "--demand", "T4:0.5x4", *option])
    return Case("plan arguments", tuple(words), {"c.yaml": clusters()[1]})


def prices(random: Random) -> Case:
    words = ("plan", "c.yaml", "--demand", "A10G:1x2", "T4", "--prices", "p.csv")
    return Case("prices", words, {"c.yaml": clusters()[1], "p.csv": changed(random, PRICES)})


def catalog_check(random: Random) -> Case:
    name = random.choice(sorted(catalogs()))
    other = random.choice((name, random.choice(sorted(catalogs())), "mine.csv", "mine.yaml"))
    return Case("catalog check", ("catalog", "check", other), {other: changed(random, catalogs()[name])})


def user_catalog(random: Random) -> Case:
    name = random.choice(("aws.csv", "gcp.csv", "accelerators.yaml", "aws_places.csv"))
    data = changed(random, catalogs()[name])
    words = random.choice(
        (
            ("catalog", "show", "g5.xlarge", "--catalog", name),
            ("catalog", "find", "--accelerator", "A10G", "--catalog", name, "--json"),
            ("fill", "c.yaml"),
            ("init", "aws", "--accelerator", "A10G", "--catalog", name),
        )
    )
    text = clusters()[1].replace(b"\nprovider:\n", f"\nprovider:\n  catalog: {name}\n".encode(), 1)
    return Case("user catalog", words, {name: data, "c.yaml": text})


def home_catalog(random: Random) -> Case:
    name = random.choice(sorted(catalogs()))
    path = f"home/.accel_scaling/{random.choice(('', 'refresh/'))}{name}"
    words = random.choice((("catalog", "check"), ("catalog", "show", "a2-highgpu-1g"), ("catalog", "find", "--json")))
    return Case("home catalog", words, {path: changed(random, catalogs()[name])})


def catalog_arguments(random: Random) -> Case:
    words = random.choice(
        (
            ["catalog", "show", "p4d.24xlarge", "--json"],
            ["catalog", "show", "v4-16", "--cloud", "gcp"],
            ["catalog", "show", "n2-custom-8-32768"],
            ["catalog", "find", "--accelerator", "A100", "--min-count", "8", "--region", "us-east-2"],
            ["catalog", "find", "--cloud", "gcp", "--all"],
        )
    )
    return Case("catalog arguments", tuple(changed_words(random, words)))


def kuberay_fill(random: Random) -> Case:
    words = ("kuberay", "fill", "m.yaml", *random.choice(((), (), ("--kuberay-version", "1.4"))))
    return Case("kuberay fill", words, {"m.yaml": manifest(random)})


def kuberay_check(random: Random) -> Case:
    return Case("kuberay check", ("kuberay", "check", "m.yaml"), {"m.yaml": manifest(random)})


def confirm(random: Random) -> Case:
    text = changed_json(random, PROMISE)
    if random.randrange(2):
        return Case("confirm", ("confirm", "--expect", text.replace("\0", ""), *random.choice(((), ("--json",)))))
    safe = text.replace("\0", "").encode("utf-8", "ignore").decode()
    return Case("confirm", ("confirm",), environment={"RAY_OVERRIDE_RESOURCES": safe})


def status(random: Random) -> Case:
    text = changed_json(random, json.dumps(STATE)).encode("utf-8", "surrogateescape")
    data = changed(random, text) if random.randrange(3) == 0 else text
    words = random.choice((("status",), ("status", "--json"), ("status", "--clear"), ("status", "--clear", "w")))
    return Case("status", (*words, "--state", "s.json"), {"s.json": data})


def init(random: Random) -> Case:
    words = random.choice(
        (
            ["init", "aws", "--accelerator", "A100-80G:8", "--accelerator", "T4", "--spot"],
            [
                "init",
                "aws",
                "--accelerator",
                "Trainium2",
                "--cpus",
                "16",
                "--region",
                "us-east-2",
                "--max-workers",
                "3",
            ],
            ["init", "gcp", "--accelerator", "L4", "--project", "p-123456", "--zones", "us-central1-a,us-central1-b"],
            ["init", "gcp", "--accelerator", "v5litepod-16", "--name", "mine"],
        )
    )
    return Case("init", tuple(changed_words(random, words)))


# The files in which a driver or the bus shows devices, below an emulated machine's root.
TREE = {
    "sys/bus/pci/devices/0000:00:1e.0/vendor": b"0x10de\n",
    "sys/bus/pci/devices/0000:00:1e.0/device": b"0x2237\n",
    "sys/bus/pci/devices/0000:00:1e.0/class": b"0x030200\n",
    "sys/bus/pci/devices/0000:00:1e.0/subsystem_device": b"0x152f\n",
    "proc/driver/nvidia/version": b"NVRM version: 550\n",
    "proc/driver/nvidia/gpus/0000:00:1e.0/information": b"Model: NVIDIA A10G\n",
    "proc/uptime": b"3600.00 3000.00\n",
    "dev/nvidia0": b"",
    "dev/nvidiactl": b"",
    "dev/neuron0": b"",
    "dev/accel0": b"",
    "sys/devices/virtual/neuron_device/neuron0/core_count": b"2\n",
    "etc/hosts": b"127.0.0.1 localhost\n",
}


def detect(random: Random) -> Case:
    files = {}
    for name, data in TREE.items():
        if random.randrange(4):
            files[f"root/{name}"] = changed(random, data) if random.randrange(3) == 0 else data
    words = random.choice((("detect",), ("detect", "--json"), ("confirm", "--expect", PROMISE)))
    return Case("detect", words, files, {"ACCEL_SCALING_SYSROOT": "root"})


def any_words(random: Random) -> Case:
    command = random.choice(
        ("fill", "plan", "catalog", "kuberay", "detect", "confirm", "status", "completion", "init", "x")
    )
    words = changed_words(random, [command, *random.choices(ARGUMENTS, k=random.randrange(4))])
    return Case("any words", tuple(words), {"c.yaml": clusters()[1]})


def ray_up(random: Random) -> Case:
    return Case("ray up", ("c.yaml",), {"c.yaml": cluster(random)})


# How many of a hundred inputs each gets: files that people write by hand the most.
GROUPS: Mapping[Callable[[Random], Case], int] = {
    fill: 14, rehearse: 7, plan: 8, plan_arguments: 6, prices: 4, catalog_check: 8, user_catalog: 7, home_catalog: 4,
    catalog_arguments: 5, kuberay_fill: 9, kuberay_check: 6, confirm: 5, status: 5, init: 4,
    detect: 3, any_words: 2, ray_up: 3,
}  # fmt: skip


def case_of(random: Random) -> Case:
    """Return one input at random."""
    (group,) = random.choices(list(GROUPS), list(GROUPS.values()))
    return group(random)
