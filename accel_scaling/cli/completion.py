"""`accel-scaling completion`: prints a shell's completion script, made from the real parser."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from accel_scaling.cli.arguments import FILE_TYPES
from accel_scaling.cli.common import sub_commands
from accel_scaling.errors import AccelScalingError

if TYPE_CHECKING:
    import argparse

HELP = "print a shell completion script: commands, options and files"
EXAMPLES = """examples:
  accel-scaling completion bash > ~/.local/share/bash-completion/completions/accel-scaling
  accel-scaling completion zsh > ~/.zfunc/_accel-scaling       with fpath+=~/.zfunc before compinit in ~/.zshrc
  accel-scaling completion fish > ~/.config/fish/completions/accel-scaling.fish
  accel-scaling completion tcsh > ~/.accel-scaling.tcsh        and source it in ~/.tcshrc

exit codes: 0 printed, 2 the installed shtab does not know the shell
"""

SHELLS = ("bash", "zsh", "fish", "tcsh")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))


def run(args: argparse.Namespace) -> int:
    """Print the shell's script.

    Raises:
        AccelScalingError: the installed shtab is too old for this shell.
    """
    import shtab

    from accel_scaling.cli.main import parser

    if args.shell not in shtab.SUPPORTED_SHELLS:
        raise AccelScalingError(
            f"the installed shtab {shtab.__version__} writes nothing for {args.shell}; `pip install --upgrade shtab`"
        )
    # Without a name, as only then every command is imported, whose options the script has.
    every = parser(None)
    _complete_files(every, shtab.FILE)
    sys.stdout.write(str(shtab.complete(every, shell=args.shell)) + "\n")
    return 0


def _complete_files(parser: argparse.ArgumentParser, file: dict[str, str]) -> None:
    """Mark each argument that is a path for completion; shtab reads the attribute ``complete``."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to ask
        if action.type in FILE_TYPES:
            action.complete = file  # type: ignore[attr-defined]
    for command, _ in sub_commands(parser).values():
        _complete_files(command, file)
