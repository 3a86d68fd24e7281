"""What `ray up` prints before its question "Confirm [y/N]", which nobody answers here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml


class Asked(BaseException):
    """`ray up` has come to its question."""


def said_before_the_question(
    config: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """Run `ray up` in this process up to its question; return what it has printed, as on a terminal."""
    from ray.autoscaler._private import cli_logger as module
    from ray.autoscaler._private.commands import create_or_update_cluster

    def ask(*_: Any, **__: Any) -> None:
        raise Asked

    path = folder / "cluster.yaml"
    path.write_text(yaml.safe_dump(config))
    logger = module.cli_logger
    before = logger.log_style, logger.color_mode, logger.verbosity
    monkeypatch.setattr(logger, "confirm", ask)
    monkeypatch.setattr("accel_scaling.requirements.LAUNCHER_TOOLS", ())  # this machine launches nothing
    logger.configure("pretty", "false", 0)
    capsys.readouterr()
    try:
        with pytest.raises(Asked):
            create_or_update_cluster(
                str(path),
                override_min_workers=None,
                override_max_workers=None,
                no_restart=False,
                restart_only=False,
                yes=False,
                no_config_cache=True,
            )
    finally:
        logger.configure(*before)
    # Ray puts a code of the terminal even between the items of a list without colours.
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
