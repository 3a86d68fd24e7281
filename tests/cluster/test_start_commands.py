"""The findings about start commands before anything costs money: refused, noted, or nothing at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.cli.main import main
from accel_scaling.cluster.start_commands import Reading, Starts, check_start_commands, reading_of
from accel_scaling.errors import ClusterConfigError
from accel_scaling.fill.fill import fill
from tests.support.cluster import config_of

STOCK = ["ray stop", "ulimit -n 65536; ray start --address=$RAY_HEAD_IP:6379 --object-manager-port=8076"]


def notes_of(*commands: str, policy: str = "refuse", key: str = "worker_start_ray_commands") -> list[str]:
    return check_start_commands({"provider": {"confirmation": {"on_mismatch": policy}}, key: list(commands)})


@pytest.mark.parametrize("key", ["head_start_ray_commands", "worker_start_ray_commands"])
def test_a_start_that_the_check_does_not_reach_is_refused_with_its_place_and_the_way_out(key: str) -> None:
    with pytest.raises(ClusterConfigError) as error:
        notes_of("ray stop", "sudo ray start --address=x", key=key)
    assert str(error.value) == (
        f"{key}[1]: the boot check does not reach this `ray start`: `sudo` removes variables; write "
        '`sudo -E PYTHONPATH="$PYTHONPATH" ray start ...`, or leave sudo out'
    )


def test_where_machines_may_join_with_what_they_have_it_is_a_note() -> None:
    (note,) = notes_of("env -i ray start", policy="join")
    assert note.startswith("worker_start_ray_commands[0]: the boot check does not reach this `ray start`: `env -i`")


def test_workers_that_no_command_reaches_are_noted_with_what_becomes_of_them() -> None:
    policies = {"refuse": "are terminated; leave the key out", "join": "so the boot check cannot run there"}
    for policy, end in policies.items():
        provider = {"disable_node_updaters": True, "confirmation": {"on_mismatch": policy}}
        (note,) = check_start_commands({"provider": provider})
        assert note.startswith("provider.disable_node_updaters: Ray runs no command on workers")
        assert end in note
    assert check_start_commands({"provider": {"disable_node_updaters": False}}) == []


@pytest.mark.parametrize("commands", [STOCK, ["./start_it.sh"], ["sudo mount /dev/sdb /data", "ray start"], []])
def test_commands_that_are_checked_are_not_spoken_of(commands: list[str]) -> None:
    assert notes_of(*commands) == []


def test_what_rays_own_defaults_start_is_checked() -> None:
    import ray

    for cloud in ("aws", "gcp"):
        file = Path(ray.__file__).parent / "autoscaler" / cloud / "defaults.yaml"
        assert check_start_commands(yaml.safe_load(file.read_text())) == []


def test_a_script_that_may_start_ray_behind_sudo_is_noted() -> None:
    (note,) = notes_of("sudo ./start_it.sh")
    assert note.startswith("worker_start_ray_commands[0]: if start_it.sh starts Ray, the boot check does not reach it:")


def test_no_command_that_starts_ray_is_noted() -> None:
    (note,) = notes_of("ray stop", "ulimit -n 65536")
    expected = "worker_start_ray_commands: none of these commands starts Ray, so these nodes never join"
    assert note == f"{expected}; add `ray start ...`"


def test_a_start_in_the_background_is_noted() -> None:
    (note,) = notes_of("nohup ray start --block &")
    assert "`ray start` runs in the background" in note


def test_of_two_starts_the_one_past_the_check_is_spoken_of() -> None:
    reading = reading_of("ray start || sudo ray start")
    assert (reading.starts, bool(reading.past)) == (Starts.YES, True)


@pytest.mark.parametrize(
    "command",
    [
        "PYTHONPATH=. python3 setup.py install; ray start",
        "ray start; unset PYTHONPATH",
        "(unset X; ray start)",
        "env X=1 bash -lic 'ray start'",
        "runuser -u ubuntu -- bash -lc 'ray start'",
        'sudo -u ubuntu -E PYTHONPATH="$PYTHONPATH" ray start',
        'sudo -E env PYTHONPATH="$PYTHONPATH" ray start',
        "python3 -u -m ray.scripts.scripts start --EI",
    ],
)
def test_what_concerns_another_program_is_not_treated_as_ours(command: str) -> None:
    assert reading_of(command).past == ""


@pytest.mark.parametrize(
    "command", ["echo 'ray start'", "grep -q 'ray start' x", "# ray start", "ray status", "cd /ray/start"]
)
def test_what_only_speaks_of_a_start_is_none(command: str) -> None:
    assert reading_of(command).starts is Starts.NO


@pytest.mark.parametrize(
    "command", ["./x.sh $(hostname -i)", "./x.sh `hostname -i; date`", "./x.sh '$(a b) $(c d)' \"$(e f)\""]
)
def test_a_command_that_is_put_into_another_is_no_end_in_itself(command: str) -> None:
    assert reading_of(command) == Reading(Starts.MAYBE, "x.sh")


@pytest.mark.parametrize("command", ["ray start '", "cat <<EOF\nit's\nEOF\nray start", "ray start $(", "x" * 200_000])
def test_what_cannot_be_read_is_wired_and_not_judged(command: str) -> None:
    reading = reading_of(command)
    assert reading.starts is not Starts.NO
    assert reading.past == ""


def clusters_config(**more: Any) -> dict[str, Any]:
    return {**config_of({"gpu": "g5.xlarge"}), **more}


def test_the_fill_refuses_what_ray_up_would_pay_for() -> None:
    with pytest.raises(ClusterConfigError, match=r"^worker_start_ray_commands\[0\]: the boot check does not reach"):
        fill(clusters_config(worker_start_ray_commands=["sudo ray start"]), shipped_catalog())


@pytest.mark.parametrize("command", ["fill", "plan", "rehearse"])
def test_each_command_says_it_with_the_line(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cluster.yaml"
    text = yaml.safe_dump(clusters_config(worker_start_ray_commands=["ray stop", "env -i ray start"]), sort_keys=False)
    file.write_text(text)
    line = text.splitlines().index("worker_start_ray_commands:") + 1
    words = [command, str(file), *(["--demand", "A10G"] if command == "plan" else [])]
    assert main(words) == 2
    assert f"{file}:{line}: worker_start_ray_commands[1]: the boot check does not reach" in capsys.readouterr().err
