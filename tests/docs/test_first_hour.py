"""docs/first-hour.md: each mistake is made, with the real program, and says what its row says, in one sentence."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from accel_scaling import requirements
from accel_scaling.testing.hosts.hosts import choose_kind
from accel_scaling.testing.hosts.settings import HostKind
from tests.support.first_hour import AWS, GCP, ROOT, Desk, changed
from tests.support.gcp_provider import config_of, google

PAGE = ROOT / "docs" / "first-hour.md"
ROW = re.compile(r"^\| (`+)(?P<seen>.+?)\1 \| (?P<why>.+?) \| (?P<what>.+?) \|$", re.MULTILINE)


def in_region(name: str) -> dict[str, Any]:
    """The example in a region that no other test of this process has a client for: Ray keeps them."""
    return changed(AWS, "provider/region", name)


class Answer(BaseHTTPRequestHandler):
    """An EC2 that says one thing."""

    status, body = 200, ""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body.encode())

    def log_message(self, *words: Any) -> None:
        pass


def ec2_says(desk: Desk, status: int, body: str, region: str) -> str:
    handler = type("Says", (Answer,), {"status": status, "body": body})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        desk.patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            desk.patch.setenv(name, "x")
        try:
            return desk.ray_up(in_region(region))
        finally:
            server.shutdown()


REFUSED = "<Response><Errors><Error><Code>AuthFailure</Code><Message>no</Message></Error></Errors></Response>"
NOTHING = "<DescribeInstanceTypeOfferingsResponse><instanceTypeOfferingSet/></DescribeInstanceTypeOfferingsResponse>"


def on_gce(desk: Desk, path: str, value: Any) -> str:
    with google() as gce:
        output = desk.ray_up(changed(config_of(gce.url), path, value))
        assert gce.machines() == {}
        return output


def python_39(desk: Desk) -> str:
    desk.patch.setattr(sys, "version_info", (3, 9, 1))
    return desk.ours("detect")


def without_moto(desk: Desk) -> str:
    desk.patch.setitem(sys.modules, "moto", None)  # for Python: it is not there
    return desk.ours("rehearse", desk.file(AWS))


def ray_is(version: str | None) -> Callable[[Desk], str]:
    def mistake(desk: Desk) -> str:
        from accel_scaling._ray import versions

        desk.patch.setattr(versions, "installed_version", lambda: version)
        return desk.ours("rehearse", desk.file(AWS))

    return mistake


def without_ssh(desk: Desk) -> str:
    desk.patch.setenv("PATH", str(desk.folder))
    return desk.ray_up(in_region("eu-west-3"))


def on_a_mac(desk: Desk) -> str:
    desk.patch.setattr(sys, "platform", "darwin")
    return desk.ours("rehearse", desk.file(AWS))


def not_root(desk: Desk) -> str:
    desk.patch.setattr(os, "geteuid", lambda: 1000)
    return choose_kind(None, Path(sys.executable))[1]


def isolated_without_root(desk: Desk) -> str:
    desk.patch.setattr(os, "geteuid", lambda: 1000)
    return desk.ours("rehearse", desk.file(AWS), "--hosts", HostKind.ISOLATED.value)


def without_sshd(desk: Desk) -> str:
    desk.patch.setattr(os, "geteuid", lambda: 0)
    there = shutil.which
    gone = {"sshd", "rsync"}
    desk.patch.setattr(shutil, "which", lambda name, **more: None if name in gone else there(name, **more) or name)
    reason = choose_kind(None, Path(sys.executable))[1]
    return reason.replace("rsync, sshd", "sshd, rsync")


def no_temporary_folder(desk: Desk) -> str:
    desk.patch.setattr(tempfile, "tempdir", None)
    desk.patch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/nothing"])
    return desk.ours("rehearse", desk.file(AWS))


def full_disk(desk: Desk) -> str:
    def full(*words: Any, **more: Any) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/accel-1")

    desk.patch.setattr(tempfile, "mkdtemp", full)
    return desk.ours("rehearse", desk.file(AWS))


def home_is_a_file(desk: Desk) -> str:
    (desk.folder / "no-home").touch()
    desk.patch.setenv("HOME", str(desk.folder / "no-home"))
    return desk.ray_up(AWS)


def init_twice(desk: Desk) -> str:
    return desk.ours("init", "aws", "--accelerator", "T4", "-o", desk.file("mine"))


WORKER = "available_node_types/{}/node_config/{}"
T4, L4 = WORKER.format("t4", "InstanceType"), WORKER.format("l4", "machineType")

# What a row begins with, after `...: `, and how that is come by.
MISTAKES: dict[str, Callable[[Desk], str]] = {
    "this is Python 3.9,": python_39,
    "the Python module moto": without_moto,
    "the Python module botocore": lambda desk: desk.ray_up_without("botocore", "boto3"),
    "the Python module googleapiclient": lambda desk: desk.ray_up_without("googleapiclient"),
    "Ray is not installed": ray_is(None),
    "Ray 2.44.1 is installed": ray_is("2.44.1"),
    "ModuleNotFoundError: No module named 'accel_scaling'": lambda desk: desk.ray_up_without("accel_scaling"),
    "ssh and rsync not found": without_ssh,
    "... does not exist": lambda desk: desk.ours("fill", "nowhere.yaml"),
    "this is not valid YAML": lambda desk: desk.fill("provider:\n\ttype: external\n"),
    "this is not a cluster config: `provider`": lambda desk: desk.fill(changed(AWS, "provider")),
    "this is not a cluster config: `available": lambda desk: desk.fill(changed(AWS, "available_node_types")),
    "head_node_type is 'ray.head.default'": lambda desk: desk.fill(changed(AWS, "head_node_type")),
    "head_node and worker_nodes": lambda desk: desk.fill({**AWS, "head_node": {"a": 1}, "worker_nodes": {"a": 1}}),
    "this is a Kubernetes manifest": lambda desk: desk.fill({"apiVersion": "ray.io/v1", "kind": "RayCluster"}),
    "provider.region is '${REGION}'": lambda desk: desk.fill(changed(AWS, "provider/region", "${REGION}")),
    "provider.module is missing": lambda desk: desk.fill(changed(AWS, "provider/module")),
    "provider.type is 'external'": lambda desk: desk.fill(changed(AWS, "provider/module", "accel_scaling.aws.Aws")),
    "cluster_name is missing": lambda desk: desk.fill(changed(AWS, "cluster_name")),
    "provider.region is missing": lambda desk: desk.ours("rehearse", desk.file(changed(AWS, "provider/region"))),
    "available_node_types.t4.node_config.InstanceType is missing": lambda desk: desk.fill(changed(AWS, T4)),
    "available_node_types.l4.node_config has no machineType": lambda desk: desk.fill(changed(GCP, L4)),
    "provider.availability_zone is missing": lambda desk: desk.fill(changed(GCP, "provider/availability_zone")),
    "provider.project_id is missing": lambda desk: on_gce(desk, "provider/project_id", None),
    "provider.project_id is still": lambda desk: desk.ray_up(GCP),
    "available_node_types.t4: instance type": lambda desk: desk.fill(changed(AWS, T4, "g4dn.xlrge")),
    "accelerator 'A1000'": lambda desk: desk.ours("catalog", "find", "--accelerator", "A1000"),
    "provider.cache_stopped_node is": lambda desk: desk.fill(changed(AWS, "provider/cache_stopped_node", False)),
    "region is a key that Ray's": lambda desk: desk.fill(changed(AWS, "region", "us-west-2")),
    "'g99' is not a machine type": lambda desk: desk.ours("catalog", "show", "g99"),
    "this machine is not the head": lambda desk: desk.ours("status"),
    "KeyError: 'setup_commands'": lambda desk: desk.ray_up(changed(AWS, "setup_commands")),
    "no AWS credentials": lambda desk: desk.ray_up(in_region("eu-north-1")),
    "AWS refused the credentials": lambda desk: ec2_says(desk, 401, REFUSED, "eu-south-1"),
    "provider.region is 'us-west-2a'": lambda desk: desk.ray_up(in_region("us-west-2a")),
    "provider.region is 'us-wst-2'": lambda desk: desk.ray_up(in_region("us-wst-2")),
    "available_node_types.a10g: EC2 does not offer": lambda desk: ec2_says(desk, 200, NOTHING, "ap-south-1"),
    "no Google credentials": lambda desk: desk.ray_up(changed(GCP, "provider/project_id", "my-project")),
    "provider.availability_zone names": lambda desk: desk.fill(
        changed(GCP, "provider/availability_zone", "us-central1")
    ),
    "provider.availability_zone us-central1-z": lambda desk: on_gce(
        desk, "provider/availability_zone", "us-central1-z"
    ),
    "rehearsals need Linux": on_a_mac,
    "plain processes on loopback addresses: not root": not_root,
    "plain processes on loopback addresses: sshd": without_sshd,
    "isolated hosts do not work here": isolated_without_root,
    "No usable temporary directory": no_temporary_folder,
    "No space left on device": full_disk,
    "the bundle for the nodes cannot be made": home_is_a_file,
    "... cannot be written": lambda desk: desk.ours("fill", desk.file(AWS), "-o", desk.folder / "no" / "filled.yaml"),
    "... exists already": init_twice,
}

# Said by the cloud, which `ray up` asks after it has looked for ssh and rsync.
SAID_BY_A_CLOUD = {
    "no AWS credentials",
    "AWS refused the credentials",
    "provider.region is 'us-wst-2'",
    "available_node_types.a10g: EC2 does not offer",
    "no Google credentials",
    "provider.availability_zone us-central1-z",
}


def rows() -> dict[str, str]:
    """The sentences of the page by the mistake that they are about."""
    sentences = {}
    for row in ROW.finditer(PAGE.read_text(encoding="utf-8")):
        seen = row["seen"].strip()
        bare = seen.removeprefix("...: ")
        (name,) = [name for name in MISTAKES if bare.startswith(name)]
        sentences[name] = seen
    return sentences


def test_each_row_is_about_a_mistake_that_is_made_here_and_each_mistake_has_its_row() -> None:
    assert list(rows()) == list(MISTAKES)
    text = PAGE.read_text(encoding="utf-8")
    assert len(ROW.findall(text)) == len(re.findall(r"^\| `", text, re.MULTILINE)) == len(MISTAKES)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.needs("rsync") if name in SAID_BY_A_CLOUD else (), id=name)
        for name in MISTAKES
    ],
)
def test_a_mistake_says_what_its_row_says(name: str, desk: Desk) -> None:
    output = MISTAKES[name](desk)
    assert "Traceback" not in output
    pattern = ".*".join(re.escape(part) for part in rows()[name].split("..."))
    assert re.fullmatch(pattern, output), f"{output}\nis not\n{rows()[name]}"


def test_the_pythons_are_those_that_pip_is_told() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (first, _), (last, above) = ((".".join(map(str, python)), python[1] + 1) for python in requirements.PYTHONS)
    assert f'requires-python = ">={first},<3.{above}"' in text
    assert last == f"3.{above - 1}"


@pytest.fixture(autouse=True)
def _ray_as_it_was() -> Iterator[None]:
    """`ray up` in this process sets the level and the handlers of Ray's loggers; the tests after it have theirs."""
    import logging

    logger = logging.getLogger("ray")
    before = (logger.level, list(logger.handlers), logger.propagate)
    yield
    logger.level, logger.handlers, logger.propagate = before[0], before[1], before[2]
