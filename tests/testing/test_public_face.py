"""`accel_scaling.testing` as others use it: its documented names only, and docs/testing.md's examples."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from accel_scaling import testing
from accel_scaling.errors import ClusterConfigError, RehearsalError
from accel_scaling.testing import Fault, FaultKind, local_cloud

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, flags=re.DOTALL))


@pytest.mark.parametrize(
    "name",
    ["test_my_launcher.py", pytest.param("test_my_cluster.py", marks=[pytest.mark.cluster, pytest.mark.timeout(400)])],
)
def test_the_pages_example_passes_as_it_stands(name: str, tmp_path: Path) -> None:
    for file in ("conftest.py", name):
        (tmp_path / file).write_text(BLOCKS[file], encoding="utf-8")
    (tmp_path / "example_clusters").symlink_to(ROOT / "example_clusters")
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, name]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_page_explains_every_fault_and_every_argument() -> None:
    for kind in FaultKind:
        assert f"`Fault.{kind.name.lower()}(TYPE" in PAGE
    for argument in local_cloud.__wrapped__.__kwdefaults__:  # type: ignore[attr-defined]
        assert f"| `{argument}` |" in PAGE
    assert set(testing.__all__) == {"Fault", "FaultKind", "Reservation", "local_cloud"}


def test_a_local_cloud_answers_launches_what_it_can_and_is_gone_with_its_block(tmp_path: Path) -> None:
    with local_cloud("aws", hosts="processes", place="eu-west-1", directory=tmp_path / "cloud") as cloud:
        ec2 = boto3.client(
            "ec2",
            "eu-west-1",
            endpoint_url=cloud.endpoint_url,
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )
        asked = {"ImageId": "ami-0123456789abcdef0", "MinCount": 1, "MaxCount": 1}
        cloud.set_faults(Fault.no_capacity("g5.xlarge"), "fewer:g4dn.12xlarge=3")
        with pytest.raises(ec2.exceptions.ClientError, match="InsufficientInstanceCapacity"):
            ec2.run_instances(InstanceType="g5.xlarge", **asked)
        cloud.set_faults()
        ec2.run_instances(InstanceType="g5.xlarge", **asked)
        done = cloud.run(["sh", "-c", "echo $AWS_DEFAULT_REGION $AWS_ENDPOINT_URL"], capture_output=True)
        assert done.stdout.split() == ["eu-west-1", cloud.endpoint_url]
        requests = [event for event in cloud.events() if event.kind.value == "asked"]
        assert [(event.instance_type, event.granted) for event in requests] == [("g5.xlarge", 0), ("g5.xlarge", 1)]
        assert cloud.reason.startswith("plain processes")
        assert cloud.environment()["AWS_ENDPOINT_URL"] == cloud.endpoint_url
    assert (tmp_path / "cloud" / "events.jsonl").is_file()
    with pytest.raises(Exception, match="Could not connect"):
        ec2.describe_instances()


def test_a_cloud_that_has_no_local_one_and_a_fault_that_is_not_one_are_refused_by_name() -> None:
    with pytest.raises(ClusterConfigError, match="azure"), local_cloud("azure"):
        pass
    with pytest.raises(RehearsalError, match="nonsense:g5"), local_cloud("aws", faults=["nonsense:g5"]):
        pass


@pytest.mark.parametrize("kind", FaultKind)
def test_a_fault_is_made_by_a_method_of_its_name(kind: FaultKind) -> None:
    values = {
        FaultKind.CAPACITY: [2],
        FaultKind.FEWER: [2],
        FaultKind.OTHER: ["NVIDIA L4"],
        FaultKind.MIXED: ["NVIDIA L4"],
        FaultKind.WAITS: [60],
        FaultKind.XID: [79],
    }
    fault = getattr(Fault, kind.name.lower())("g5.xlarge", *values.get(kind, []))
    assert (fault.kind, fault.machine_type) == (kind, "g5.xlarge")


def test_the_face_is_light_for_those_who_only_import_it() -> None:
    code = "import sys, accel_scaling.testing; print(sorted(sys.modules.keys() & {'yaml', 'moto', 'ray', 'pytest'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
