"""Names and numbers copied from Ray 2.60, for code that must not import Ray.

Imports nothing, so any module may import it. tests/_ray/ holds each of them equal to the installed Ray's.
"""

# Accelerators. What Ray's managers call their resources and variables, each Family says (families/).

ACCELERATOR_TYPE_PREFIX = "accelerator_type:"
"""The resource of an accelerator type is its name behind this: ray/_common/utils.py, RESOURCE_CONSTRAINT_PREFIX."""

ACCELERATOR_TYPE_AMOUNT = 0.001
"""How much of that resource a task with `accelerator_type=` asks for: resources_from_ray_options, the same file."""

UNIT_RESOURCES = "RAY_custom_unit_instance_resources"
"""Names the resources to whose units the raylet gives ids, beside GPUs; replaces a compiled-in list."""

PRELOADED_MODULES = "RAY_preload_python_modules"
"""Names the modules that each worker imports before its first task: ray_config_def.h."""

PRESTARTED_WORKERS = "RAY_prestart_worker_first_driver"
"""With 0, a node starts no worker for each of its CPUs when the first program connects: ray_config_def.h."""

# Who may call a Ray: docs.ray.io, "Ray token authentication". Ray 2.51 and older do not read them.

AUTH_MODE = "RAY_AUTH_MODE"
"""With `token`, each server of a Ray wants the token of its caller."""

AUTH_TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105 - the name of a variable
"""The token; strongest of the places where Ray looks for one."""

AUTH_TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"  # noqa: S105 - the name of a variable
"""Names the file with the token; the next place where Ray looks, and then no other."""

AUTH_TOKEN_FILE = ".ray/auth_token"  # noqa: S105 - the name of a file
"""The file in a home, where Ray looks last and where `ray get-auth-token --generate` writes."""

PYTHON_SERVERS = ("/ray/dashboard/", "/ray/autoscaler/")
"""The folders of Ray's own servers in Python: dashboard and agents, and the monitor with its metrics."""

GPU = "GPU"
"""The resource of the GPUs of all makers."""

GPU_FAMILIES = ("amd", "intel", "apple", "metax", "nvidia")
"""The families whose devices are GPUs, in the order in which Ray looks for the one manager of a machine's GPUs; without
any it takes the last: get_accelerator_manager_for_resource in ray/_private/accelerators/__init__.py."""

TPU_RESOURCE_PER_CHIP = "RAY_TPU_RESOURCE_PER_CHIP"
"""How many units of TPU Ray counts for each visible chip: get_tpu_resource_per_chip in tpu.py."""

# Node labels: ray._raylet, RAY_NODE_*_KEY; those of TPU hosts: ray/_private/accelerators/tpu.py.

LABEL_ACCELERATOR_TYPE = "ray.io/accelerator-type"
LABEL_MARKET_TYPE = "ray.io/market-type"
LABEL_REGION = "ray.io/availability-region"
LABEL_ZONE = "ray.io/availability-zone"
LABEL_TPU_TOPOLOGY = "ray.io/tpu-topology"
LABEL_TPU_POD_TYPE = "ray.io/tpu-pod-type"
LABEL_TPU_WORKER_ID = "ray.io/tpu-worker-id"

LABEL_GPU_DOMAIN = "ray.io/gpu-domain"
"""Names the GPUs that are connected directly, in `topology_strategy` of placement groups: util/placement_group.py."""


def tpu_head_resource(pod_type: str) -> str:
    """Return the resource that only host 0 of a TPU slice announces; one of it is one whole slice."""
    return f"TPU-{pod_type}-head"


def tpu_head_pod_type(resource: str) -> str | None:
    """Return the pod type in the name of a slice's head resource; None for any other resource."""
    is_head = resource.startswith("TPU-") and resource.endswith("-head") and len(resource) > len("TPU--head")
    return resource[len("TPU-") : -len("-head")] if is_head else None


# The promise on a node: ray/_private/ray_constants.py, and autoscaler/_private/updater.py, which exports it.

OVERRIDE_RESOURCES = "RAY_OVERRIDE_RESOURCES"
OVERRIDE_LABELS = "RAY_OVERRIDE_LABELS"

INSTANCE_TYPE_NAME = "RAY_CLOUD_INSTANCE_TYPE_NAME"
"""The machine type of a node, as it tells the GCS: v2's ray_installer.py exports it, v1 and `ray up` do not."""

OBJECT_STORE_PROPORTION = 0.3
"""The share of a node's memory that Ray keeps for objects; its AWS provider promises the rest as `memory`."""

# Demands and the autoscaler.

GCS_PORT = 6379
"""The port of `ray start --head` where no `--port` is given."""

TASK_CPUS = 1
"""The CPUs of a task or actor that names none: ray/_common/ray_option_utils.py."""

UPDATE_INTERVAL_S = 5
"""Seconds between two rounds of the autoscaler: AUTOSCALER_UPDATE_INTERVAL_S."""

MAX_CONCURRENT_LAUNCHES = 10
"""How many nodes the autoscaler has on request at a time: AUTOSCALER_MAX_CONCURRENT_LAUNCHES."""

DEFAULT_MAX_WORKERS = 2
"""`max_workers` in Ray's aws/defaults.yaml and gcp/defaults.yaml."""

EXTERNAL_NODE_TYPES = ("ray.head.default", "ray.worker.default")
"""The node types, the head's first, that a file with `type: external` has where it names none: providers.py,
MINIMAL_EXTERNAL_CONFIG. They have no machine."""

FIRST_NODE_TYPES = ("ray-legacy-head-node-type", "ray-legacy-worker-node-type")
"""The names that Ray gives to what a file of Ray 1 calls head_node and worker_nodes: tags.py, NODE_TYPE_LEGACY_*."""

NODE_TYPE_TAG = "ray-user-node-type"
"""The tag, or label, of a machine with its node type's name: ray/autoscaler/tags.py."""

NODE_NAMES = ("ray-{}-worker", "ray-{}-head")
"""A node's name, in a tag, from its cluster's: node_launcher.py and commands.py."""

# KubeRay. Before 2.51 the autoscaler reads rayStartParams and limits alone (kuberay/autoscaling_config.py), and before
# 2.45 `ray start --labels` takes JSON only (scripts.py): seen in the wheels of 2.44.1, 2.45.0, 2.50.1 and 2.51.0.

FIRST_WITH_LABEL_PAIRS = (2, 45)
"""The first version whose `ray start` reads ``--labels=KEY=VALUE``, which KubeRay makes of a group's labels."""

FIRST_WITH_GROUP_FIELDS = (2, 51)
"""The first version whose autoscaler reads ``resources`` and ``labels`` of a group."""

BOOTSTRAP_CONFIG = "ray_bootstrap_config.yaml"
"""The head's copy of the cluster config, in the home of its user: autoscaler/_private/commands.py."""
