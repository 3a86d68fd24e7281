"""The example of a plug-in family, rehearsed: from the demand to the ids in its task, with and without a fault."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.plugins import install_example
from tests.support.rehearsal import REHEARSE, ROOT, environment, lean, left_behind

CLUSTER = ROOT / "example_clusters" / "aws-ferrum.yaml"


@pytest.fixture(name="rehearse")
def rehearse_fixture(scratch: Path):
    """Rehearse the example where its package is installed; nothing may be left behind."""
    site = install_example(scratch / "site")

    def rehearse(*options: str, installed: bool = True) -> subprocess.CompletedProcess[str]:
        own = environment(scratch)
        if installed:
            own["PYTHONPATH"] = f"{site}{os.pathsep}{own['PYTHONPATH']}"
        path = lean(CLUSTER, scratch) if installed else CLUSTER
        done = subprocess.run(
            [*REHEARSE, path, *options], capture_output=True, text=True, env=own, check=False
        )  # fmt: skip
        assert left_behind(scratch) == []
        return done

    return rehearse


@pytest.mark.cluster
@pytest.mark.timeout(400)
def test_a_task_on_a_family_that_nobody_ships_gets_its_id_and_its_variable(rehearse) -> None:
    done = rehearse()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "promised 4 FERRUM of Ferrum-N1; 4 on the PCI bus, 4 seen by the driver as Ferrum N1" in done.stdout
    assert "; its ids: FERRUM 0, FERRUM_VISIBLE_DEVICES=0\n" in done.stdout
    assert "CPU 16, FERRUM 4, memory 44.8 GiB, Ferrum-N1  CPU 16, FERRUM 4, memory 44.8 GiB, Ferrum-N1" in done.stdout


@pytest.mark.wide  # test_aws.py has machines with other devices; families/test_plugins_detected.py, these verdicts
@pytest.mark.cluster
@pytest.mark.timeout(400)
def test_a_machine_of_it_that_lies_is_refused_and_terminated(rehearse) -> None:
    done = rehearse("--hosts", "processes", "--fault", "fewer:fe1.4xlarge=3", "--timeout", "30")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FewerThanPromised: fe1.4xlarge " in done.stdout
    assert "3 on the PCI bus, 3 seen by the driver as Ferrum N1: 1 FERRUM missing" in done.stdout
    assert "(never joined)" in done.stdout


def test_without_the_package_the_rehearsal_says_what_is_missing_before_anything_starts(rehearse) -> None:
    done = rehearse(installed=False)
    assert done.returncode == 2
    assert "aws-ferrum.yaml:24: available_node_types.ferrum: instance type 'fe1.4xlarge' of aws is not" in done.stderr
    assert "or install the package that brings it (docs/families-of-your-own.md)" in done.stderr
