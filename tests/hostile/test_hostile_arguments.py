"""Paths, numbers and outputs that a command line can name: one sentence within a second, in every command."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from accel_scaling.cli.main import main
from tests.hostile.mutations import HUGE, LONG
from tests.support.contributing import ROOT
from tests.support.hostile_input import CLUSTER, READERS, said

pytestmark = pytest.mark.usefixtures("no_rehearsal_starts")


@pytest.mark.parametrize(
    "words",
    [
        ["fill", "FILE"],
        ["plan", "FILE", "--demand", "A10G"],
        ["rehearse", "FILE"],
        ["kuberay", "fill", "FILE"],
        ["kuberay", "check", "FILE"],
        ["catalog", "check", "FILE"],
        ["catalog", "check", "FILE_hardware.csv"],
        ["catalog", "show", "g5.xlarge", "--catalog", "FILE"],
        ["catalog", "find", "--catalog", "FILE"],
        ["init", "aws", "--accelerator", "T4", "--catalog", "FILE"],
        ["init", "aws", "--accelerator", "T4", "-o", "FILE"],
        ["status", "--state", "FILE"],
        ["plan", "{example}", "--demand", "A10G", "--prices", "FILE"],
        ["rehearse", "{example}", "--faults", "FILE"],
        ["fill", "{example}", "-o", "FILE"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("name", [LONG, "folder", "loop", "\udc80/none", "/proc/self/mem", "/dev/full"])
def test_a_path_that_cannot_be_read_is_one_sentence_in_every_command(
    words: list[str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("loop").symlink_to("loop")
    example = str(ROOT / "example_clusters" / "aws-gpu.yaml")
    if words[0] == "status" and name.endswith("none"):
        return  # no state file yet: nothing is quarantined
    sentence = said([word.replace("FILE", name).replace("{example}", example) for word in words], capsys)
    assert len(sentence) < 1000
    assert sentence.isprintable()


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full"])
@pytest.mark.parametrize(
    "words", [*READERS, ["kuberay", "check"], ["catalog", "check"], ["status", "--state"]], ids=" ".join
)
def test_a_device_without_an_end_is_one_sentence(
    words: list[str], device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = 1 if words in READERS else len(words)
    assert "It has no end within 8.4 MB" in said([*words[:place], device, *words[place:]], capsys)


def test_a_mistake_in_a_named_pipe_is_named_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(CLUSTER.replace("g5.xlarge", "g5.xlrge")))
    writer.start()
    assert said(["fill", str(pipe)], capsys).startswith(
        f"accel-scaling: {pipe}:8: available_node_types.w: instance type"
    )
    writer.join()


@pytest.mark.parametrize(
    "words",
    [
        ["plan", "{example}", "--demand", f"A10G:{HUGE}"],
        ["plan", "{example}", "--demand", f"CPU:{HUGE}"],
        ["plan", "{example}", "--demand", f"memory:{HUGE}G"],
        ["plan", "{example}", "--demand", f"A10Gx{HUGE}"],
        ["plan", "{example}", "--demand", "A10G:1e400"],
    ],
    ids=lambda words: words[-1][:12],
)
def test_a_huge_demand_is_one_sentence(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    example = str(ROOT / "example_clusters" / "aws-gpu.yaml")
    assert said([word.format(example=example) for word in words], capsys).startswith("accel-scaling: --demand")


@pytest.mark.parametrize(
    "words",
    [
        ["catalog", "find", "--min-count", "9" * 5000],
        ["catalog", "find", "--min-count", "\u00b2"],
        ["init", "aws", "--max-workers", HUGE],
        ["init", "aws", "--cpus", HUGE],
        ["rehearse", "x.yaml", "--timeout", "1e400"],
        ["rehearse", "x.yaml", "--timeout", "nan"],
        ["confirm", "--wait", "1e300"],
        ["\x1b[2J" + LONG],
        ["detect", LONG],
    ],
    ids=lambda words: " ".join(words)[:20],
)
def test_an_argument_of_any_size_gets_one_sentence(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    written = capsys.readouterr().err
    assert written.startswith("accel-scaling: ")
    assert written.count("\n") == 1
    assert len(written) < 1500
    assert written.replace("\n", "").isprintable()


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">/dev/full", "2>/dev/full"])
def test_an_output_that_is_closed_or_full_is_no_traceback(closed: str) -> None:
    command = f"{sys.executable} -m accel_scaling catalog show g5.xlarge {closed}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert "Traceback" not in done.stderr + done.stdout
    assert done.returncode == (2 if closed == ">/dev/full" else 0)
