"""A cluster file as `ray up` hands it to the head, and the sentence with which it refuses one, by Ray's own steps."""

from __future__ import annotations

import copy
from typing import Any

import click
import pytest


def resolved(config: dict[str, Any]) -> dict[str, Any]:
    """The config as `ray up` resolves it, without Ray's cache."""
    from ray.autoscaler._private.commands import _bootstrap_config

    done: dict[str, Any] = _bootstrap_config(copy.deepcopy(config), no_config_cache=True)
    return done


def refusal(config: dict[str, Any]) -> str:
    """The one sentence with which `ray up` refuses the config."""
    with pytest.raises(click.ClickException) as error:
        resolved(config)
    assert "\n" not in error.value.message
    return error.value.message
