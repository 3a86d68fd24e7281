"""The table of versions: what is refused, what is warned of, and that nothing else compares versions of Ray."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from accel_scaling import _ray, requirements
from accel_scaling._ray import scheduler_memo, versions
from accel_scaling.boot import start_hook
from accel_scaling.cli.main import main
from accel_scaling.errors import NotInstalledError, PlanError
from tests.support.plan import aws, plan

ROOT = Path(__file__).resolve().parents[2]
# The only places where a version of Ray may be read and compared: the table; and the Ray of a container image.
OF_IMAGES = {"kuberay/ray_version.py", "cluster/ray_requirement.py", "_ray/facts.py"}
COMPARES = re.compile(
    r"ray\.__version__|metadata\.version\(.ray|versions\.installed\(|versions\.(FLOOR|CHECKED)\b *[<>=]"
)


def test_the_floor_is_what_pip_is_told() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    needed = re.findall(r'"ray\[[a-z,]+\]([^"]*)"', text)
    assert set(needed) == {f">={versions.minor_text(versions.FLOOR)}"}, "no upper bound: a newer Ray gets a warning"


def test_nothing_outside_compares_versions_of_the_installed_ray() -> None:
    folders = [ROOT / "accel_scaling", ROOT / "providers"]
    files = {file.resolve() for folder in folders for file in folder.rglob("*.py")}
    found = [
        str(file.relative_to(ROOT))
        for file in files
        if file.parent.name != "_ray"
        and not str(file).endswith(tuple(OF_IMAGES))
        and COMPARES.search(file.read_text(encoding="utf-8"))
    ]
    assert found == [], "ask _ray.has(...), and add a row to _ray/versions.py SINCE"


def test_every_row_is_between_the_floor_and_the_newest_that_was_checked() -> None:
    for name, since in {**versions.SINCE, **versions.TPU_SINCE}.items():
        assert versions.FLOOR < since <= versions.CHECKED, f"{name} is of every supported Ray: remove it"


@pytest.mark.parametrize(
    ("version", "has_priority", "has_all"),
    [("2.50.1", False, False), ("2.55.1", False, False), ("2.56.0", True, False), ("2.60.0", True, True),
     ("3.0.0.dev0", True, True), (None, True, True)],
)  # fmt: skip
def test_has_goes_by_the_minor(with_ray: Any, version: str | None, has_priority: bool, has_all: bool) -> None:
    with_ray(version)
    assert _ray.has("priority") is has_priority
    assert all(map(_ray.has, versions.SINCE)) is has_all


def test_a_name_without_a_row_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        _ray.has("prioritty")


@pytest.mark.parametrize("version", ["2.49.2", "2.9.3", "1.13.0"])
def test_below_the_floor_one_sentence_says_what_to_install(with_ray: Any, version: str) -> None:
    with_ray(version)
    sentence = rf"Ray {version} is installed, and accel_scaling needs Ray 2\.50 or newer: `pip install 'ray\[default\]>"
    with pytest.raises(NotInstalledError, match=sentence):
        requirements.check_ray(pytest.fail)


def test_without_ray_the_sentence_says_so(with_ray: Any) -> None:
    with_ray(None)
    with pytest.raises(NotInstalledError, match=r"Ray is not installed in this Python; `pip install 'ray\[default\]>"):
        requirements.check_ray(pytest.fail)


@pytest.mark.parametrize(("version", "warnings"), [("2.50.0", 0), ("2.60.3", 0), ("2.61.0rc1", 1), ("3.0.0.dev0", 1)])
def test_a_newer_ray_gets_one_warning_and_continues(with_ray: Any, version: str, warnings: int) -> None:
    with_ray(version)
    said: list[str] = []
    requirements.check_ray(said.append)
    assert len(said) == warnings
    assert all(f"Ray {version} is newer than Ray 2.60" in sentence for sentence in said)


@pytest.mark.parametrize("command", ["plan", "rehearse"])
def test_each_command_that_uses_ray_looks_at_its_version_first(
    with_ray: Any, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with_ray("2.44.1")
    path = ROOT / "example_clusters" / "aws-gpu.yaml"
    options = ["--demand", "T4"] if command == "plan" else []
    assert main([command, str(path), *options]) == 2
    assert "Ray 2.44.1 is installed, and accel_scaling needs Ray 2.50 or newer" in capsys.readouterr().err


def test_a_node_with_an_older_ray_is_refused_by_its_boot_check(with_ray: Any) -> None:
    with_ray("2.44.1")
    verdict = start_hook.check_machine([], None)
    assert not verdict.confirmed
    assert verdict.message.startswith("on this node, Ray 2.44.1 is installed")


def test_with_a_newer_ray_plans_ask_its_scheduler_without_the_memo(with_ray: Any) -> None:
    with_ray("2.99.0")
    node = scheduler_memo.scheduler_module().SchedulingNode
    assert not issubclass(node, scheduler_memo._MemoNode)
    with_ray("2.60.0")
    assert issubclass(scheduler_memo.scheduler_module().SchedulingNode, scheduler_memo._MemoNode)


def test_a_newer_scheduler_that_cannot_be_asked_is_one_sentence(with_ray: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with_ray("2.99.0")
    monkeypatch.setattr(scheduler_memo.scheduler_module(), "ResourceDemandScheduler", object)
    types = {"head": _ray.node_type_config("head", 1)}
    request = _ray.scheduling_request(types, 3, [])
    with pytest.raises(PlanError, match=r"Ray 2\.99\.0 cannot be asked for a plan .* knows Ray 2\.50 to 2\.60"):
        _ray.schedule(request)


def test_a_score_of_another_form_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from accel_scaling._ray import node_scores

    monkeypatch.setattr(node_scores, "_spared", frozenset({"TPU"}))
    for score in [(1.0, 2.0), (True, 1, 2, 3, 4.0, 5.0)]:
        assert node_scores._lowered(score, {"TPU": 4}, [{"CPU": 1}]) == score
    assert node_scores._lowered((True, True, 1, 0.5, 0.5), {"TPU": 4}, [{"CPU": 1}]) == (True, False, 1, 0.5, 0.5)


def test_a_gang_is_planned_on_every_minor() -> None:
    gangs = [["STRICT_SPREAD", "T4:1x2"]]
    answer = plan(aws(head="m5.large", g="g4dn.xlarge"), gangs=gangs)
    assert answer.launch == {"g": 2}, "Ray 2.50 reads another field, and an empty group launches nothing"
