"""Why `ray up` failed, read from what it printed: a sentence with the cause, never Ray's traceback or the config."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.ray_cluster import RayUpError
from accel_scaling.testing.ray_up_log import UpFailure, failure_of

TIME = "2026-11-28 12:04:11,222\t"
RED, PLAIN = "\x1b[31m", "\x1b[39m"
BEFORE = f"""{TIME}INFO updater.py:509 -- [7/7] Starting the Ray runtime
{TIME}VINFO command_runner.py:399 -- Running `export X=1; COMMAND`
{TIME}VVINFO command_runner.py:401 -- Full command is `\x1b[1mssh -tt ubuntu@172.31.48.4 bash -c 'X; (QUOTED)'\x1b[22m`
bash: no job control in this shell
PRINTED
Shared connection to 172.31.48.4 closed.\r
{TIME}VVINFO command_runner.py:401 -- Full command is `ssh -tt ubuntu@172.31.48.4 bash --login -c -i 'X; (cat verdict)'`
Shared connection to 172.31.48.4 closed.\r
"""
AFTER = f"""{TIME}ERR updater.py:177 -- {RED}New status: update-failed{PLAIN}
{TIME}ERR updater.py:182 -- {RED}Setup command `COMMAND` failed with exit code 127. stderr: SAID{PLAIN}
{TIME}ERR updater.py:194 -- {RED}!!!{PLAIN}
{TIME}PANIC commands.py:925 -- {RED}Failed to setup head node.{PLAIN}
Error: Failed to setup head node.
"""


def output(command: str, printed: str, said: str = "") -> str:
    quoted = command.replace("'", "'\"'\"'")
    text = (BEFORE + AFTER).replace("COMMAND", command).replace("QUOTED", quoted)
    return text.replace("PRINTED", printed).replace("SAID", said)


def test_the_command_its_exit_code_and_its_last_line_are_the_cause() -> None:
    failure = failure_of(output("conda activate x && ray start", "bash: conda: command not found"))
    assert failure == UpFailure(
        "`conda activate x && ray start` ended with 127: bash: conda: command not found",
        "conda activate x && ray start",
    )


def test_more_lines_of_the_command_follow_the_last_ten() -> None:
    failure = failure_of(output("./start.sh", "\n".join(f"line {n}" for n in range(12))))
    assert failure.cause == "`./start.sh` ended with 127: line 11"
    assert failure.lines == tuple(f"line {n}" for n in range(2, 12))


@pytest.mark.parametrize("command", ["source venv/bin/activate\nray stop\nray start", "bash -c 'a && b'"])
def test_commands_of_several_lines_and_with_quotes_are_found(command: str) -> None:
    failure = failure_of(output(command, "no such file"))
    assert failure.cause == f"`{' '.join(command.split())}` ended with 127: no such file"
    assert failure.lines == ()


def test_what_ray_says_of_the_error_counts_more_than_what_was_printed() -> None:
    failure = failure_of(output("ray start", "much", "DriverMissing: promised 1 x T4"))
    assert failure.cause == "`ray start` ended with 127: DriverMissing: promised 1 x T4"


def test_of_several_tries_the_last_one_counts() -> None:
    both = output("first", "one") + output("second", "two")
    assert failure_of(both).cause == "`second` ended with 127: two"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("Traceback (most recent call last):\n  File x\nclick.exceptions.UsageError: the reason\n", "the reason"),
        ("Error: provider.region is missing\n", "provider.region is missing"),
        (f"{TIME}PANIC x.py:1 -- {RED}Failed to setup head node.{PLAIN}\nError: Failed to setup head node.\n",
         "Failed to setup head node."),
        ("a.b.ClusterConfigError: the cause\nError: Failed to setup head node.\n", "the cause"),
        ("nothing that is known\n", "nothing that is known"),
        ("", "it printed nothing"),
        ("Error: " + "x" * 1000, "x" * 397 + "..."),
        ("Error: \x1b]0;owned\x07next\n", "]0;owned next"),
    ],
)  # fmt: skip
def test_without_a_command_the_last_error_is_the_cause(text: str, cause: str) -> None:
    assert failure_of(text) == UpFailure(cause)


def test_the_error_is_a_sentence_first_and_names_the_node_type_and_the_file_with_the_rest() -> None:
    failure = UpFailure("`x` ended with 1: no", "x", ("yes", "\x1b[2Jno"))
    error = RayUpError(failure, "boss", Path("/somewhere/ray-up.log"), "; do this")
    assert isinstance(error, RehearsalError)
    assert error.text.splitlines() == [
        "`ray up` failed: on the head (node type boss), `x` ended with 1: no; do this",
        "  | yes",
        "  | \\x1b[2Jno",
        "its whole output: /somewhere/ray-up.log",
    ]
    error = RayUpError(UpFailure("the region is missing"), "boss", Path("/x"))
    assert error.text.splitlines()[0] == "`ray up` failed: the region is missing"
