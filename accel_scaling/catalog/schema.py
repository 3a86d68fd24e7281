"""Every table of the catalog, described once: its files, its columns, what a cell may say, and what it means.

The reader (``table``), ``catalog check``, ``catalog refresh`` and the tables of docs/catalogs.md all follow it.
"""

from __future__ import annotations

from accel_scaling.catalog.columns import (
    ACCELERATOR,
    API_NAME,
    ARCH,
    CHIP,
    CLOUD_NAME,
    EMPTY,
    GENERATION,
    LEFT_OUT,
    MACHINE_TYPE,
    NAME,
    NAMES,
    NOWHERE,
    SOURCE,
    TOPOLOGIES,
    TOPOLOGY,
    UNKNOWN,
    ZONES,
    Amount,
    ByCloud,
    Column,
    ListOf,
    Name,
    Number,
    OneOf,
    Table,
    Text,
    words_of,
)
from accel_scaling.catalog.model import Category, UnlistedKind
from accel_scaling.catalog.node_schema import (
    BANDWIDTH_FLOORS,
    BOOT_DISKS,
    CAPACITY_TYPES,
    DRIVER_EVENTS,
    KUBERAY_OTHER_RESOURCES,
    KUBERAY_RESOURCES,
    KUBERAY_SELECTORS,
    NETWORKS,
    NODE_FAMILIES,
    NODE_IMAGES,
)

_MACHINE_TYPE = (
    Column("instance_type", NAME, "the cloud's name"),
    Column("vcpus", Number(), "virtual CPUs by default", unit="vCPUs"),
    Column("memory_mib", Number(), "main memory", unit="MiB"),
    Column("arch", ARCH, "what its processor runs"),
    Column(
        "accelerator",
        Name(
            ACCELERATOR,
            f"a key of accelerators.yaml; {UNKNOWN} and the API's name where the catalog does not know it yet",
            UNKNOWN,
        ),
        "what is in it; empty for a plain machine",
        EMPTY,
    ),
    Column(
        "count",
        Number(0, empty=None),
        "how many; a slice counts as one; empty for a plain machine",
        EMPTY,
        "devices",
    ),
)
_BECAUSE = Column("because", Text(), "why the cloud's API is wrong")
MACHINE_TYPES = Table(
    "CLOUD.csv",
    "one machine type",
    (
        *_MACHINE_TYPE,
        Column("cloud", CLOUD_NAME, "whose type it is, where the file's name does not begin with the cloud", LEFT_OUT),
        Column(_BECAUSE.name, _BECAUSE.value, "why the row is not what one would expect", LEFT_OUT),
        Column(SOURCE.name, SOURCE.value, SOURCE.means, LEFT_OUT),
    ),
    key=("instance_type",),
    order=("instance_type",),
)
# A correction is a row, not a condition in code: it has a reason and a source, and a user's own row overrides it.
CORRECTIONS = Table(
    "CLOUD_corrections.csv",
    "a machine type of which the cloud's API says something wrong",
    (*_MACHINE_TYPE, MACHINE_TYPES.column("cloud"), _BECAUSE, SOURCE),
    key=("instance_type",),
    order=("instance_type",),
)

# By family: 37,000 facts (a type in a region) are 5,900 rows, and a change is a line. On AWS by the zones' ids, as
# us-east-1a is another zone in each account.
OFFERINGS = Table(
    "CLOUD_places.csv",
    "where machine types of a region are offered",
    (
        Column("region", Text("[a-z0-9-]+", "a region of the cloud"), "the cloud's name for it"),
        Column(
            "types",
            Text(r"\*|[A-Za-z0-9][A-Za-z0-9._-]*", "a family, a machine type, or * for the region itself"),
            "a machine type; a family (`g5`, on Google Cloud the first two words, `a2-highgpu`) for all of its types; "
            "or `*` for the region itself: the file lists all that it has, so what it does not list is not there",
        ),
        Column(
            "zones",
            ListOf(
                Text("[a-z0-9]+(?:-[a-z0-9]+)*", "short names of zones, as az1 or a, or - for none"),
                none=NOWHERE,
                empty=None,
            ),
            "those that have it: on AWS the ends of zone *ids* (`az4` of use1-az4), on Google Cloud of names (`a`); "
            "empty for all, or where that is not known; `-` for none",
            EMPTY,
        ),
        Column("source", Text(), "who says so; needed for `*`", EMPTY),
    ),
    key=("region", "types"),
    order=("region", "types"),
)

