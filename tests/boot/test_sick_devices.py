"""What a later look says of emulated devices: what is a fault, what a person may have done, and how sure that is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from accel_scaling.boot.compare import compare
from accel_scaling.boot.node_event import EventKind
from accel_scaling.boot.sick_devices import devices_of, sick_of
from accel_scaling.boot.verdicts import VerdictWord
from accel_scaling.boot.watcher_start import Watched
from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cluster.policies import WatcherPolicy
from accel_scaling.detect import forked_call
from accel_scaling.detect.model import Detection, DriverState
from accel_scaling.families.built_in.nvidia import nvml
from accel_scaling.fill.promise import promise_for

POLICY = {kind: getattr(WatcherPolicy(), kind.value) for kind in EventKind}


def watched(machine: str) -> Watched:
    promised = promise_for(shipped_catalog().machine_type("aws", machine)).resources
    return Watched("aws", POLICY, 300, {name: float(amount) for name, amount in promised.items()})


@pytest.mark.parametrize(
    ("machine", "fault", "expected"),  # the word, whether it is sure, whether it can act
    [
        ("g4dn.xlarge", "unhealthy", ("Unhealthy", True, True)),  # off the bus
        ("p4d.24xlarge", "ecc", ("Unhealthy", True, True)),
        ("p4d.24xlarge", "fewer", ("FewerThanPromised", True, True)),
        ("p4d.24xlarge", "no-device", ("NoDevice", True, True)),
        ("trn1.32xlarge", "ecc", ("Unhealthy", True, True)),
        # The tool fails as a whole, as it does while its package is replaced.
        ("trn1.32xlarge", "unhealthy", ("Unhealthy", False, True)),
        ("p4d.24xlarge", "no-driver", ("DriverMissing", False, True)),
        # A person has done it; and a device that has no slice yet may get some in a moment.
        ("p4d.24xlarge", "mig:7", ("OtherType", False, False)),
        ("p4d.24xlarge", "mig:0", ("Unhealthy", False, True)),
    ],
)
def test_devices_that_hold_the_promise_no_more_are_sick(
    machine: str, fault: str, expected: tuple[str, bool, bool], boot: Any
) -> None:
    look = devices_of(watched(machine))
    boot(machine)
    assert look() is None
    boot(machine, fault)
    found = look()
    assert found is not None
    assert (found.code, found.sure, found.acts) == expected


BROKEN = [
    ("g4ad.16xlarge", "amdsmi/__init__.py", "import not_there"),
    ("dl1.24xlarge", "habana_frameworks/torch/hpu.py", "import ctypes; ctypes.CDLL('libSynapse.so')"),
    ("trn1.32xlarge", "neuron/bin/neuron-ls", "exit 127"),
    ("inf2.48xlarge", "neuron/bin/neuron-ls", None),
]


@pytest.mark.parametrize(("machine", "file", "text"), BROKEN)
def test_a_makers_package_that_pip_has_broken_is_told_and_is_no_sick_device(
    machine: str, file: str, text: str | None, boot: Any
) -> None:
    look = devices_of(watched(machine))
    break_file(boot(machine).root, file, text)
    found = look()
    assert found is not None
    assert (found.code, found.sure, found.acts) == ("Unknown", False, False)
    assert "the driver has all devices, and their health is not known" in found.message
    break_file(boot(machine, "no-node").root, file, text)
    missing = look()
    assert missing is not None
    assert missing.acts, "a device that is gone is seen without the package"


@pytest.mark.parametrize(("machine", "fault"), [("dl1.24xlarge", "unhealthy"), ("trn1.32xlarge", "ecc")])
def test_a_device_that_the_driver_calls_sick_is_sick_whatever_the_makers_package_does(
    machine: str, fault: str, boot: Any
) -> None:
    file, text = next((file, text) for name, file, text in BROKEN if name == machine)
    look = devices_of(watched(machine))
    break_file(boot(machine, fault).root, file, text)
    found = look()
    assert found is not None
    assert (found.code, found.sure, found.acts) == ("Unhealthy", True, True)


def break_file(root: Path, file: str, text: str | None) -> None:
    (path,) = root.rglob(file)
    if text is None:
        path.unlink()
    else:
        path.write_text(text)


@pytest.mark.parametrize("error", [forked_call.NoAnswerError("no process for it"), forked_call.CrashedError("SIGKILL")])
def test_a_probe_for_which_memory_or_processes_lack_proves_nothing(
    error: Exception, boot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(*_: Any) -> Any:
        raise error

    boot("p4d.24xlarge")
    monkeypatch.setattr(nvml.forked_call, "call", call)
    found = devices_of(watched("p4d.24xlarge"))()
    assert found is not None
    assert not found.sure


def test_a_host_of_a_slice_with_all_its_chips_is_well_while_the_metadata_server_is_silent() -> None:
    promised = {"TPU": 4.0, "accelerator_type:TPU-V4": 1.0, "TPU-v4-16-head": 1.0}
    host = Detection(
        "tpu", "TPU", count=4, units=4, ray_units=4, bus_count=4, driver_count=4, state=DriverState.NOT_YET, trouble="x"
    )
    verdict = compare(promised, [host])
    assert verdict.word is VerdictWord.NOT_YET
    assert sick_of(verdict, [host]) is None
    hangs = replace(host, count=0, units=0, driver_count=0)
    assert sick_of(compare(promised, [hangs]), [hangs]) is not None


def test_a_node_without_accelerators_is_not_looked_at() -> None:
    assert not watched("m5.large").watches_devices
    assert watched("g4dn.xlarge").watches_devices
