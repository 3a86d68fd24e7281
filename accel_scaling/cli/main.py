"""The `accel-scaling` command: runs the sub-command, prints an error as one sentence, returns the exit code."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from typing import TYPE_CHECKING

from accel_scaling.cli.arguments import Parser, write_error
from accel_scaling.cli.common import add_command
from accel_scaling.errors import INTERRUPTED_CODE, AccelScalingError, disk_sentence
from accel_scaling.import_path import leave_current_folder
from accel_scaling.requirements import check_python
from accel_scaling.terminal import printable_output
from accel_scaling.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

# In the order in which a user meets them; each module has HELP, EXAMPLES, add_arguments(parser) and run(args).
COMMANDS = (
    "init",
    "migrate",
    "fill",
    "catalog",
    "plan",
    "kuberay",
    "rehearse",
    "detect",
    "confirm",
    "status",
    "completion",
)

_ALL = """`accel-scaling COMMAND --help` shows each command's options, examples and exit codes.

exit codes of all commands: 0 done, 2 bad input, 130 interrupted
"""

TAKE_A_COMMAND = ("rehearse",)  # it runs the words after `--` on the cluster


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 for done, 2 for bad input, 3 for not confirmed or pending, 130 if interrupted."""
    if argv is None:  # a program of its own, not a call in one
        leave_current_folder()
    arguments = list(sys.argv[1:] if argv is None else argv)
    # What a rehearsal passes on of Ray and of the user's command has colours and a line of status.
    with contextlib.nullcontext() if "rehearse" in arguments[:1] else printable_output():
        return _exit_code_of(arguments)


def _exit_code_of(arguments: list[str]) -> int:
    try:
        check_python(sys.version_info[:2])
        code = _run(arguments)
        sys.stdout.flush()  # a full disk is a sentence here, and a traceback of Python's at its exit
        return code
    except AccelScalingError as error:
        return _refused(str(error), error.exit_code)
    except KeyboardInterrupt:
        return INTERRUPTED_CODE
    except BrokenPipeError:  # `accel-scaling catalog find | head`
        # Python flushes standard output at exit, and would report the broken pipe once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except UnicodeEncodeError as error:
        sign = ascii(error.object[error.start])
        return _refused(
            f"{sign} cannot be written in {error.encoding}, the encoding of this output; set PYTHONIOENCODING=utf-8"
        )
    except OSError as error:
        sentence = disk_sentence(error)
        if sentence is None:
            raise
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # as above
        return _refused(sentence)


def _run(arguments: list[str]) -> int:
    if arguments[:1] == ["help"]:  # of git, docker, kubectl and many more
        arguments = [*arguments[1:], "--help"]
    name = next((word for word in arguments if not word.startswith("-")), None)
    # Taken off here: argparse loses a `-- COMMAND` that follows options.
    end = arguments.index("--") if name in TAKE_A_COMMAND and "--" in arguments else len(arguments)
    args = parser(name).parse_args(arguments[:end], argparse.Namespace(command=arguments[end + 1 :]))
    if not hasattr(args, "run"):
        parser(None).print_help()
        return 2
    return int(args.run(args))


def _refused(sentence: str, exit_code: int = AccelScalingError.exit_code) -> int:
    write_error(sentence)
    return exit_code


def parser(name: str | None) -> argparse.ArgumentParser:
    """Return the parser; only the named command's module is imported, so each command starts fast.

    Args:
        name: a command's name; None, or any other word, for all commands.
    """
    made = Parser(
        prog="accel-scaling",
        description="Launch Ray nodes whose accelerators match what the cluster file promises.",
        epilog=_ALL,
    )
    made.add_argument("--version", action="version", version=f"accel-scaling {__version__}")
    commands = made.add_subparsers(title="commands", metavar="COMMAND")
    # For an unknown word all commands are needed: argparse's error lists them.
    for command_name in (name,) if name in COMMANDS else COMMANDS:
        module = importlib.import_module(f"accel_scaling.cli.{command_name}")
        command = add_command(commands, command_name, module)
        command.set_defaults(run=module.run)
    return made


if __name__ == "__main__":
    sys.exit(main())
