"""The words of a shell command line, compared with bash itself."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_scaling.cluster.shell_words import SimpleCommand, simple_commands


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("ray start", [["ray", "start"]]),
        ("a; b && c || d | e & f\ng", [["a"], ["b"], ["c"], ["d"], ["e"], ["f"], ["g"]]),
        ("a;b&&c", [["a"], ["b"], ["c"]]),
        ("ray \\\n  start", [["ray", "start"]]),
        ("ra\\\ny start", [["ray", "start"]]),
        ("a # b; c\nd", [["a"], ["d"]]),
        ("a#b", [["a#b"]]),
        ("a 'b; c' \"d | e\" f\\ g", [["a", "b; c", "d | e", "f g"]]),
        ("a\"b\"'c'", [["abc"]]),
        ('"a \\" b"', [['a " b']]),
        ("ray start > log 2>&1 < /dev/null", [["ray", "start"]]),
        ("ray start &> log", [["ray", "start"]]),
        ("(ray start)", [["ray", "start"]]),
        ("if true; then ray start; fi", [["true"], ["ray", "start"]]),
        ("{ ray start; }", [["ray", "start"]]),
        ("$(which ray) start", [["$(which ray)", "start"]]),
        ("`which ray` start", [["`which ray`", "start"]]),
        ('X="$PATH:/x" ray', [["X=$PATH:/x", "ray"]]),
        ("echo 2", [["echo", "2"]]),
    ],
)
def test_a_command_line_is_read_as_a_shell_reads_it(text: str, expected: list[list[str]]) -> None:
    assert [list(command.words) for command in simple_commands(text)] == expected


def test_what_continues_in_the_background_is_known() -> None:
    assert simple_commands("a & b && c") == [SimpleCommand(("a",), True), SimpleCommand(("b",)), SimpleCommand(("c",))]


@pytest.mark.parametrize("text", ["'", '"', "a 'b", "$(a", "`a", '"$(a"', "x" * 200_000])
def test_what_no_shell_would_run_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"closing|too long"):
        simple_commands(text)


# Neither what a shell would replace, nor its keywords: both are left as they are.
PLAIN = st.lists(
    st.sampled_from(["ray", "start", "a b", "x'y", 'x"y', "a;b", "a\\", "#", "&", "|", "(", ">", "2", "=", ""]),
    min_size=1,
)


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
@given(PLAIN)
def test_quoted_words_come_back(words: list[str]) -> None:
    import shlex

    (command,) = simple_commands("x " + " ".join(shlex.quote(word) for word in words))
    assert list(command.words[1:]) == words


@given(st.text(alphabet="ray start'\"\\;&|()<>$`#\n{}!=", max_size=60))
def test_any_text_has_an_answer(text: str) -> None:
    try:
        commands = simple_commands(text)
    except ValueError:
        return
    # bash reads the same number of commands or refuses the text; here it is enough that nothing is lost without words.
    assert all(command.words for command in commands)


def test_a_long_command_costs_no_time() -> None:
    began = time.monotonic()
    simple_commands("ray start --x=" + "\\;" * 40_000)
    for text in ("$(" * 30_000, "(" * 90_000, '"' + "$(" * 30_000):
        with contextlib.suppress(ValueError):
            simple_commands(text)
    assert time.monotonic() - began < 2


def test_bash_runs_the_same_commands() -> None:
    """Each simple command is replaced by one that prints its words, one a line."""
    line = "say a 'b c'; say d\\ e && say \"f $X\" | cat; (say g) # say h\nsay i \\\n  j"
    script = f"X=x; say() {{ printf '<%s>' \"$@\"; echo; }}\n{line}"
    printed = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    read = [command.words[1:] for command in simple_commands(line) if command.words[0] == "say"]
    assert printed == ["".join(f"<{word.replace('$X', 'x')}>" for word in words) for words in read]
