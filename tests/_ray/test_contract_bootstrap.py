"""Contract: Ray stops its steps in an account with the words that providers/*/ray_steps.py has remedies for."""

from __future__ import annotations

import inspect
import re
from typing import Any

import click
import pytest

from accel_scaling import _ray
from accel_scaling.providers.aws.ray_steps import REMEDIES as AWS_REMEDIES
from accel_scaling.providers.gcp.bootstrap import REMEDIES as GCP_REMEDIES


def words(module: Any) -> str:
    """A module's source in lower case, its strings that stand side by side joined."""
    return " ".join(re.sub(r"\"\s*f?\"", "", inspect.getsource(module)).lower().split())


@pytest.mark.parametrize("part", [part for part, _ in AWS_REMEDIES])
def test_ray_still_says_this_of_aws(part: str) -> None:
    from ray.autoscaler._private.aws import config

    assert part in words(config)


@pytest.mark.parametrize("part", [part for part, _ in GCP_REMEDIES])
def test_ray_still_says_this_of_google(part: str) -> None:
    from ray.autoscaler._private.gcp import config

    assert part in words(config)


def test_what_ray_says_before_it_stops_is_collected_and_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    logger = _ray.cli_logger()
    with pytest.raises((click.ClickException, AssertionError)), _ray.collected_panics() as panics:
        logger.doassert(False, "Not all {} found", "subnets")
    assert panics == ["Not all subnets found"]
    said = capsys.readouterr()
    assert "subnets" not in said.out + said.err
    with pytest.raises(click.ClickException):
        logger.abort("it is printed again")
    said = capsys.readouterr()
    assert "it is printed again" in said.out + said.err
