"""`accel-scaling rehearse` as a user runs it: each example, an ordinary account, Ctrl-C, and bad input."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from accel_scaling.cli.main import main
from accel_scaling.testing import Fault, fault_source
from accel_scaling.testing.fault_source import FaultSource
from accel_scaling.testing.rehearse.timeline import Timeline
from tests.support.cluster import LEAN
from tests.support.needs import NEEDS_ISOLATED_HOSTS
from tests.support.rehearsal import REHEARSE, ROOT, environment, lean, left_behind

NOBODY = 65534
NO_CAPABILITIES = ("--inh-caps=-all", "--bounding-set=-all", "--no-new-privs")

cluster = [pytest.mark.cluster, pytest.mark.timeout(400)]


# Each example, the accelerator types of its tasks, and what else is asked of its rehearsal. aws-gpu and gcp-gpu run as
# an ordinary user.
EXAMPLES = {
    "aws-mixed": (("T4", "A10G", "A100-80G"), ["--fault", "no-capacity:g4dn.xlarge/spot"]),
    "aws-trainium": (("Trainium", "Trainium2"), []),
    "gcp-a3-multizone": (("H100",), ["--fault", "no-capacity:a3-highgpu-8g@us-central1-a"]),
    "gcp-tpu-v5e": (("TPU-V5LITEPOD",), ["--hosts", "processes"]),
    "gcp-tpu-v4-pod": (("TPU-V4",), []),
}
# What the cloud refuses: spot of the T4, and one of three zones. The same launch gets a machine in another way.
REFUSED = {
    "aws-mixed": "g4dn.xlarge for t4 (spot): InsufficientInstanceCapacity",
    "gcp-a3-multizone": "a3-highgpu-8g for h100 (spot): ZONE_RESOURCE_POOL_EXHAUSTED",
}
# With Ray's own start commands, as those two are.
AS_THEY_STAND = {"aws-mixed"}
# By night: tests/loop/test_accs.py runs tasks on Neuron cores, and tests/loop/test_gcp.py on a v4 slice of two hosts.
BY_NIGHT = {"aws-trainium", "gcp-tpu-v4-pod"}


def test_every_example_is_rehearsed_here_or_in_another_test() -> None:
    there = {path.stem for path in (ROOT / "example_clusters").glob("*.yaml")}
    # aws-ferrum in tests/loop/test_plugin.py. Without Ray: those for training in tests/docs/test_training_pages.py, and
    # those of capacity types in tests/docs/test_capacity_examples.py.
    without_ray = {"aws-p5-efa", "gcp-a3-ultra", "aws-trn2-reserved", "gcp-tpu-v6e-queued"}
    assert there == {*EXAMPLES, *without_ray, "aws-gpu", "gcp-gpu", "aws-ferrum"}


@pytest.mark.parametrize(
    "example", [pytest.param(name, marks=pytest.mark.wide) if name in BY_NIGHT else name for name in EXAMPLES]
)
@pytest.mark.cluster
@pytest.mark.timeout(400)
def test_each_example_runs_a_task_on_every_accelerator_type_of_its_file(example: str, scratch: Path) -> None:
    types, options = EXAMPLES[example]
    path = ROOT / "example_clusters" / f"{example}.yaml"
    done = subprocess.run(
        [*REHEARSE, path if example in AS_THEY_STAND else lean(path, scratch), *options],
        capture_output=True, text=True, env=environment(scratch), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for name in types:
        assert f"running    accelerator_type={name!r} on " in done.stdout
    assert "never joined" not in done.stdout
    assert "had not joined" not in done.stdout
    if example in REFUSED:
        assert f"failed     1 x {REFUSED[example]}" in done.stdout
    assert left_behind(scratch) == []


@pytest.mark.parametrize(("example", "types"), [("aws-gpu", ["T4", "A10G"]), ("gcp-gpu", ["L4", "T4"])])
@pytest.mark.cluster
@pytest.mark.timeout(400)
def test_an_ordinary_user_without_any_capability_can_rehearse(example: str, types: list[str], scratch: Path) -> None:
    prefix = ["setpriv", *NO_CAPABILITIES] if shutil.which("setpriv") else []
    if os.geteuid() == 0 and os.access(sys.executable, os.X_OK) and readable_by_others(ROOT):
        prefix += [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    done = subprocess.run(
        [*prefix, *REHEARSE, ROOT / "example_clusters" / f"{example}.yaml"],
        capture_output=True, text=True, env=environment(scratch), check=False, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hosts: plain processes on loopback addresses: " in done.stdout
    for name in types:
        assert f"running    accelerator_type={name!r} on " in done.stdout
    assert left_behind(scratch) == []


def readable_by_others(path: Path) -> bool:
    """Whether an ordinary account can reach this folder and the interpreter."""
    folders = [*path.parents, path, *Path(sys.executable).resolve().parents, *Path(sys.executable).parents]
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in folders)


@pytest.mark.cluster
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("hosts", "end", "at"),
    [
        # The head's Ray is starting: the worst moment.
        pytest.param("isolated", signal.SIGINT, "confirmed", marks=NEEDS_ISOLATED_HOSTS),
        ("processes", signal.SIGTERM, "confirmed"),
        # The head boots, and `ray up` waits for it.
        ("processes", signal.SIGINT, "launched"),
        ("processes", signal.SIGHUP, "launched"),
    ],
)
def test_whoever_ends_a_rehearsal_finds_nothing_left_behind(
    hosts: str, end: signal.Signals, at: str, scratch: Path
) -> None:
    process = subprocess.Popen(
        [*REHEARSE, ROOT / "example_clusters" / "aws-gpu.yaml", "--hosts", hosts],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(scratch),
        start_new_session=True,
        # A runner in the background, or nohup, may have had them ignored; a terminal has not.
        preexec_fn=lambda: [signal.signal(one, signal.SIG_DFL) for one in (signal.SIGINT, signal.SIGHUP)],  # noqa: PLW1509
    )  # fmt: skip
    said = []
    for line in process.stdout or ():
        said.append(line)
        if f" {at} " in line:
            if end == signal.SIGINT:
                os.killpg(process.pid, end)  # as a terminal does
            else:
                process.send_signal(end)
            break
    rest, _ = process.communicate(timeout=90)
    assert process.returncode == (129 if end == signal.SIGHUP else 130), "".join(said) + rest
    assert "Traceback" not in rest
    deadline = time.monotonic() + 20
    while left_behind(scratch) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left_behind(scratch) == []
    assert [entry.name for entry in scratch.iterdir() if entry.name.startswith("accel-")] == []


def test_a_file_without_a_region_is_refused_in_one_sentence(
    examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text((examples / "aws-gpu.yaml").read_text().replace("  region: us-west-2\n", ""))
    assert main(["rehearse", str(path)]) == 2
    assert capsys.readouterr().err.startswith("accel-scaling: provider.region is missing")


def test_faults_in_a_file_are_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "faults.txt"
    path.write_text("# sold out\nno-capacity:g5.xlarge\n")
    source = FaultSource(["fewer:p4d.24xlarge=7"], path)
    assert source.now == (Fault.fewer("p4d.24xlarge", 7), Fault.no_capacity("g5.xlarge"))
    assert not source.changed()
    path.write_text("capacity:g5.xlarge=2\n")
    assert source.changed()
    assert source.now == (Fault.fewer("p4d.24xlarge", 7), Fault.capacity("g5.xlarge", 2))


def test_faults_of_standard_input_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = iter(["no-capacity:g5.xlarge\n", ""])
    monkeypatch.setattr(fault_source, "read_text", lambda path: next(read) if path == Path("-") else "")
    source = FaultSource((), Path("-"))
    assert not source.changed()
    assert source.now == (Fault.no_capacity("g5.xlarge"),)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere.yaml"], "nowhere.yaml does not exist"),
        (["{aws-gpu}", "--fault", "nonsense:g5.xlarge"], "--fault nonsense:g5.xlarge: expected WORD:TYPE"),
        (["{aws-gpu}", "--fault", "fewer:g5.xlarge"], "--fault fewer:g5.xlarge: expected a whole number after `=`"),
        (["{aws-gpu}", "--fault", "other:g5.xlarge"], "--fault other:g5.xlarge: say what the driver names"),
        (["{aws-gpu}", "--faults", "nowhere.txt"], "--faults nowhere.txt cannot be read"),
        (["{aws-gpu}", "--fault", "no-driver:g5.2xlarge"], "no node type of the file has a g5.2xlarge; they have"),
        (["{aws-gpu}", "--fault", "no-driver:g5.2xlarge"], "nearest: g5.xlarge"),
        (["{aws-gpu}", "--fault", "fewer:g5.xlarge=9"], "fewer:g5.xlarge=9: a g5.xlarge has 1; write a smaller number"),
        (["{aws-gpu}", "--fault", "no-driver:m5.large"], "a m5.large has no accelerators"),
        (["{gcp-gpu}", "--fault", "no-capacity:g2-standard-4@us-central1-z"], "does not have the zone us-central1-z"),
        (["{gcp-gpu}", "--fault", "setup-fails:g2-standard-4@us-central1-a"], "only no-capacity can be for one zone"),
        (["{gcp-gpu}", "--fault", "no-ssh:g2-standard-8"], "nearest: g2-standard-4"),
        (["{gcp-tpu-v4-pod}", "--fault", "no-driver:v4-8"], "no node type of the file has a v4-8"),
        (["{aws-gpu}", "--with-setup", "--hosts", "processes"], "set-up commands would change this machine"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(
    arguments: list[str], sentence: str, examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [re.sub(r"\{(.+)\}", lambda name: str(examples / f"{name[1]}.yaml"), word) for word in arguments]
    assert main(["rehearse", *words]) == 2
    assert sentence in capsys.readouterr().err


def test_a_machine_that_is_up_and_was_not_refused_is_waited_for_until_it_announces_something() -> None:
    timeline = Timeline(0.0, io.StringIO())
    joined, silent, refused, gone = (timeline.machine(name, "ct4p-hightpu-4t") for name in "abcd")
    joined.resources = {"TPU": 4}
    refused.refused, gone.gone_s = True, 3.0
    assert [machine.instance_id for machine in timeline.coming()] == [silent.instance_id]


TWO_OF_ONE_KIND = """
cluster_name: two
provider:
  type: external
  module: accel_scaling.providers.aws.AWSAcceleratorNodeProvider
  region: us-west-2
