"""The verdict as a file: a node writes it wherever it can, and what is read there is data, whoever wrote it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_scaling.boot import verdict_file
from accel_scaling.boot.verdict_file import (
    FOLDER,
    MOST_BYTES,
    START,
    VERDICT_FILE,
    VerdictRead,
    new_start,
    read_command,
    read_verdict,
    with_start,
    write_verdict,
)
from accel_scaling.boot.verdicts import Verdict, VerdictWord
from accel_scaling.message_text import one_line

MISSING = Verdict(VerdictWord.DRIVER_MISSING, "promised 1 x A10G; no driver", {"GPU": 1.0})
START_1 = "1" * 32


@pytest.fixture(name="spare", autouse=True)
def spare_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(verdict_file, "_SPARE_FOLDER", tmp_path)
    return tmp_path


def printed(start: str = "", banner: str = "") -> str:
    """Return what the provider's command prints on this machine."""
    done = subprocess.run(
        ["bash", "-c", f"printf %s {banner!r}; {read_command(start)}"], capture_output=True, check=True
    )
    return done.stdout.decode()


def as_json(**keys: object) -> str:
    return json.dumps({"verdict": "DriverMissing", "message": "no driver", "joins": False, **keys})


def test_what_a_node_writes_is_read_with_the_number_of_its_start() -> None:
    write_verdict(MISSING, head=False, joins=False, environment={START: START_1})
    expected = VerdictRead("DriverMissing", "promised 1 x A10G; no driver", joins=False, start=START_1)
    assert read_verdict(printed(START_1), START_1) == expected
    assert read_verdict(printed()) == expected, "also without asking for a start"


def test_nodes_that_have_their_homes_on_one_server_read_their_own_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    write_verdict(MISSING, head=False, joins=False, environment={START: START_1})
    other = os.uname_result(("Linux", "another-node", *os.uname()[2:]))
    with monkeypatch.context() as there:
        there.setattr(os, "uname", lambda: other)
        write_verdict(MISSING, head=False, joins=True, environment={START: "2" * 32})
    found = read_verdict(printed(START_1), START_1)
    assert found is not None
    assert not found.joins


def test_a_verdict_of_another_start_is_not_even_printed() -> None:
    write_verdict(MISSING, head=False, joins=True, environment={START: START_1})
    assert printed("2" * 32).strip() == ""
    assert read_verdict(as_json(start=START_1), "2" * 32) is None
    write_verdict(MISSING, head=False, joins=True, environment={})  # as a person does by hand, or an older version
    assert printed("2" * 32).strip() == ""


