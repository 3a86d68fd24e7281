"""A maker's Python package, asked as Ray asks it, but in a process of its own: it may be slow, hang or crash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from accel_scaling import timeouts
from accel_scaling.detect.model import DriverState
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from collections.abc import Collection

# A pipe of Linux holds no more.
PIPE_BYTES = 65536

# What runs there: one of the families' questions, which calls `say` with Ray's number and Ray's type. The current
# folder is no place for packages: `ray start` does not look there either.
_FRAME = """\
import sys
sys.path[:] = [path for path in sys.path if path]
import json, os
answers = os.fdopen(int(sys.argv[1]), "w")
def say(count, kind=None, each=()):
    print(json.dumps({{"count": count, "kind": kind, "each": list(each)}}), file=answers, flush=True)
def say_broken():
    print(json.dumps({{"broken": True}}), file=answers, flush=True)
# What Python itself says of a package whose files do not fit together; a driver's errors have classes of their own.
PYTHONS = (ImportError, AttributeError, NameError, SyntaxError)
try:
    import {module}
except ModuleNotFoundError as error:
    if error.name == {package!r}:
        print(json.dumps({{"absent": True}}), file=answers, flush=True)
        sys.exit(0)
    say_broken()
    raise
except (*PYTHONS, OSError) as error:
    if not isinstance(error, OSError) or error.errno is None:  # of ctypes, which does not find a library
        say_broken()
    raise
try:
    exec(sys.argv[2])
except PYTHONS:
    say_broken()
    raise
"""


@dataclass(frozen=True)
class Reply:
    """The package's answer.

    Attributes:
        state: how it answered.
        trouble: why not OK, as the middle of a sentence.
        absent: it is not installed in this Python.
        count: devices, by Ray's way of counting.
        kind: the type, by Ray's way of naming; None where Ray names none.
        each: the same of each device; empty where the package tells one only.
    """

    state: DriverState = DriverState.OK
    trouble: str = ""
    absent: bool = False
    count: int = 0
    kind: str | None = None
    each: tuple[str | None, ...] = ()


def ask(module: str, question: str, *, called: str = "", without: Collection[str] = ()) -> Reply:
    """Import a module in another process and run a question there; never raises.

    Args:
        module: what Ray imports, e.g. ``amdsmi``.
        question: Python that calls ``say(count, kind, each)``; the last two may be left out.
        called: how to speak of what is asked; by default the package's name.
        without: environment variables that tell the package of fewer devices than this machine has.
    """
    package = module.partition(".")[0]
    reading, writing = os.pipe()
    # This process's Python: on a node it is Ray's, and Ray imports the package there.
    program = [sys.executable, "-c", _FRAME.format(module=module, package=package), str(writing), question]
    package = called or package
    timeout_s = timeouts.DRIVER_PACKAGE_TIMEOUT_S
    environment = {name: value for name, value in os.environ.items() if name not in without}
    try:
        # The answer has a pipe of its own: packages print what they like to the standard output.
        done = subprocess.run(
            program, env=environment, capture_output=True, pass_fds=(writing,), timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        os.close(reading)
        return Reply(DriverState.NOT_YET, f"{package} gave no answer within {timeout_s} s")
    except OSError as error:
        os.close(reading)
        return _failed(package, f"cannot be asked ({error.strerror})")
    finally:
        os.close(writing)
    answer = _waiting(reading)
    reply = _read(package, answer) if answer else Reply()
    if done.returncode == 0 and answer:
        return reply
    words = done.stderr.decode(errors="replace").strip().splitlines()
    failed = _failed(package, words[-1] if words else f"exit {done.returncode}")
    broken = reply.state is DriverState.TOOL_BROKEN
    return replace(failed, state=DriverState.TOOL_BROKEN if broken else failed.state, kind=reply.kind)


def _waiting(pipe: int) -> str:
    """Return what is in a pipe now: a process that the package left behind may hold the other end."""
    os.set_blocking(pipe, False)
    try:
        return os.read(pipe, PIPE_BYTES).decode(errors="replace")
    except BlockingIOError:
        return ""
    finally:
        os.close(pipe)


def _read(package: str, text: str) -> Reply:
    answer = json.loads(text.splitlines()[-1])
    if answer.get("absent"):
        return Reply(absent=True)
    if answer.get("broken"):
        return Reply(DriverState.TOOL_BROKEN)
    count, kind = answer["count"], answer["kind"]
    if not isinstance(count, int) or count < 0:
        return _failed(package, f"counts {shown(count)} devices")
    each = tuple(_name(name) for name in answer.get("each", ()))
    return Reply(count=count, kind=_name(kind), each=each if len(each) == count else ())


def _name(value: object) -> str | None:
    # An empty name stays: Ray makes a type of it, too, where it puts words before it.
    return value if isinstance(value, str) else None


def _failed(package: str, words: str) -> Reply:
    return Reply(DriverState.UNHEALTHY, f"{package} fails: {words}")
