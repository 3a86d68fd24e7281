"""The boot check, inside `ray start` (RAY_START_HOOK), before Ray detects devices: a refused node never joins."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from accel_scaling import _ray
from accel_scaling._ray.facts import ACCELERATOR_TYPE_PREFIX, OVERRIDE_RESOURCES
from accel_scaling.boot.admission import (
    CONFIRM_ONLY,
    admitted_resources,
    correct_promise,
    is_slice_host,
    policy_of,
)
from accel_scaling.boot.announcement import keep_to_machine, name_machine_type, restore_promise
from accel_scaling.boot.authentication import settle
from accel_scaling.boot.bought_labels import bought_labels
from accel_scaling.boot.command_end import end_command
from accel_scaling.boot.compare import compare
from accel_scaling.boot.deep_check import deep_check_of, tried
from accel_scaling.boot.network_devices import with_network
from accel_scaling.boot.node_files import remove_unused_bundles, tell_shells
from accel_scaling.boot.promise_input import POD, promise_of_node
from accel_scaling.boot.topology import topology_labels
from accel_scaling.boot.verdict_file import tried_before, write_verdict
from accel_scaling.boot.verdicts import EXIT_NOT_CONFIRMED, LABEL_VERDICT, NoCheck, Verdict, VerdictWord, advice_of
from accel_scaling.boot.wait_for_driver import wait_for_verdict
from accel_scaling.boot.watcher_start import start_watcher
from accel_scaling.cluster.lost_variables import NEXT_HOOK
from accel_scaling.cluster.policies import OnMismatch
from accel_scaling.families import register
from accel_scaling.families.catalog import chips_here
from accel_scaling.families.inventory import detect
from accel_scaling.requirements import old_ray
from accel_scaling.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel_scaling.detect.model import Detection

NVIDIA = "nvidia"  # the family whose types Ray makes of names


def run(ray_params: Any, head: bool) -> None:  # noqa: FBT001 - Ray calls it so
    """Register the plug-in families with Ray, and confirm this node against its promise, or stop `ray start`.

    Args:
        ray_params: Ray's start parameters; the verdict is added to its labels.
        head: whether this is the head node; head and workers are confirmed alike.

    Raises:
        SystemExit: with 3, when the node does not hold what was promised; with 0, when only the boot check was to run;
            with 1, when Ray is to ask for a token and cannot.
    """
    _say(*restore_promise(os.environ))
    detected: list[Detection] = []
    skips = policy_of(os.environ) is OnMismatch.SKIP
    verdict = skipped_check(detected, ray_params) if skips else check_machine(detected, ray_params)
    promised = verdict.promised
    resources = admitted_resources(verdict, os.environ)
    # Before the process may end below: the provider reads the file also after a start that was refused.
    unwritten = _write(verdict, head=head, joins=resources is not None)
    if resources is None and POD in os.environ:
        _say(*_tell_kubernetes(verdict))
    # The last line: Kubernetes shows it as the reason why the container ended.
    _say(f"{verdict.word.value}: {verdict.message}", *([unwritten] if unwritten else []))
    unprotected = settle(os.environ, head=head)
    tell_shells(os.environ)
    if resources is None or unwritten:
        _end(EXIT_NOT_CONFIRMED)
    if unprotected:
        _say(unprotected)
        raise SystemExit(1)
    if os.environ.get(CONFIRM_ONLY):
        _end(0)
    # Ray reads the variable after the hook, in this process.
    if resources != promised:
        os.environ[OVERRIDE_RESOURCES] = json.dumps(resources)
    announce_promised_type(promised)
    # After the variable is set above: the resources with which the host joins are corrected, not the promised ones.
    correct_promise(os.environ, detected)
    if not skips:  # nobody knows which devices are here
        _say(*keep_to_machine(ray_params, promised, detected, os.environ))
    name_machine_type(os.environ)
    if head:
        from accel_scaling.boot.head_packages import prepare  # here: it takes 15 ms, and workers do not need it

        _say(*prepare(ray_params, os.environ))
    given = ray_params.labels or {}
    known = {**topology_labels(os.environ, detected, given), **bought_labels(os.environ, given)}
    ray_params.labels = {**known, **given, LABEL_VERDICT: verdict.word.value}
    # Whose word is `report` or `skip` has said that nobody is to act on what the probes see.
    watches_devices = not policy_of(os.environ).always_joins
    start_watcher(os.environ, json.loads(os.environ.get(OVERRIDE_RESOURCES) or "{}") if watches_devices else {})
    remove_unused_bundles(Path(__file__).parents[2], Path.home())
    call_next_hooks(ray_params, head=head)


def _tell_kubernetes(verdict: Verdict) -> list[str]:
    """Report a refused pod to Kubernetes; whatever goes wrong there, the pod ends with its verdict."""
    from accel_scaling.boot.pod_report import report_refusal  # here: no other node needs it

    try:
        return report_refusal(verdict, os.environ)
    except Exception as error:  # noqa: BLE001 - a report must not take the place of the refusal
        return [f"Kubernetes gets no report of this refusal: {type(error).__name__}"]


def call_next_hooks(ray_params: Any, *, head: bool) -> None:
    """Call the start hooks that the image or the user had set before this one, as Ray would have.

    Args:
        ray_params: as Ray gave it.
        head: as Ray gave it.

    Raises:
        SystemExit: with 1, where there is no such hook; what a hook itself raises.
    """
    for name in filter(None, os.environ.get(NEXT_HOOK, "").split(",")):
        module, _, attribute = name.strip().rpartition(".")
        try:
            hook = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            _say(f"there is no start hook {name.strip()} ({error}); correct {NEXT_HOOK}, or the image's RAY_START_HOOK")
            raise SystemExit(1) from None
        hook(ray_params, head)


def _say(*sentences: str) -> None:
    for sentence in sentences:
        sys.stderr.write(f"accel_scaling {__version__}: {sentence}\n")


def _end(code: int) -> NoReturn:
    """End `ray start`, and the command that it is in.

    Raises:
        SystemExit: always; `ray start` has started no process yet, and passes it on as its exit code.
    """
    sys.stderr.flush()
    end_command(os.environ, refused=code != 0)
    raise SystemExit(code)


def _write(verdict: Verdict, *, head: bool, joins: bool) -> str:
    """Write the verdict; return why the node does not join where nobody could read it, empty where all is well."""
    try:
        write_verdict(verdict, head=head, joins=joins)
    except OSError as error:
        if POD not in os.environ:  # in a pod no provider reads the file, and its file system may be read-only
            place = f"{error.filename}: " if error.filename else ""
            return (
                f"the verdict cannot be written ({place}{error.strerror or error}), so this node does not join; "
                "free some space, or make HOME or /tmp a folder that this account may write to"
            )
    return ""


def check_machine(detected: list[Detection], ray_params: Any) -> Verdict:
    """Register the plug-in families with Ray and return the verdict on this machine; fill ``detected``.

    A check that fails is a verdict too: without one, Ray would start the machine again, and launch the next one of its
    type.
    """
    promised: dict[str, float] = {}

    def check() -> Verdict:
        # In place: `run` corrects the promise by the devices of the last look.
        detected[:] = detect()
        return with_network(compare(promised, detected), os.environ)

    # A pod has the Ray of its image, with which KubeRay's operator works, not our provider.
    if POD not in os.environ and (sentence := old_ray()):
        return Verdict(VerdictWord.UNHEALTHY, f"on this node, {sentence}", promised, advice=sentence)
    try:
        register()
        # In place and before the check: a check that fails still tells what was promised.
        promised |= promise_of_node(os.environ, ray_params)
        return tried(wait_for_verdict(check), deep_check_of(os.environ), tried_before(os.environ))
    except Exception as error:  # noqa: BLE001 - with any error the machine is not confirmed
        words = " ".join(f"{type(error).__name__}: {error}".split())
        advice = advice_of(VerdictWord.UNHEALTHY)
        return Verdict(
            VerdictWord.UNHEALTHY, f"the boot check itself failed ({words}); {advice}", promised, advice=advice
        )


def skipped_check(detected: list[Detection], ray_params: Any) -> Verdict:
    """Do what a node needs beside the check: plug-in families, its promise, and on a TPU slice the host's number.

    Raises:
        Exception: the promise cannot be read, so Ray could not start either.
    """
    with contextlib.suppress(Exception):
        register()
    promised = promise_of_node(os.environ, ray_params)
    if is_slice_host(promised):
        with contextlib.suppress(Exception):
            detected[:] = detect()
    return Verdict(NoCheck.NOT_CHECKED, "the cluster file skips the boot check of this node type", promised)


def announce_promised_type(promised: Mapping[str, float]) -> None:
    """Make Ray announce a promised NVIDIA type that it reads otherwise.

    A partition (L4-3Q), of which Ray detects the whole device (L4); and a product to which an older Ray gives the name
    of several (RTX-PRO-6000 is RTX before 2.57): a task that asks for one must not get another.
    """
    for chip in chips_here().values():
        name = chip.variant if chip.partition_of else chip.detected_type
        if chip.family != NVIDIA or not name or ACCELERATOR_TYPE_PREFIX + name not in promised:
            continue
        if chip.partition_of or _ray.reads_otherwise(chip.driver_names, name):
            _ray.announce_accelerator_type(name)