max_workers: 2
head_node_type: head
available_node_types:
  head: {node_config: {InstanceType: m5.large}}
  spot: {node_config: {InstanceType: g4dn.xlarge, InstanceMarketOptions: {MarketType: spot}}}
  big: {node_config: {InstanceType: g4dn.2xlarge}}
  plain: {node_config: {InstanceType: m5.xlarge}}
setup_commands: []
head_setup_commands: []
worker_setup_commands: []
"""


@pytest.mark.cluster
@pytest.mark.timeout(400)
def test_each_node_type_is_rehearsed_or_named_and_has_its_own_row(scratch: Path) -> None:
    """The cloud has no spot machine: its node type is quarantined, and the task runs on another, which has its row."""
    path = scratch / "two.yaml"
    path.write_text(TWO_OF_ONE_KIND + yaml.safe_dump(LEAN))
    done = subprocess.run(
        [*REHEARSE, path, "--hosts", "processes", "--fault", "no-capacity:g4dn.xlarge"],
        capture_output=True, text=True, env=environment(scratch), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"failed +1 x g4dn.xlarge for spot \(spot\): InsufficientInstanceCapacity", done.stdout)
    assert re.search(r"quarantine of spot in us-west-2a, .* until .* \(sold out: Insufficient", done.stdout)
    assert re.search(r"^big +g4dn.2xlarge .* Confirmed$", done.stdout, re.MULTILINE)
    assert re.search(r"^plain +m5.xlarge .* Confirmed$", done.stdout, re.MULTILINE)
    assert "rehearsal-" not in done.stdout
    *_, ran, not_run = done.stdout.strip().splitlines()
    assert ran == "2 of 2 tasks ran"
    assert not_run.startswith("without a machine: node type spot is quarantined in us-west-2a")


@pytest.mark.cluster
@pytest.mark.root
@pytest.mark.timeout(400)
@NEEDS_ISOLATED_HOSTS
def test_set_up_commands_are_rehearsed_where_they_are_asked_for(scratch: Path) -> None:
    path = scratch / "setup.yaml"
    commands = "setup_commands: [echo all >> ~/ran]\nhead_setup_commands: [echo head >> ~/ran]\n"
    commands += f"worker_setup_commands: [exit 1]\n{yaml.safe_dump(LEAN)}"
    path.write_text(TWO_OF_ONE_KIND.partition("setup_commands")[0] + commands)
    done = subprocess.run(
        [*REHEARSE, path, "--with-setup", "--hosts", "isolated", "--", "cat", "ran"],
        capture_output=True, text=True, env=environment(scratch), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^all\r?\nhead\r?$", done.stdout, re.MULTILINE), done.stdout
    assert "set-up commands run on the hosts, which cannot reach the internet" in done.stdout
    assert done.stdout.rstrip().splitlines()[-4] == "the command ended with exit code 0"
    assert not Path.home().joinpath("ran").exists()


@pytest.mark.root
@pytest.mark.needs("unshare", "ip")
def test_a_machine_without_ipv4_on_its_loopback_gets_one_sentence(scratch: Path, examples: Path) -> None:
    script = 'ip link set lo up && ip addr del 127.0.0.1/8 dev lo && exec "$@"'
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script, "sh", *REHEARSE, examples / "aws-gpu.yaml", "--hosts", "processes"],
        capture_output=True, text=True, env=environment(scratch), check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("accel-scaling: this machine has no 127.0.0.1 (")
    assert "Traceback" not in done.stderr
    assert [entry.name for entry in scratch.iterdir() if entry.name.startswith("accel-")] == []