def test_no_two_starts_have_one_number_and_it_reaches_the_node() -> None:
    numbers = {new_start() for _ in range(100)}
    assert len(numbers) == 100
    number = numbers.pop()
    done = subprocess.run(
        ["sh", "-c", with_start(f"echo ${START}", number)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == number


@pytest.mark.parametrize("place", ["a file in the way", "a folder in the place of the file", "another account's home"])
def test_where_home_cannot_be_written_the_spare_file_is(place: str, spare: Path) -> None:
    file = Path.home() / VERDICT_FILE
    environment = {START: START_1}
    if place == "a file in the way":
        file.parent.write_text("")
    elif place == "a folder in the place of the file":
        (file / "x").mkdir(parents=True)
    else:
        environment[FOLDER] = "/proc/1/of-another-user"
    written = write_verdict(MISSING, head=True, joins=False, environment=environment)
    assert written == spare / f"accel_scaling-verdict-{START_1}.json"
    found = read_verdict(printed(START_1), START_1)
    assert found is not None
    assert found.word == "DriverMissing"


@pytest.mark.parametrize("start", ["", "../../etc/passwd", "1" * 31, "A" * 32])
def test_what_is_no_number_of_a_start_names_no_file(start: str) -> None:
    (Path.home() / ".accel_scaling").write_text("")
    with pytest.raises(OSError, match=r"\.accel_scaling"):
        write_verdict(MISSING, head=True, joins=False, environment={START: start})
    assert "/etc" not in read_command(start)


def test_the_verdict_belongs_where_the_start_command_ran_whatever_home_ray_has(tmp_path: Path) -> None:
    """`sudo -E` may give `ray start` another home."""
    write_verdict(MISSING, head=False, joins=False, environment={FOLDER: str(tmp_path / "theirs")})
    assert (tmp_path / "theirs" / "verdict.json").is_file()
    assert not (Path.home() / VERDICT_FILE).exists()


def test_a_full_disk_leaves_the_old_file_whole_and_nothing_half_written(monkeypatch: pytest.MonkeyPatch) -> None:
    write_verdict(MISSING, head=False, joins=False, environment={})
    before = (Path.home() / VERDICT_FILE).read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(OSError, match="No space left"):
        write_verdict(MISSING, head=False, joins=True, environment={})
    assert (Path.home() / VERDICT_FILE).read_bytes() == before
    of_host = Path.home() / VERDICT_FILE.replace(".json", f"-{os.uname().nodename}.json")
    assert set((Path.home() / VERDICT_FILE).parent.iterdir()) == {Path.home() / VERDICT_FILE, of_host}


def test_a_machine_of_very_many_devices_has_a_verdict_that_is_read_whole() -> None:
    many = Verdict(
        VerdictWord.CONFIRMED, "x" * 90_000, dict.fromkeys(map(str, range(5000)), 1.0), [{"evidence": "y" * 90_000}]
    )
    file = write_verdict(many, head=False, joins=True, environment={START: START_1})
    assert file.stat().st_size < MOST_BYTES
    found = read_verdict(printed(START_1), START_1)
    assert found is not None
    assert (found.word, found.joins) == ("Confirmed", True)


@pytest.mark.parametrize(
    "around",
    [
        "Welcome {user}\n%s",
        "{%s",
        "%s\n{}",
        'motd {"verdict": 1\r\n%s\r\nlogout',
        '{"a": 1} %s',
        "\x1b]0;title\x07%s",
        "bash: no job control in this shell\r\n%s\r\n\r\n",
        "{" * 5 + "%s",
    ],
)
def test_what_a_login_shell_prints_around_it_makes_no_difference(around: str) -> None:
    found = read_verdict(around % as_json())
    assert found is not None, around
    assert (found.word, found.joins) == ("DriverMissing", False)
    assert read_verdict((around % as_json()).encode()) == found


def test_the_last_of_several_counts() -> None:
    text = f"{as_json(verdict='Confirmed', joins=True)}\n{as_json()}\n"
    found = read_verdict(text)
    assert found is not None
    assert found.joins is False


@pytest.mark.parametrize(
    "text", ["", "{damaged", "[1]", "null", '"x"', "{}", '{"other": 1}', b"\xff\xfe\x00", "1" * 5000]
)
def test_what_is_no_verdict_is_none(text: str | bytes) -> None:
    assert read_verdict(text) is None


@pytest.mark.parametrize("joins", ["false", "no", 1, 0, None, [], {"a": 1}, "true"])
def test_only_true_lets_a_machine_join(joins: object) -> None:
    found = read_verdict(as_json(joins=joins))
    assert found is not None
    assert found.joins is False


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, "{" * 200_000, '{"a":' * 100_000, '{"verdict": "' + "x" * 10_000_000, "{" + " " * 5_000_000 + "}"],
    ids=["brackets", "braces", "nested", "endless text", "blanks"],
)
def test_a_hostile_machine_costs_no_time_and_no_error(text: str) -> None:
    began = time.monotonic()
    assert read_verdict(text) is None
    assert time.monotonic() - began < 2


def test_the_command_prints_no_more_than_a_verdict_has() -> None:
    file = Path.home() / VERDICT_FILE
    file.parent.mkdir()
    file.write_bytes(b"x" * 10_000_000)
    assert len(printed()) <= 3 * MOST_BYTES


HOSTILE = "\x1b]0;pwned\x07\x1b[2J red\r\nline\x9b31m \u202egnp.exe\u2028 \x00end"


def test_no_control_character_reaches_a_log_or_a_terminal() -> None:
    found = read_verdict(as_json(verdict="Driver\x1b[31mMissing", message=HOSTILE))
    assert found is not None
    assert found.message == "]0;pwned [2J red line 31m gnp.exe end"
    assert found.word == "DrivermMissing"
    assert found.message.isprintable()


@given(st.text())
def test_any_text_is_printable_and_short_afterwards(text: str) -> None:
    plain = one_line(text, 50)
    assert plain.isprintable()
    assert len(plain) <= 50


@given(st.text(alphabet='{}[]":,\\verdictjoins 01\n\r\x1b'))
def test_whatever_a_node_prints_is_read_without_an_error(text: str) -> None:
    found = read_verdict(text)
    assert found is None or found.message.isprintable()
