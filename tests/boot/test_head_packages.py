"""On a head with too old a client, the one that the provider needs is put beside it, for the autoscaler alone."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from accel_scaling.boot import head_packages
from accel_scaling.boot.verdict_file import FOLDER
from accel_scaling.clouds import known_clouds
from accel_scaling.errors import ClusterConfigError

GCP = known_clouds()["gcp"]
ROOT = Path(__file__).resolve().parents[2]
OLD = {"google-api-python-client": "1.7.8", "google-auth-httplib2": "0.0.3"}


def wheel(index: Path, name: str, version: str, module: str) -> None:
    """Write a wheel with one module into a folder that pip takes for its index."""
    folder, info = name.replace("-", "_"), f"{name.replace('-', '_')}-{version}.dist-info"
    with zipfile.ZipFile(index / f"{folder}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{module}.py", f"VERSION = {version!r}\n")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")


@pytest.fixture(name="head")
def head_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A head's home: its config names our provider, its client is old, and pip reaches an index in a folder."""
    index = tmp_path / "index"
    index.mkdir()
    for name, floor in GCP.sdk_floors:
        wheel(index, name, floor, f"only_{name.replace('-', '_')}")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv(FOLDER, str(tmp_path / ".accel_scaling"))
    monkeypatch.setattr(head_packages, "_SHARED", ())
    (tmp_path / "ray_bootstrap_config.yaml").write_text(f"provider:\n  type: external\n  module: {GCP.module}\n")
    version = head_packages._version

    def old(name: str, path: list[str] | None) -> str | None:
        return OLD.get(name, "99") if path is None else version(name, path)

    monkeypatch.setattr(head_packages, "_version", old)
    return tmp_path


def prepared(head: Path, **params: Any) -> list[str]:
    import os

    named = {"autoscaling_config": str(head / "ray_bootstrap_config.yaml"), **params}
    return head_packages.prepare(SimpleNamespace(**named), os.environ)


def test_it_is_installed_apart_and_found_by_the_provider_alone(head: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name, _ in GCP.sdk_floors[1:]:  # as pip does with the real client: it brings what it calls
        monkeypatch.setitem(OLD, name, "99")
    place = head_packages.folder(os.environ)
    (said,) = prepared(head)
    assert said.startswith("the provider needs google-api-python-client>=2.150, and this Python has google-api-python-")
    assert said.endswith(f"; it is installed for the autoscaler alone, in {place}")
    assert (place / "only_google_api_python_client.py").is_file()


def test_what_is_new_enough_is_not_changed_and_no_folder_is_made(head: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_packages, "_version", lambda name, path: "99")
    assert prepared(head) == []
    assert not (head / ".accel_scaling").exists()


@pytest.mark.parametrize("config", [None, "", "nowhere.yaml"])
def test_a_node_that_is_no_head_of_ours_asks_nothing(head: Path, config: str | None) -> None:
    assert prepared(head, autoscaling_config=config) == []


def test_an_index_that_does_not_answer_is_one_sentence_with_what_follows(
    head: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(head / "empty"))
    (said,) = prepared(head)
    assert "; it could not be installed for the autoscaler, which will launch no node (" in said
    assert said.endswith("install it in the image or in head_setup_commands")
    assert "\n" not in said


def test_the_provider_imports_from_the_folder_only_where_the_own_client_is_too_old(
    head: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    place = head_packages.folder(os.environ)
    place.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", list(sys.path))
    head_packages.use(GCP)
    assert str(place) not in sys.path, "what is there is too old itself"
    for name, floor in GCP.sdk_floors:
        (place / f"{name.replace('-', '_')}-{floor}.dist-info").mkdir()
        (place / f"{name.replace('-', '_')}-{floor}.dist-info" / "METADATA").write_text(
            f"Name: {name}\nVersion: {floor}\n"
        )
    head_packages.use(GCP)
    head_packages.use(GCP)
    assert sys.path[0] == str(place)
    assert sys.path.count(str(place)) == 1
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(place)])
    monkeypatch.setitem(OLD, "google-api-python-client", "2.200")
    monkeypatch.setitem(OLD, "google-auth-httplib2", "0.2")
    head_packages.use(GCP)
    assert str(place) not in sys.path, "tasks and the autoscaler have the same then"


def test_a_provider_that_meets_an_old_client_anyway_says_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from googleapiclient import discovery

    from accel_scaling.providers.gcp import client

    monkeypatch.setattr(discovery, "build", lambda service, version, http=None: None)
    with pytest.raises(ClusterConfigError, match=r"and the provider needs google-api-python-client>=2\.150"):
        client._built.__wrapped__("compute", None, '{"type": "anonymous"}')


def test_the_version_that_is_found_is_that_of_the_installed_package() -> None:
    assert head_packages._version("boto3", None) == importlib.metadata.version("boto3")
    assert head_packages.too_old(known_clouds()["aws"]) == []
    code = "import accel_scaling.providers.aws.provider, sys; print(sum('head_packages' in p for p in sys.path))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
