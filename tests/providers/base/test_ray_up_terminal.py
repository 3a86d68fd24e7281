"""What `ray up` shows on a terminal while a cloud is asked, and how its sentences are wrapped there."""

from __future__ import annotations

import io
import threading
from typing import Any, NoReturn

import click
import pytest

from accel_scaling import status_line
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.aws import provider as aws
from accel_scaling.providers.base.cluster_config import said_by_click
from accel_scaling.providers.gcp import provider as gcp

REFUSAL = "EC2 did not answer within 30 s; is the network up, and does a firewall let you out? us-west-2 was asked"


class Terminal(io.StringIO):
    """A terminal that knows when something was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = threading.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        written = super().write(text)
        self.shown.set()
        return written


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Return what standard error is from now on; not a fixture, as pytest sets its own before each test."""
    screen = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr(status_line, "STATUS_LINE_S", 0.001)
    return screen


@pytest.mark.parametrize(
    ("module", "asks", "title"),
    [
        (aws, "launch_templates.merged", "AWS"),
        (gcp, "checks.check", "Google Cloud"),
    ],
)
def test_ray_up_shows_what_it_asks_while_a_cloud_does_not_answer(
    module: Any, asks: str, title: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = terminal(monkeypatch)

    def silent(*_: object) -> NoReturn:
        assert screen.shown.wait(30)
        raise ClusterConfigError(REFUSAL)

    monkeypatch.setattr(module, "check_ready", lambda config: None)
    monkeypatch.setattr(f"{module.__name__}.{asks}", silent)
    config: dict[str, Any] = {"provider": {"region": "us-west-2"}, "available_node_types": {}, "head_node_type": "h"}
    with pytest.raises(click.ClickException):
        getattr(module, f"{module.CLOUD.name.upper()}AcceleratorNodeProvider").bootstrap_config(config)
    expected = f"\r\033[K{title} is asked about the machine types, images and names of the file ... 0 s"[:70]
    assert screen.getvalue().startswith(expected)
    assert screen.getvalue().endswith("\r\033[K")  # nothing stays


def test_a_refusal_of_ray_up_is_wrapped_on_a_terminal_and_one_line_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal(monkeypatch)

    def sentence() -> str:
        with pytest.raises(click.ClickException) as refused, said_by_click():
            raise ClusterConfigError(REFUSAL)
        return refused.value.message

    first, *others = f"Error: {sentence()}".splitlines()
    assert others
    assert max(map(len, [first, *others])) <= 80
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert sentence() == REFUSAL


def test_off_a_terminal_no_step_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with status_line.doing("AWS is asked"):
        pass
    assert capsys.readouterr() == ("", "")
