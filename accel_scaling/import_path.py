"""The folders from which Python imports, without the current one: it may be another user's.

`python -m accel_scaling` puts the current folder first, and an empty entry of PYTHONPATH means it. What is there must
not become a part of this program. Imports nothing but what Python itself has loaded by now.
"""

import os
import sys

_PACKAGE = __name__.partition(".")[0]


def runs_this_package(words: "list[str]") -> bool:
    """Return whether a command line of Python, its first word left out, is ``-m accel_scaling`` or a module of it."""
    rest = iter(words)
    for word in rest:
        if word in ("-W", "-X"):  # the value is the next word
            next(rest, "")
        elif word.startswith(("-W", "-X", "--")):
            continue
        elif word.startswith("-"):
            flags, found, module = word.partition("m")  # -m NAME, -mNAME, -Bm NAME
            if "c" in flags:  # -c CODE
                return False
            if found:
                return (module or next(rest, "")).partition(".")[0] == _PACKAGE
        else:
            return False  # a script
    return False


def leave_current_folder() -> None:
    """Take the current folder out of ``sys.path``, where only an empty entry of it or of PYTHONPATH means it."""
    sys.path[:] = import_folders()


def import_folders() -> "list[str]":
    """Return the entries of ``sys.path`` that do not mean the current folder."""
    unnamed = _unnamed()
    return [entry for entry in sys.path if entry not in ("", os.curdir, unnamed)]


def _unnamed() -> "str | None":
    """Return the current folder where PYTHONPATH means it without its name; None elsewhere."""
    value = "" if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "")
    entries = value.split(os.pathsep) if value else []  # an empty variable has no entry, as Python reads it
    if not {"", os.curdir} & set(entries):
        return None
    try:
        current = os.getcwd()  # noqa: PTH109 - pathlib is not loaded yet
    except OSError:  # it is gone
        return None
    return None if current in entries else current


# While Python looks for the module of -m, sys.argv has this word: later on, `del` would take another entry.
if sys.argv[:1] == ["-m"] and runs_this_package(sys.orig_argv[1:]):
    # From Python 3.11 on, -P and PYTHONSAFEPATH do the same, and then the first entry is another one.
    if not sys.flags.isolated and not getattr(sys.flags, "safe_path", False):
        del sys.path[0]
    leave_current_folder()
