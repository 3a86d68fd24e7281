"""Limits in the head's config beside `ray up`, which writes the same file: none is lost, and rounds cost little."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from accel_scaling.errors import ClusterConfigError
from accel_scaling.quarantine import max_workers


def config(types: int = 24, **top: Any) -> dict[str, Any]:
    node_config = {"InstanceType": "p4d.24xlarge", "SubnetIds": ["subnet-1", "subnet-2"]}
    one = {"max_workers": 5, "resources": {"GPU": 1}, "labels": {"a": "b"}, "node_config": node_config}
    node_types = {f"t{number}": dict(one) for number in range(types)}
    return {"max_workers": 100, "provider": {"type": "external"}, "available_node_types": node_types, **top}


@pytest.fixture(params=[json.dumps, yaml.safe_dump], ids=["json", "yaml"])
def written(request: pytest.FixtureRequest) -> Callable[[Any], str]:
    dump: Callable[[Any], str] = request.param
    return dump


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "head"
    folder.mkdir()
    return folder / "ray_bootstrap_config.yaml"


def read(path: Path) -> Any:
    return yaml.load(path.read_text(), yaml.CSafeLoader)


def put(path: Path, text: str) -> None:
    """Write a file as rsync does: beside the old one, and then in its place."""
    fresh = path.with_name(".new")
    fresh.write_text(text)
    fresh.replace(path)


def in_between(monkeypatch: pytest.MonkeyPatch, name: str, do: Callable[[int], None]) -> None:
    """Do something each time before a function of the module runs."""
    function, count = getattr(max_workers, name), iter(range(100))

    def first(*given: Any) -> Any:
        do(next(count))
        return function(*given)

    monkeypatch.setattr(max_workers, name, first)


@pytest.mark.parametrize("moment", ["_parsed", "_replaced", "_exchanged"])
def test_a_config_that_ray_up_writes_while_a_limit_is_written_stays_and_is_limited(
    path: Path, written: Callable[[Any], str], moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(written(config()))
    in_between(monkeypatch, moment, lambda number: None if number else put(path, written(config(max_workers=7))))
    max_workers.apply(path, {"t0": 0})
    now = read(path)
    assert (now["max_workers"], now["available_node_types"]["t0"]["max_workers"]) == (7, 0)
    assert list(path.parent.iterdir()) == [path]


def test_a_config_that_is_written_in_place_while_a_limit_is_written_stays(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(json.dumps(config()))
    in_between(
        monkeypatch, "_exchanged", lambda number: None if number else path.write_text(json.dumps(config(max_workers=7)))
    )
    max_workers.apply(path, {"t0": 0})
    assert read(path)["max_workers"] == 7
    assert read(path)["available_node_types"]["t0"]["max_workers"] == 0


def test_of_three_configs_that_come_at_the_worst_moments_the_last_one_stays(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(json.dumps(config()))

    def worst(number: int) -> None:
        if number < 2:  # before the limited file is put there, and before the newer one is put back
            put(path, json.dumps(config(max_workers=number + 1)))

    in_between(monkeypatch, "_exchanged", worst)
    max_workers.apply(path, {"t0": 0})
    assert read(path)["max_workers"] == 2
    assert read(path)["available_node_types"]["t0"]["max_workers"] == 0


def test_a_file_that_another_process_writes_all_the_time_is_left_to_it_and_said(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(json.dumps(config()))
    in_between(monkeypatch, "_replaced", lambda number: put(path, json.dumps(config(max_workers=number))))
    with pytest.raises(ClusterConfigError, match="another process writes it again and again"):
        max_workers.apply(path, {"t0": 0})
    assert read(path)["available_node_types"]["t0"]["max_workers"] == 5
    assert list(path.parent.iterdir()) == [path]


def test_where_two_files_cannot_change_places_a_newer_config_is_still_seen_before_the_replacement(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(max_workers, "_renameat2", lambda: None)
    path.write_text(json.dumps(config()))
    in_between(
        monkeypatch, "_replaced", lambda number: None if number else put(path, json.dumps(config(max_workers=7)))
    )
    max_workers.apply(path, {"t0": 0})
    assert (read(path)["max_workers"], read(path)["available_node_types"]["t0"]["max_workers"]) == (7, 0)


def test_no_config_of_many_is_lost_whenever_it_comes(path: Path) -> None:
    lost = []
    for number in range(200):
        path.write_text(yaml.safe_dump(config(4)))
        new = yaml.safe_dump(config(4, max_workers=1000 + number))
        limits = threading.Thread(target=max_workers.apply, args=(path, {"t0": 0, "t1": number % 3}))
        limits.start()
        # At another moment each time, within the time that a limit takes.
        until = time.perf_counter() + number * 5e-5
        while time.perf_counter() < until:
            pass
        put(path, new)
        limits.join()
        if read(path)["max_workers"] != 1000 + number:
            lost.append(number)
    assert lost == []


def test_a_round_in_which_nothing_has_changed_does_not_read_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    in_between(monkeypatch, "_parsed", reads.append)
    path.write_text(json.dumps(config()))
    for _ in range(3):
        max_workers.apply(path, {"t0": 0})
    assert len(reads) == 1
    put(path, json.dumps(config(max_workers=7)))
    max_workers.apply(path, {"t0": 0})
    assert len(reads) == 2
    assert read(path)["available_node_types"]["t0"]["max_workers"] == 0


def test_a_file_keeps_its_language_and_is_in_the_end_as_it_was(path: Path) -> None:
    path.write_text(json.dumps(config(note="Ü")))
    max_workers.apply(path, {"t0": 0})
    assert json.loads(path.read_text())["available_node_types"]["t0"]["max_workers"] == 0
    max_workers.apply(path, {})
    assert json.loads(path.read_text()) == config(note="Ü")


def test_a_limited_file_has_the_permissions_of_the_one_before(path: Path) -> None:
    path.write_text(json.dumps(config()))
    os.chmod(path, 0o600)  # noqa: PTH101 - as a user's shell does
    max_workers.apply(path, {"t0": 0})
    assert path.stat().st_mode & 0o777 == 0o600


def test_three_thousand_node_types_are_limited_within_a_second_of_computing(path: Path) -> None:
    path.write_text(json.dumps(config(3000)))
    before = time.thread_time()
    max_workers.apply(path, {"t0": 0})
    assert time.thread_time() - before < 1.0
