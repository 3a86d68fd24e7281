"""The report to Kubernetes of a pod that failed its boot check: events on pod and RayCluster, and a label on its node.

They are of use to people and to other pods: `kubectl describe` of the pod and of its RayCluster has the verdict, and a
group whose affinity asks for nodes without the label does not come back to the same node. None is needed: without the
rights, the log has a sentence, and the command ends as it does anyway.
"""

from __future__ import annotations

import contextlib
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from accel_scaling import documentation
from accel_scaling.boot.kubernetes_api import (
    KubernetesError,
    NotAllowedError,
    create,
    merge,
    metadata,
    service_account,
)
from accel_scaling.boot.verdicts import VerdictWord, page_of
from accel_scaling.message_text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.boot.kubernetes_api import ServiceAccount
    from accel_scaling.boot.verdicts import Verdict

NODE = "ACCEL_SCALING_NODE_NAME"
"""The pod's node, from the downward API (spec.nodeName); without it no node is labelled."""
POD_UID = "ACCEL_SCALING_POD_UID"
"""The pod's uid, from the downward API (metadata.uid): `kubectl describe pod` selects events by it."""
LABEL_REFUSED = "accel-scaling.io/refused"
"""The label of a node on which a pod was refused; its value is the verdict."""
RIGHTS = "iam/kuberay-boot-check.yaml"  # in docs/

# KubeRay sets both for autoscaler v2, and the second for every pod (ray-operator, common/pod.go).
_POD_NAMES = ("RAY_CLOUD_INSTANCE_ID", "HOSTNAME")
_GROUP, _CLUSTER = "RAY_NODE_TYPE_NAME", "RAY_CLUSTER_NAME"
_CLUSTER_API = "ray.io/v1"
_COMPONENT = "accel-scaling.io/boot-check"
_MOST_MESSAGE = 1000  # characters: the newer API of events takes 1,024
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")  # of an object: it becomes a part of a path
_MOST_PREFIX = 240  # of a generated name, to which the API server adds 5 characters

# Verdicts for which the node is to blame. The others may be the manifest's mistake, and would mark every node.
OF_THE_NODE = frozenset(
    (VerdictWord.NO_DEVICE, VerdictWord.DRIVER_MISSING, VerdictWord.FEWER_THAN_PROMISED, VerdictWord.UNHEALTHY)
)


def report_refusal(verdict: Verdict, environment: Mapping[str, str]) -> list[str]:
    """Report to Kubernetes that this pod was refused; return sentences for the log.

    Args:
        verdict: of this pod.
        environment: this process's.
    """
    try:
        account = service_account(environment)
    except KubernetesError as error:
        return [f"Kubernetes gets no report of this refusal: {error}"]
    sentences = [_told("an event on this pod", _pod_event, account, verdict, environment)]
    if cluster := environment.get(_CLUSTER):
        what = f"an event on RayCluster {one_line(cluster, 253)}"
        sentences.append(_told(what, _cluster_event, account, verdict, environment))
    if environment.get(NODE) and verdict.word in OF_THE_NODE:
        what = f"the label {LABEL_REFUSED} on node {one_line(environment[NODE], 253)}"
        sentences.append(_told(what, _label, account, verdict, environment))
    return sentences


def _told(what: str, tell: Any, account: ServiceAccount, verdict: Verdict, environment: Mapping[str, str]) -> str:
    try:
        tell(account, verdict, environment)
    except NotAllowedError as error:
        return f"Kubernetes did not take {what}: {error}; {documentation.file(RIGHTS)} has the rights that it needs"
    except KubernetesError as error:
        return f"Kubernetes did not take {what}: {error}"
    return f"Kubernetes has {what}"


def _pod_event(account: ServiceAccount, verdict: Verdict, environment: Mapping[str, str]) -> None:
    about = {"apiVersion": "v1", "kind": "Pod", "name": _pod(environment)}
    if uid := environment.get(POD_UID):
        about["uid"] = one_line(uid, 64)
    _event(account, verdict, environment, about)


def _cluster_event(account: ServiceAccount, verdict: Verdict, environment: Mapping[str, str]) -> None:
    """Create an event on the pod's RayCluster, which outlives the pod.

    `kubectl describe` selects events by the uid, which the downward API does not have; without the right to read it,
    `kubectl events --for raycluster/NAME` still finds the event.
    """
    cluster = _name(environment[_CLUSTER], "the RayCluster's name")
    about = {"apiVersion": _CLUSTER_API, "kind": "RayCluster", "name": cluster}
    path = f"/apis/{_CLUSTER_API}/namespaces/{account.namespace}/rayclusters/{quote(cluster)}"
    with contextlib.suppress(KubernetesError):
        if uid := metadata(account, path).get("uid"):
            about["uid"] = one_line(str(uid), 64)
    _event(account, verdict, environment, about)


def _pod(environment: Mapping[str, str]) -> str:
    return _name(next((environment[name] for name in _POD_NAMES if environment.get(name)), ""), "the pod's name")


def _event(account: ServiceAccount, verdict: Verdict, environment: Mapping[str, str], about: Mapping[str, str]) -> None:
    pod = _pod(environment)
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    content = {
        "apiVersion": "v1",
        "kind": "Event",
        # The server completes the name: each start of the container has an event of its own.
        "metadata": {"generateName": f"{about['name'][:_MOST_PREFIX]}.", "namespace": account.namespace},
        "involvedObject": {**about, "namespace": account.namespace},
        "type": "Warning",
        "reason": verdict.word.value,
        "message": _message(verdict, environment, "" if about["kind"] == "Pod" else pod),
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "source": {"component": _COMPONENT, **({"host": environment[NODE]} if environment.get(NODE) else {})},
        "reportingComponent": _COMPONENT,
        "reportingInstance": pod,
    }
    create(account, f"/api/v1/namespaces/{account.namespace}/events", content)


def _message(verdict: Verdict, environment: Mapping[str, str], pod: str) -> str:
    where = [f"pod {pod}"] if pod else []
    where += [
        f"{noun} {one_line(environment[name], 253)}"
        for noun, name in (("RayCluster", _CLUSTER), ("group", _GROUP), ("node", NODE))
        if environment.get(name)
    ]
    refused = f"refused by the boot check ({', '.join(where)})" if where else "refused by the boot check"
    return one_line(f"{refused}: {verdict.message}; see {page_of(verdict.word)}", _MOST_MESSAGE)


def _label(account: ServiceAccount, verdict: Verdict, environment: Mapping[str, str]) -> None:
    node = _name(environment[NODE], NODE)
    merge(account, f"/api/v1/nodes/{quote(node)}", {"metadata": {"labels": {LABEL_REFUSED: verdict.word.value}}})


def _name(text: str, what: str) -> str:
    if not _NAME.fullmatch(text):
        raise KubernetesError(f"{what} is not known")
    return text
