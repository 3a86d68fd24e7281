"""A pod that fails its check tells Kubernetes, where its service account may: an event, and a label on its node.

The API server is emulated (tests/support/kubernetes_api.py), and so are the devices; `ray start` and the hook are real.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from accel_scaling import timeouts
from accel_scaling.boot.pod_report import LABEL_REFUSED, NODE, OF_THE_NODE, POD_UID, RIGHTS, report_refusal
from accel_scaling.boot.promise_input import POD
from accel_scaling.boot.verdicts import EXIT_NOT_CONFIRMED, Verdict, VerdictWord
from tests.boot.test_promise_input import manifest_of_the_document
from tests.support.kubernetes_api import TOKEN, USER, Api, kubernetes_api, rights_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
REFUSED = Verdict(VerdictWord.DRIVER_MISSING, "promised 8 x A100-80G; 8 on the PCI bus, no driver")
ALL = rights_of(ROOT / "docs" / RIGHTS)


@pytest.fixture(name="api")
def api_fixture(tmp_path: Path) -> Iterator[Api]:
    with kubernetes_api(tmp_path, ALL) as api:
        yield api


def test_the_rights_of_the_document_are_three_and_no_more() -> None:
    assert {("create", "events"), ("get", "rayclusters"), ("patch", "nodes")} == ALL


def test_a_refused_pod_ends_as_before_and_kubernetes_has_an_event_and_a_label(api: Api, boot: Any) -> None:
    done = subprocess.run(
        ["bash", "-c", "ray start --num-cpus=8 --num-gpus=8 --address=nobody:6379 --block"],
        env={
            **os.environ,
            **boot("p4d.24xlarge", "no-driver").environment,
            **api.environment,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "RAY_START_HOOK": "accel_scaling.boot.start_hook.run",
            POD: "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == EXIT_NOT_CONFIRMED, done.stderr
    *_, event_told, cluster_told, label_told, last = done.stderr.splitlines()
    assert event_told.endswith(": Kubernetes has an event on this pod")
    assert cluster_told.endswith(": Kubernetes has an event on RayCluster demo")
    assert label_told.endswith(": Kubernetes has the label accel-scaling.io/refused on node gpu-node-1")
    assert ": DriverMissing: promised 8 x GPU; 8 on the PCI bus" in last, (
        "the last line is the one that `kubectl describe pod` shows"
    )
    event, of_cluster = api.events
    assert (event["type"], event["reason"]) == ("Warning", "DriverMissing")
    assert event["message"].startswith(
        "refused by the boot check (RayCluster demo, group a100, node gpu-node-1): promised 8 x GPU"
    )
    assert event["message"].endswith("see docs/verdicts.md#drivermissing")
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": "default",
        "name": "demo-worker-a100-x7k2p",
        "uid": "0b7c",
    }
    # What `kubectl describe raycluster demo` selects events by: kind, namespace, name and uid.
    assert of_cluster["involvedObject"] == {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "namespace": "default",
        "name": "demo",
        "uid": "5c1d",
    }
    assert of_cluster["message"].startswith("refused by the boot check (pod demo-worker-a100-x7k2p, RayCluster demo, ")
    assert api.nodes == {"gpu-node-1": {"pool": "gpu", LABEL_REFUSED: "DriverMissing"}}
    assert TOKEN not in done.stdout + done.stderr


def test_without_rights_the_log_has_a_sentence_for_each_and_nothing_else_changes(api: Api) -> None:
    api.rights.clear()
    event_told, cluster_told, label_told = report_refusal(REFUSED, api.environment)
    assert event_told == (
        "Kubernetes did not take an event on this pod: the API server answers 403: events is forbidden: User "
        '"system:serviceaccount:default:ray-worker" cannot create resource "events"; docs/iam/kuberay-boot-check.yaml '
        "has the rights that it needs"
    )
    assert cluster_told.startswith("Kubernetes did not take an event on RayCluster demo: the API server answers 403: ")
    assert label_told.startswith("Kubernetes did not take the label accel-scaling.io/refused on node gpu-node-1: the ")
    assert [status for *_, status in api.asked] == [403] * 4, "each is tried once"


@pytest.mark.parametrize("clusters", [{"demo": "5c1d"}, {}])
def test_without_the_right_to_read_the_cluster_its_event_has_no_uid(api: Api, clusters: dict[str, str]) -> None:
    api.rights.discard(("get", "rayclusters"))
    api.clusters = clusters
    assert "Kubernetes has an event on RayCluster demo" in report_refusal(REFUSED, api.environment)
    about = api.events[1]["involvedObject"]
    assert (about["kind"], about["name"], "uid" in about) == ("RayCluster", "demo", False)


def test_a_pod_outside_kuberay_has_no_cluster_to_report_on(api: Api) -> None:
    del api.environment["RAY_CLUSTER_NAME"]
    report_refusal(REFUSED, api.environment)
    assert [event["involvedObject"]["kind"] for event in api.events] == ["Pod"]


@pytest.mark.parametrize("word", [word for word in VerdictWord if word not in OF_THE_NODE])
def test_a_verdict_that_may_be_the_manifests_mistake_labels_no_node(api: Api, word: VerdictWord) -> None:
    report_refusal(Verdict(word, "x"), api.environment)
    assert [method for method, *_ in api.asked] == ["POST", "GET", "POST"]


def test_without_the_nodes_name_no_node_is_labelled_and_the_pods_name_may_be_the_host_name(api: Api) -> None:
    environment = {**api.environment, "HOSTNAME": "demo-worker-b"}
    for name in ("ACCEL_SCALING_NODE_NAME", "RAY_CLOUD_INSTANCE_ID", "ACCEL_SCALING_POD_UID"):
        del environment[name]
    assert report_refusal(REFUSED, environment) == [
        "Kubernetes has an event on this pod",
        "Kubernetes has an event on RayCluster demo",
    ]
    assert api.events[0]["involvedObject"]["name"] == "demo-worker-b"
    assert "uid" not in api.events[0]["involvedObject"]


def test_without_a_service_account_nothing_is_asked(api: Api, tmp_path: Path) -> None:
    told = "Kubernetes gets no report of this refusal: "
    missing = {**api.environment, "ACCEL_SCALING_SERVICE_ACCOUNT": str(tmp_path / "no")}
    assert report_refusal(REFUSED, missing) == [f"{told}no token of a service account is mounted in this pod"]
    assert report_refusal(REFUSED, {}) == [f"{told}KUBERNETES_SERVICE_HOST does not name the API server"]
    assert api.asked == []


@pytest.mark.parametrize("token", ["a\nX-Other: b", "a b", "", "\u00e9"])
def test_a_token_that_is_not_one_is_neither_sent_nor_shown(api: Api, token: str) -> None:
    Path(api.environment["ACCEL_SCALING_SERVICE_ACCOUNT"], "token").write_text(token, encoding="utf-8")
    (told,) = report_refusal(REFUSED, api.environment)
    assert told.endswith("are not those of a service account")
    assert "X-Other" not in told
    assert api.asked == []


def test_a_server_of_another_authority_gets_no_token(api: Api, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with kubernetes_api(tmp_path / "other", ALL) as other:
        port = other.environment["KUBERNETES_SERVICE_PORT_HTTPS"]
        told = report_refusal(REFUSED, {**api.environment, "KUBERNETES_SERVICE_PORT_HTTPS": port})
        assert other.asked == []
    assert "does not answer (TLS: CERTIFICATE_VERIFY_FAILED)" in told[0]


def test_a_redirect_is_not_followed(api: Api) -> None:
    api.answer = (307, {"Location": "https://127.0.0.1:1/elsewhere"})
    told = report_refusal(REFUSED, api.environment)
    assert all("the API server answers 307: " in sentence for sentence in told)


def test_a_server_that_is_silent_or_gone_does_not_hold_the_pod(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(timeouts, "KUBERNETES_API_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = f"{silent.getsockname()[1]}"
        told = report_refusal(REFUSED, {**api.environment, "KUBERNETES_SERVICE_PORT_HTTPS": port})
    assert "the API server does not answer (nothing came for 0.2 s)" in told[0]
    told = report_refusal(REFUSED, {**api.environment, "KUBERNETES_SERVICE_PORT_HTTPS": port})
    assert "the API server does not answer (Connection refused)" in told[0]


@pytest.mark.parametrize("name", ["../../namespaces/x", "A", "a?b", "a" * 300])
def test_a_name_that_is_not_one_becomes_no_path(api: Api, name: str) -> None:
    told = report_refusal(REFUSED, {**api.environment, "ACCEL_SCALING_NODE_NAME": name})
    assert told[2].endswith(": ACCEL_SCALING_NODE_NAME is not known")
    told = report_refusal(REFUSED, {**api.environment, "RAY_CLUSTER_NAME": name})
    assert told[1].endswith(": the RayCluster's name is not known")
    assert [method for method, *_ in api.asked] == ["POST", "GET", "POST", "POST", "PATCH"]


def test_the_manifest_of_the_document_has_what_the_report_needs() -> None:
    worker = manifest_of_the_document()["spec"]["workerGroupSpecs"][0]["template"]["spec"]
    given = {
        each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"]
        for each in worker["containers"][0]["env"]
        if "valueFrom" in each
    }
    assert given == {NODE: "spec.nodeName", POD_UID: "metadata.uid"}
    assert f"system:serviceaccount:default:{worker['serviceAccountName']}" == USER
    terms = worker["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert terms == [{"matchExpressions": [{"key": LABEL_REFUSED, "operator": "DoesNotExist"}]}]


def test_the_policy_of_the_document_is_for_the_account_that_may_patch_nodes() -> None:
    objects = list(yaml.safe_load_all((ROOT / "docs" / RIGHTS).read_text(encoding="utf-8")))
    policy = next(each for each in objects if each["kind"] == "ValidatingAdmissionPolicy")
    assert policy["spec"]["matchConditions"][0]["expression"] == f"request.userInfo.username == '{USER}'"
    (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]
    assert (rule["resources"], rule["operations"]) == (["nodes"], ["UPDATE"])
    assert f"k == '{LABEL_REFUSED}'" in policy["spec"]["validations"][0]["expression"]
    (binding,) = [each for each in objects if each["kind"] == "ValidatingAdmissionPolicyBinding"]
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
