"""What a command printed: passed on as it comes, and its last line is in the error."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from ray.autoscaler._private.command_runner import SSHCommandRunner

from accel_scaling.message_text import one_line
from accel_scaling.providers.base.command_output import TailingProcessRunner, last_line, last_line_of


def test_the_last_line_is_the_programs_not_sshs() -> None:
    output = (
        b"bash: cannot set terminal process group (-1): Inappropriate ioctl for device\r\n"
        b"bash: no job control in this shell\r\n\x1b[31mERROR: No matching distribution found\x1b[0m\r\n\r\n"
        b"Shared connection to 10.0.0.7 closed.\r\n"
    )
    assert last_line_of(output) == "ERROR: No matching distribution found"
    assert last_line_of(b"Warning: Permanently added '10.0.0.7' (ED25519) to the list of known hosts.\r\n") == ""
    assert last_line_of(b"\x1b]0;title\x07 10%\r 20%\rdone\x00") == "done"
    assert last_line_of(b"\xff\xfe{") == "\ufffd\ufffd{"
    assert last_line_of("\u202edenrut\u2028next \x9b31mred".encode()) == "denrut next 31mred"
    assert len(last_line_of(b"x" * 5000)) == 200


def test_a_long_command_is_one_short_line() -> None:
    assert one_line("pip install\n  torch   numpy", 80) == "pip install torch numpy"
    assert one_line("x" * 100, 10) == "xxxxxxx..."


def test_a_command_that_fails_carries_its_output_and_its_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["sh", "-c", "echo one; echo two >&2; exit 7"]
    with pytest.raises(subprocess.CalledProcessError) as error:
        TailingProcessRunner().check_call(command, stdout=sys.stdout, stderr=sys.stderr)
    assert (error.value.returncode, last_line(error.value)) == (7, "two")
    assert capsys.readouterr().out == "one\ntwo\n"


def test_a_background_process_that_keeps_the_output_open_is_not_waited_for() -> None:
    began = time.monotonic()
    TailingProcessRunner().check_call(["sh", "-c", "sleep 20 & echo done"], stdout=sys.stdout)
    assert time.monotonic() - began < 10


def test_rays_ssh_runner_passes_the_output_of_a_failed_command_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\necho 'E: Unable to locate package foo'\nexit 100\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    runner = SSHCommandRunner("", "i-1", None, {"ssh_user": "ubuntu"}, "c", TailingProcessRunner(), True)
    runner.ssh_ip = "10.0.0.7"
    with pytest.raises(Exception, match="SSH command failed") as error:
        runner.run("apt-get install foo")
    assert last_line(error.value) == "E: Unable to locate package foo"
    assert runner.process_runner.DEVNULL == subprocess.DEVNULL, "what else Ray asks of it is subprocess's"
