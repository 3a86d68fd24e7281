"""Runs a case in this process and judges it: an answer or one sentence, soon, and nothing that a terminal obeys."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import re
import signal
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import click
import yaml

from accel_scaling.cli.main import main
from accel_scaling.errors import AccelScalingError
from accel_scaling.inputs.yaml_nodes import FAST, NotYamlError, compose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hostile.cases import Case

MOST_S = 2.0  # of CPU: on a busy machine the clock says nothing
_GIVEN_UP_S = 20.0
_CODES = (0, 2, 3)
# A sentence, a usage that argparse prints before it, and notes.
_BESIDE = re.compile(r"(usage:|note:| {2,}|wrote )")
_LONGEST_LINE = 8_000


class TooLongError(BaseException):
    """The case has not ended; not an Exception, which the code that runs might catch."""


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        cpu_s: how long it took.
        code: the exit code; None where there is none.
        trouble: what is wrong with it; empty where it is as it must be.
    """

    cpu_s: float
    code: int | None
    trouble: str


def judged(case: Case, folder: Path) -> Outcome:
    """Run a case in an empty folder."""
    for name, data in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    home = folder / "home"
    home.mkdir(exist_ok=True)
    out, err = io.StringIO(), io.StringIO()
    start, code, trouble = time.process_time(), None, ""
    with _at(folder, {"HOME": str(home), **case.environment}), _alarm():
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = _prepared(case) if case.group == "ray up" else _run(case)
        except TooLongError as error:
            trouble = f"no end after {_GIVEN_UP_S:g} s of CPU: {_innermost(error)}"
        except BaseException as error:  # noqa: BLE001 - whatever else comes out is what is looked for
            trouble = "".join(traceback.format_exception(error)[-6:])
    cpu_s = time.process_time() - start
    trouble = trouble or _wrong(case, code, out.getvalue(), err.getvalue())
    if not trouble and cpu_s > MOST_S:
        trouble = f"slow: {cpu_s:.1f} s"
    return Outcome(cpu_s, code, trouble)


def _run(case: Case) -> int:
    try:
        if case.words[:1] == ("rehearse",):
            with mock.patch("accel_scaling.testing.rehearse.run.Rehearsal.run", until_it_starts):
                return main(case.words)
        return main(case.words)
    except SystemExit as ended:  # of argparse
        return ended.code if isinstance(ended.code, int) else 1


def until_it_starts(rehearsal: Any) -> int:
    """Do what a rehearsal does before it starts anything."""
    from accel_scaling.testing.local_clouds import local_cloud_of
    from accel_scaling.testing.rehearse.user_hardware import user_machines

    user_machines(rehearsal.config, rehearsal.catalog, local_cloud_of(rehearsal.config))
    return 0


def _prepared(case: Case) -> int:
    """Do what `ray up` does before it asks a cloud; Ray reads the file itself, and merge keys keep it busy for ever."""
    text = Path(case.words[0]).read_text(encoding="utf-8", errors="replace")
    try:
        compose(text)
    except NotYamlError as error:
        if error.grammar or "<<" in text:
            return 2
    try:
        config = yaml.load(text, Loader=FAST)
    except Exception:  # noqa: BLE001 - Ray's own traceback, before any provider is there
        return 2
    if not isinstance(config, dict) or not isinstance(config.get("provider"), dict):
        return 2
    return _through_providers(config)


def _through_providers(config: dict[str, Any]) -> int:
    from accel_scaling.providers.aws import AWSAcceleratorNodeProvider
    from accel_scaling.providers.gcp import GCPAcceleratorNodeProvider

    module = config["provider"].get("module")
    provider = GCPAcceleratorNodeProvider if isinstance(module, str) and "gcp" in module else AWSAcceleratorNodeProvider
    try:
        provider.fillout_available_node_types_resources(copy.deepcopy(config))
    except (AccelScalingError, click.ClickException) as error:
        _check_sentence(str(error))
        return 2
    return 0


def _check_sentence(text: str) -> None:
    assert text.strip(), "no sentence"
    assert _is_clean(text), f"control characters: {text!r:.300}"
    assert len(text) < _LONGEST_LINE, f"{len(text)} characters: {text:.300}"


def _wrong(case: Case, code: int | None, out: str, err: str) -> str:
    """Return what is wrong with an exit code and what was printed; empty where nothing is."""
    if code not in _CODES:
        return f"exit code {code}: {err:.300}"
    passes_text_on = case.words[:2] == ("kuberay", "fill") or case.words[:1] == ("fill",)
    # Ray's own logger colours what it is told in `ray up`; the sentence itself was looked at.
    if case.group != "ray up" and not (_is_clean(err) and (passes_text_on or _is_clean(out))):
        return f"control characters: {err!r:.300} {out!r:.300}"
    if len(longest := max(err.split("\n"), key=len)) > _LONGEST_LINE:
        return f"a line of {len(longest)} characters: {longest:.300}"
    lines = [line for line in err.split("\n") if line and not _BESIDE.match(line)]
    if code == 2 and not lines and not out and case.group != "ray up":
        return "exit code 2 silently"
    ours = [line for line in lines if line.startswith("accel-scaling")]
    if code == 2 and len(ours) > 1:
        return f"{len(ours)} sentences: {err:.600}"
    return "Traceback: " + err[-600:] if "Traceback (most" in err + out else ""


def _is_clean(text: str) -> bool:
    return all(char.isprintable() or char in "\n\t" for char in text)


def _innermost(error: BaseException) -> str:
    return "".join(traceback.format_tb(error.__traceback__)[-4:])


@contextlib.contextmanager
def _at(folder: Path, environment: dict[str, str]) -> Iterator[None]:
    before, variables = Path.cwd(), dict(os.environ)
    os.chdir(folder)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.chdir(before)
        os.environ.clear()
        os.environ.update(variables)


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    """End the block after some seconds of CPU."""

    def ring(*_: object) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, _GIVEN_UP_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
