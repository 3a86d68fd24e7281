"""How a command's module becomes a sub-command: its HELP, its EXAMPLES, its options."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any


def add_command(commands: Any, name: str, module: ModuleType) -> argparse.ArgumentParser:
    """Add a module's command to what ``add_subparsers()`` returned, and return its parser."""
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=module.HELP,
        description=module.HELP,
        epilog=module.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(command)
    return command
