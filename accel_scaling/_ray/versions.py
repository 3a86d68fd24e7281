"""The versions of Ray: which are supported, and since which minor each thing exists that this package uses.

Nothing else compares versions of the installed Ray: a place that needs to know asks ``has("priority")``.
docs/ray-versions.md has what was run on each minor, and tests/_ray/ the meaning of each name.
"""

from __future__ import annotations

import functools
import re
import sys

from accel_scaling._ray.files import text_of

Minor = tuple[int, int]

FLOOR: Minor = (2, 50)
"""The oldest minor: from there `ray up` starts autoscaler v2 by itself, which knows node labels since 2.49."""

CHECKED: Minor = (2, 60)
"""The newest minor with which all tests were run. A newer one works, with a warning, and without `scheduler_memo`."""

SINCE: dict[str, Minor] = {
    # A placement group's requests are in `bundle_selectors`; before, in the field `requests` (autoscaler.proto).
    "bundle_selectors": (2, 51),
    # Tasks take `fallback_strategy`, the label selectors of a second choice (_common/ray_option_utils.py).
    "fallback_strategy": (2, 51),
    # `_bootstrap_config` names its cache in `provider._config_cache_path` (commands.py).
    "named_config_cache": (2, 51),
    # A group of a RayCluster says its `resources` and `labels` itself (kuberay/autoscaling_config.py).
    "group_fields": (2, 51),
    # A Ray that asks its callers for a token (ray/_private/authentication); an older one reads none of its variables.
    "tokens": (2, 52),
    # `priority` of a node type (ray-schema.json, NodeTypeConfig).
    "priority": (2, 56),
    # `ray down` asks the provider which nodes are to end, stopped ones too (commands.py).
    "nodes_for_teardown": (2, 56),
    # AMD GPUs are counted by the Python package amdsmi; before, by the library librocm_smi64.so (thirdparty/pyamdsmi).
    "amdsmi": (2, 56),
    # "NVIDIA RTX PRO 6000 ..." is read as RTX-PRO-6000; before, as RTX (nvidia_gpu.py).
    "rtx_pro_names": (2, 57),
    # Tasks are told their Intel GPUs by ZE_AFFINITY_MASK; before, by ONEAPI_DEVICE_SELECTOR (intel_gpu.py).
    "ze_affinity_mask": (2, 58),
    # A key of `auth` (ray-schema.json).
    "ssh_proxy_use_node_id": (2, 60),
    # v2 fails as many requests as a launch fell short by; before, all of it, and took in what came (reconciler.py).
    "short_launch": (2, 60),
}
"""Since which minor Ray has something. An entry goes when FLOOR passes it."""

TOKENS_BY_DEFAULT: Minor = (2, 61)
"""The minor that will ask all callers for a token by default: the banner of docs.ray.io of October 2026."""

TPU_SINCE: dict[str, Minor] = {"v7x": (2, 54)}
"""Since which minor the start of a TPU host takes a generation, by Ray's name of it: VALID_TPU_TYPES in tpu.py."""

_VERSION = re.compile(r"(\d+)\.(\d+)")
_WRITTEN = re.compile(r"""^version = ["']([^"']+)["']""", re.MULTILINE)


def is_at_least(minor: Minor) -> bool:
    """Return whether the installed Ray is of a minor, or of a newer one; where there is no Ray, as with CHECKED."""
    return (installed() or CHECKED) >= minor


def has(name: str) -> bool:
    """Return whether the installed Ray has something of ``SINCE``; where there is no Ray, what the newest has."""
    return is_at_least(SINCE[name])


def needs_newer(name: str, what: str) -> str:
    """Return the sentence that something needs a newer Ray; ``name`` is in ``SINCE``."""
    since = minor_text(SINCE[name])
    here = installed_version()
    return f"{what} needs Ray {since} or newer, and this is Ray {here}: {install_command(SINCE[name])}"


def minor_for_tpu(pod_type: str) -> Minor | None:
    """Return the minor that a TPU slice needs, where the installed Ray is older; None where it will do."""
    since = TPU_SINCE.get(pod_type.partition("-")[0], FLOOR)
    return None if is_at_least(since) else since


def is_too_old() -> bool:
    """Return whether the installed Ray is below the floor."""
    return not is_at_least(FLOOR)


def is_unchecked() -> bool:
    """Return whether the installed Ray is newer than what the tests were run with."""
    return (installed() or CHECKED) > CHECKED


def install_command(minor: Minor) -> str:
    """Return the command that installs a minor or a newer one, as sentences have it."""
    return f"`pip install 'ray[default]>={minor_text(minor)}'`"


def minor_text(minor: Minor) -> str:
    """Return a minor as it is written: ``2.50``."""
    return ".".join(map(str, minor))


def installed() -> Minor | None:
    """Return the minor of the Ray in this Python; None where there is none."""
    return minor_of(installed_version() or "")


def minor_of(version: str) -> Minor | None:
    """Return the minor of a version; None where the text begins with no version."""
    found = _VERSION.match(version)
    return (int(found[1]), int(found[2])) if found else None


def installed_version() -> str | None:
    """Return the version of the Ray in this Python, as Ray says it; None where there is none. Ray is not imported."""
    loaded = getattr(sys.modules.get("ray"), "__version__", None)
    return loaded if isinstance(loaded, str) else _written_version()


@functools.cache
def _written_version() -> str | None:
    # From Ray's own file: the metadata take 20 ms to read, and a build of your own may have other ones.
    written = _WRITTEN.search(text_of("_version.py") or "")
    return written[1] if written else None
