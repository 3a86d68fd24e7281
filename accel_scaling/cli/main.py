"""The `accel-scaling` command: finds the sub-command, prints errors as one sentence, sets the exit code."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import TYPE_CHECKING

from accel_scaling.cli.adding import add_command
from accel_scaling.errors import AccelScalingError
from accel_scaling.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

# In the order in which a user meets them; each module has HELP, EXAMPLES, add_arguments(parser) and run(args).
COMMANDS = ("fill", "catalog", "rehearse", "detect", "confirm", "status")

TAKE_A_COMMAND = ("rehearse",)  # what follows `--` is run on the cluster, as it stands

INTERRUPTED = 130  # what a shell reports for Ctrl-C


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 2 bad input, 3 not confirmed, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    # Taken off here: argparse loses a `-- COMMAND` that follows options.
    end = arguments.index("--") if wanted in TAKE_A_COMMAND and "--" in arguments else len(arguments)
    args = _parser(wanted).parse_args(arguments[:end], argparse.Namespace(command=arguments[end + 1 :]))
    if not hasattr(args, "run"):
        _parser(None).print_help()
        return 2
    try:
        return int(args.run(args))
    except AccelScalingError as error:
        sys.stderr.write(f"accel-scaling: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `accel-scaling catalog find | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser(wanted: str | None) -> argparse.ArgumentParser:
    """Return the parser; only the wanted command's module is imported, so that each command starts fast."""
    parser = argparse.ArgumentParser(
        prog="accel-scaling",
        description="Launch accelerator machines with Ray that are what the cluster file promised.",
        epilog="`accel-scaling COMMAND --help` shows each command's options and examples.",
    )
    parser.add_argument("--version", action="version", version=f"accel-scaling {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    names = (wanted,) if wanted in COMMANDS else COMMANDS
    for name in names:
        module = importlib.import_module(f"accel_scaling.cli.{name}")
        command = add_command(commands, name, module)
        command.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