UNLISTED = Table(
    "CLOUD_unlisted.csv",
    "what exists, or existed, and no listing of the cloud has",
    (
        Column("name", NAME, "the cloud's name"),
        Column("what", words_of(UnlistedKind), "what it names"),
        Column(
            "known", Text(), "of a machine type without a row: what is known of it, as the end of a sentence", EMPTY
        ),
        SOURCE,
    ),
    key=("name",),
    order=("name",),
)

DATES = Table(
    "dates.csv",
    "how old a file that ships is",
    (
        Column("file", Text(r"[a-z0-9_]+\.(?:csv|yaml)", "the name of a file in catalogs/"), "the file"),
        Column("as_of", Text(r"20[0-9]{2}-[01][0-9](?:-[0-3][0-9])?", "a month or a day, as 2026-10"), "how old it is"),
        Column("source", Text(), "of which source that is the date"),
    ),
    key=("file",),
    order=("file",),
)

# Not sorted: the first row that fits counts, so exceptions come before the rule.
LAUNCH_ERRORS = Table(
    "CLOUD_launch_errors.csv",
    "what a failed launch of one code means; the first row that fits counts",
    (
        Column(
            "code",
            Text(r"\S+", "the API's code, without spaces"),
            "the code of the cloud's API; `*` in it stands for any text, alone for any code",
        ),
        Column("message", Text(), "what its message must contain; empty for any message", EMPTY),
        Column("category", words_of(Category), "what helps: another zone, more quota, a changed file, ..."),
        SOURCE,
    ),
    key=("code", "message"),
)

GUEST_ACCELERATORS = Table(
    "CLOUD_attach.csv",
    "how many of an accelerator fit which N1 machines",
    (
        Column("accelerator", Name(API_NAME, "a name of the cloud's API, as in api_names"), "the API's name"),
        Column("count", Number(), "how many", unit="devices"),
        Column("min_vcpus", Number(), "the machine has at least", unit="vCPUs"),
        Column("max_vcpus", Number(), "the machine has at most", unit="vCPUs"),
        Column("min_memory_mib", Number(), "the machine has at least", unit="MiB"),
        Column("max_memory_mib", Number(), "the machine has at most", unit="MiB"),
        Column("only_in", ZONES, "the zones that the row is for; empty for all", EMPTY),
        Column("not_in", ZONES, "zones that the row is not for", EMPTY),
        Column("because", Text(), "why there is an exception", EMPTY),
        SOURCE,
    ),
    key=("accelerator", "count", "only_in"),
)

_GIB = Amount()
# By name and vCPUs: of g2-custom, each number of vCPUs has its own memory and GPUs.
CUSTOM_MACHINE_TYPES = Table(
    "CLOUD_custom.csv",
    "the limits of one kind of custom machine type",
    (
        Column("name", NAME, "the name before the numbers"),
        Column(
            "vcpus",
            ListOf(Text("[1-9][0-9]{0,3}(?:-[1-9][0-9]{0,3}(?:/[1-9][0-9]{0,3})?)?", "counts and spans, as 1 2-96/2")),
            "the numbers of vCPUs; `2-96/2` is every second one",
        ),
        Column("min_gib_per_vcpu", _GIB, "the least memory for each vCPU", EMPTY, "GiB"),
        Column("max_gib_per_vcpu", _GIB, "the most memory for each vCPU", EMPTY, "GiB"),
        Column("min_gib", _GIB, "the least memory of the machine", unit="GiB"),
        Column("max_gib", _GIB, "the most memory of the machine", unit="GiB"),
        Column("max_gib_extended", _GIB, "the most with `-ext`; empty where there is no extended memory", EMPTY, "GiB"),
        Column("step_mib", Number(), "what the memory is a multiple of", unit="MiB"),
        Column("arch", ARCH, "what its processor runs"),
        Column("accelerator", CHIP, "what comes with it; empty for none", EMPTY),
        Column("count", Number(), "how many", EMPTY, "devices"),
        Column("because", Text(), "why the row is not what one would expect", EMPTY),
        SOURCE,
    ),
    key=("name", "vcpus"),
)

