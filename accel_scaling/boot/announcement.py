"""Keeps what `ray start` announces to what is promised: start options and variables of the command may say more.

Ray merges its options with the promise, and the promise wins for each resource that it has (ResourceAndLabelSpec, by
tests/_ray/test_contract_on_nodes.py). What is left are devices that the promise does not speak of: `--num-gpus=4` on a
node type of CPUs. A machine that has them may announce them, as Ray would by itself; one that has not may not.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from accel_scaling._ray.facts import (
    ACCELERATOR_TYPE_PREFIX,
    INSTANCE_TYPE_NAME,
    LABEL_ACCELERATOR_TYPE,
    OVERRIDE_LABELS,
    OVERRIDE_RESOURCES,
    tpu_head_pod_type,
)
from accel_scaling.boot.bought_labels import MACHINE
from accel_scaling.families.registry import all_families
from accel_scaling.fill.promise import LABEL_INSTANCE_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping, Sequence

    from accel_scaling.detect.model import Detection

PROMISE = "ACCEL_SCALING_PROMISE"
PROMISED_LABELS = "ACCEL_SCALING_PROMISED_LABELS"
"""Both: what Ray's autoscaler exported, as before_ray_start.sh found it before the start command."""


def restore_promise(environment: MutableMapping[str, str]) -> list[str]:
    """Undo what the start command did to the promise; return a sentence for each change.

    Args:
        environment: of the process in which Ray will read the promise.
    """
    sentences = []
    for name, copy in ((OVERRIDE_RESOURCES, PROMISE), (OVERRIDE_LABELS, PROMISED_LABELS)):
        promised = environment.get(copy)
        # Without the copy nobody ran the script: in a pod of KubeRay the environment is the image's.
        if promised is None or environment.get(name, "") == promised:
            continue
        sentences.append(f"the start command sets {name}, which is not used: the node type's promise is announced")
        if promised:
            environment[name] = promised
        else:
            del environment[name]
    return sentences


def name_machine_type(environment: MutableMapping[str, str]) -> None:
    """Set the variable by which Ray's status names this node's machine type, where nobody has set it.

    Args:
        environment: of the process in which Ray will read it.
    """
    # `ray up` sets it for no head, and autoscaler v1 for no worker.
    if environment.get(INSTANCE_TYPE_NAME):
        return
    with contextlib.suppress(ValueError, AttributeError):
        labels = json.loads(environment.get(OVERRIDE_LABELS) or "{}")
        if name := labels.get(LABEL_INSTANCE_TYPE) or environment.get(MACHINE):
            environment[INSTANCE_TYPE_NAME] = str(name)


def keep_to_machine(
    ray_params: Any, promised: Mapping[str, float], detected: Iterable[Detection], environment: Mapping[str, str]
) -> list[str]:
    """Take devices that are neither promised nor here from the options of `ray start`; return a sentence for each.

    Args:
        ray_params: the parameters of `ray start`, changed in place.
        promised: Ray resources.
        detected: what ``detect()`` returned.
        environment: this process's.
    """
    if PROMISE not in environment:
        return []  # in a pod of KubeRay the options are the promise
    detected = list(detected)
    here = _here(detected)
    sentences = []
    options = {"CPU": ("--num-cpus", "num_cpus"), "GPU": ("--num-gpus", "num_gpus")}
    for name, (option, attribute) in options.items():
        asked = getattr(ray_params, attribute, None)
        if asked is None:
            continue
        if name in promised:
            sentences += _overruled(f"{option}={asked:g}", asked, name, promised)
        elif name != "CPU" and asked > here.get(name, 0):
            setattr(ray_params, attribute, None)
            sentences.append(_not_here(f"{option}={asked:g}", here.get(name, 0), _narrowed(detected, name)))
    sentences += _resources(ray_params, promised, detected)
    labels = getattr(ray_params, "labels", None) or {}
    said = labels.get(LABEL_ACCELERATOR_TYPE)
    by_promise = LABEL_ACCELERATOR_TYPE in json.loads(environment.get(OVERRIDE_LABELS) or "{}")
    if said and not by_promise and ACCELERATOR_TYPE_PREFIX + said not in {*promised, *here}:
        ray_params.labels = {name: value for name, value in labels.items() if name != LABEL_ACCELERATOR_TYPE}
        sentences.append(_not_here(f"--labels={LABEL_ACCELERATOR_TYPE}={said}", 0))
    return sentences


def _resources(ray_params: Any, promised: Mapping[str, float], detected: Sequence[Detection]) -> list[str]:
    sentences, kept, here = [], {}, _here(detected)
    asked: Mapping[str, float] = getattr(ray_params, "resources", None) or {}
    for name, amount in asked.items():
        option = f"--resources={json.dumps({name: amount})}"
        if name in promised:
            sentences += _overruled(option, amount, name, promised)
        elif _is_device(name) and amount > here.get(name, 0):
            sentences.append(_not_here(option, here.get(name, 0), _narrowed(detected, name)))
            continue
        kept[name] = amount
    if len(kept) != len(asked):
        ray_params.resources = kept
    return sentences


def _here(detected: Iterable[Detection]) -> dict[str, float]:
    """Return the devices of this machine, by the resources and types that they may be announced as."""
    here: dict[str, float] = {}
    for device in detected:
        here[device.resource] = here.get(device.resource, 0) + device.usable_units
        # Ray announces one of each type, whatever the number of devices.
        here |= {ACCELERATOR_TYPE_PREFIX + name: 1 for name in device.answers_to if device.usable_units}
    return here


def _is_device(name: str) -> bool:
    of_families = {family.resource for family in all_families()}
    return name in of_families or name.startswith(ACCELERATOR_TYPE_PREFIX) or tpu_head_pod_type(name) is not None


def _overruled(option: str, asked: float, name: str, promised: Mapping[str, float]) -> list[str]:
    """Return a sentence where an option asks for another amount than is promised: Ray takes the promise."""
    # Fewer CPUs (`--num-cpus=0`) are written to keep tasks off a node; fewer devices, to keep one for oneself.
    if asked == promised[name] or (asked < promised[name] and not _is_device(name)):
        return []
    said = f"{option} is {'more' if asked > promised[name] else 'less'} than is promised"
    less = f"; for {asked:g}, promise it in the node type's resources" if asked < promised[name] else ""
    return [f"{said}, {name}: {promised[name]:g}, which is announced{less}"]


def _not_here(option: str, here: float, narrowed: str = "") -> str:
    return f"{option} is not promised, and this machine has {here:g}{narrowed}: it is not announced"


def _narrowed(detected: Iterable[Detection], name: str) -> str:
    """Return by which variable fewer units of a resource are visible, as a part of a sentence."""
    variables = (each.visible.assignment for each in detected if each.resource == name and each.visible)
    return next((f" ({assignment})" for assignment in variables), "")