TPU_GENERATIONS = Table(
    "CLOUD_tpu.csv",
    "one generation of TPUs",
    (
        Column("generation", NAME, "how its accelerator types begin"),
        Column("config_type", NAME, "`acceleratorConfig.type`; empty where the API has none", EMPTY),
        Column("config_refused", Text(), "why no slice is asked for by that type anyway", EMPTY),
        Column("ray_name", NAME, "how Ray's pod types begin"),
        Column("chip", CHIP, "its accelerator"),
        Column("suffix_per_chip", Number(), "what the number in an accelerator type counts for each chip"),
        Column("topologies", TOPOLOGIES, "those that follow no rule, the smallest first"),
        Column(
            "cubes_to_chips",
            Number(),
            "besides, everything made of 4x4x4 cubes up to so many; empty for none",
            EMPTY,
            "chips",
        ),
        Column(
            "cube_order",
            OneOf({"any": True, "rising": False}),
            "whether the edges of such a topology may be in any order",
            EMPTY,
        ),
        Column(
            "compact_to_chips",
            Number(),
            "up to so many, the default topology is the one nearest to a cube; above, the flattest",
            EMPTY,
            "chips",
        ),
        Column("default_topologies", TOPOLOGIES, "defaults that follow neither", EMPTY),
        Column(
            "ray_topologies",
            ListOf(Text(f"(?:<=)?{TOPOLOGY}", "edges, as 2x2x4 or <=12x12x16")),
            "those of Ray's own table; `<=12x12x16` stands for all cubes up to it",
            EMPTY,
        ),
        SOURCE,
    ),
    key=("generation",),
)

TPU_HOSTS = Table(
    "CLOUD_tpu_hosts.csv",
    "one kind of machine that TPU slices are made of",
    (
        Column("generation", Name(GENERATION, "a generation of the file of generations"), "whose chips it has"),
        Column("slice", OneOf({"one": False, "many": True}), "whether a slice is this one host, or many of them"),
        Column("chips", Number(), "of this host", unit="chips"),
        Column("machine_type", Name(MACHINE_TYPE, "a machine type of the cloud"), "empty where there is none", EMPTY),
        Column("vcpus", Number(), "virtual CPUs; empty where machine_type says it", EMPTY, "vCPUs"),
        Column("memory_mib", Number(), "main memory; empty where machine_type says it", EMPTY, "MiB"),
        SOURCE,
    ),
    key=("generation", "slice", "chips"),
)

# YAML: some fifty entries, with lists and reasons. 1,400 machine types load in a millisecond as CSV; as YAML they would
# take 60 to 80 ms with the C loader, 300 without.
CHIPS = Table(
    "accelerators.yaml",
    "one accelerator",
    (
        Column("family", NAME, "whose driver and probe it has: nvidia, neuron, tpu, ..."),
        Column("resource", NAME, "the Ray resource that a node announces for it"),
        Column("detected_type", NAME, "the accelerator_type that Ray detects; null where it detects none", EMPTY),
        Column("variant", NAME, "the exact product as a second type, where detected_type is not exact", LEFT_OUT),
        Column(
            "units_per_device", Number(), "units of the resource in one device; 1 where left out", LEFT_OUT, "units"
        ),
        Column("memory_mib", Number(), "memory of one device, as the driver reports it", LEFT_OUT, "MiB"),
        Column("driver_names", NAMES, "the product's names as the driver reports them", LEFT_OUT),
        Column(
            "pci_ids",
            ListOf(Text("[0-9a-f]{4}:[0-9a-f]{4}", "vendor:device in lower-case hex, as 10de:27b8")),
            "what it is on the bus",
            LEFT_OUT,
        ),
        Column("api_names", ByCloud(NAMES), "the names that a cloud's API has for it", LEFT_OUT),
        Column("partition_of", NAME, "for a slice: the whole accelerator", LEFT_OUT),
        Column("because", Text(), "why a value is not what one would expect", LEFT_OUT),
        Column("source", Text(), "who says so", LEFT_OUT),
    ),
    key=(),
)

TABLES = (
    MACHINE_TYPES,
    CORRECTIONS,
    OFFERINGS,
    UNLISTED,
    DATES,
    LAUNCH_ERRORS,
    GUEST_ACCELERATORS,
    CUSTOM_MACHINE_TYPES,
    TPU_GENERATIONS,
    TPU_HOSTS,
    BOOT_DISKS,
    CAPACITY_TYPES,
    NETWORKS,
    NODE_FAMILIES,
    NODE_IMAGES,
    DRIVER_EVENTS,
    BANDWIDTH_FLOORS,
    KUBERAY_RESOURCES,
    KUBERAY_OTHER_RESOURCES,
    KUBERAY_SELECTORS,
    CHIPS,
)
