"""Every table of the catalog, described once: its files, its columns, what a cell may say, and what it means.

The reader (``table``), ``catalog check``, ``catalog refresh`` and the tables of docs/catalogs.md all follow it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_scaling.catalog.columns import (
    EMPTY,
    LEFT_OUT,
    Amount,
    ByCloud,
    Column,
    ListOf,
    Name,
    Number,
    OneOf,
    Table,
    Text,
)
from accel_scaling.catalog.model import Category, Counts, ImageKind, Says

if TYPE_CHECKING:
    from enum import Enum

ARCHITECTURES = ("x86_64", "arm64", "i386")
UNKNOWN = "?"  # before the API's own name of an accelerator that the catalog does not know yet; written by a refresh
MIXED = " + "  # between the names of several kinds of accelerator in one machine
WHOLE = "*"  # in `types` of an offerings file: the region itself
NOWHERE = "-"  # in `zones` there: no zone has it
NO_ACCELERATOR = "none"  # the family of a machine without one, in the tables about nodes
ANY_SERIES = "*"

# What names may refer to: keys of `known` at the reader.
ACCELERATOR, API_NAME, OF_CLOUD = "accelerator", "accelerator of the API", "cloud"
FAMILY, GENERATION, MACHINE_TYPE = "family", "TPU generation", "machine type"


def _words(words: type[Enum]) -> OneOf:
    return OneOf({word.value: word for word in words})


NAME = Text(r"[A-Za-z0-9][A-Za-z0-9._-]*", "letters, digits, '.', '-' and '_'")
_OPTIONS = ListOf(
    # What reaches a shell on the node, unquoted by Ray: no space, no quote, no sign that a shell reads.
    Text(r"--?[a-z][a-z-]*(?:=[A-Za-z0-9_./:,=-]*(?:\{n\})?)?", "options without spaces, as --device=/dev/kfd")
)
TOPOLOGY = "[1-9][0-9]{0,3}x[1-9][0-9]{0,3}(?:x[1-9][0-9]{0,3})?"
_TOPOLOGIES = ListOf(Text(TOPOLOGY, "edges, as 2x2x4"))
_ZONES = ListOf(Text("[a-z0-9]+(?:-[a-z0-9]+){2,}", "full names of zones, as us-east1-c"))
_LABEL = Text(r"[a-z0-9.-]+/[A-Za-z0-9._-]+", "a name such as nvidia.com/gpu")
_CHIP = Name(ACCELERATOR, "a key of accelerators.yaml")
_CHIPS = ListOf(Name(ACCELERATOR, "keys of accelerators.yaml"))
_CLOUD = Name(OF_CLOUD, "the name of a cloud")
_FAMILY = Name(FAMILY, "a family of node_families.csv")
_ARCH = OneOf({word: word for word in ARCHITECTURES})
_YES_OR_NO = OneOf({"yes": True, "no": False})
_NAMES = ListOf(Text(expected="names"))
_SOURCE = Column("source", Text(), "who says so, and when")

_MACHINE_TYPE = (
    Column("instance_type", NAME, "the cloud's name"),
    Column("vcpus", Number(), "virtual CPUs by default", unit="vCPUs"),
    Column("memory_mib", Number(), "main memory", unit="MiB"),
    Column("arch", _ARCH, "what its processor runs"),
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
        Column("cloud", _CLOUD, "whose type it is, where the file's name does not begin with the cloud", LEFT_OUT),
        Column(_BECAUSE.name, _BECAUSE.value, "why the row is not what one would expect", LEFT_OUT),
        Column(_SOURCE.name, _SOURCE.value, _SOURCE.means, LEFT_OUT),
    ),
    key=("instance_type",),
    order=("instance_type",),
)
# A correction is a row, not a condition in code: it has a reason and a source, and a user's own row overrides it.
CORRECTIONS = Table(
    "CLOUD_corrections.csv",
    "a machine type of which the cloud's API says something wrong",
    (*_MACHINE_TYPE, MACHINE_TYPES.column("cloud"), _BECAUSE, _SOURCE),
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
            "or `*` for the region itself: the file lists all that it has, so that what it does not list is not there",
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

# Not sorted: the first row that fits counts, so that exceptions stand before the rule.
LAUNCH_ERRORS = Table(
    "CLOUD_launch_errors.csv",
    "what a failed launch of one code means; the first row that fits counts",
    (
        Column("code", Text(r"\S+", "the API's code, without spaces"), "the code of the cloud's API"),
        Column("message", Text(), "what its message must contain; empty for any message", EMPTY),
        Column("category", _words(Category), "what helps: another zone, more quota, a changed file, ..."),
        _SOURCE,
    ),
    key=("code", "message"),
)

GUEST_ACCELERATORS = Table(
    "CLOUD_attach.csv",
    "how many of an accelerator go with which N1 machines",
    (
        Column("accelerator", Name(API_NAME, "a name of the cloud's API, as in api_names"), "the API's name"),
        Column("count", Number(), "how many", unit="devices"),
        Column("min_vcpus", Number(), "the machine has at least", unit="vCPUs"),
        Column("max_vcpus", Number(), "the machine has at most", unit="vCPUs"),
        Column("min_memory_mib", Number(), "the machine has at least", unit="MiB"),
        Column("max_memory_mib", Number(), "the machine has at most", unit="MiB"),
        Column("only_in", _ZONES, "the zones that the row is for; empty for all", EMPTY),
        Column("not_in", _ZONES, "zones that the row is not for", EMPTY),
        Column("because", Text(), "why there is an exception", EMPTY),
        _SOURCE,
    ),
    key=("accelerator", "count", "only_in"),
)

_GIB = Amount()
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
        Column("arch", _ARCH, "what its processor runs"),
        Column("accelerator", _CHIP, "what comes with it; empty for none", EMPTY),
        Column("count", Number(), "how many", EMPTY, "devices"),
        Column("because", Text(), "why the row is not what one would expect", EMPTY),
        _SOURCE,
    ),
    key=("name", "vcpus"),
)

TPU_GENERATIONS = Table(
    "CLOUD_tpu.csv",
    "one generation of TPUs",
    (
        Column("generation", NAME, "how its accelerator types begin"),
        Column("config_type", NAME, "`acceleratorConfig.type`; empty where the API has none", EMPTY),
        Column("ray_name", NAME, "how Ray's pod types begin"),
        Column("chip", _CHIP, "its accelerator"),
        Column("suffix_per_chip", Number(), "what the number in an accelerator type counts for each chip"),
        Column("topologies", _TOPOLOGIES, "those that follow no rule, the smallest first"),
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
            "whether the edges of such a topology may stand in any order",
            EMPTY,
        ),
        Column(
            "compact_to_chips",
            Number(),
            "up to so many, the default topology is the one nearest to a cube; above, the flattest",
            EMPTY,
            "chips",
        ),
        Column("default_topologies", _TOPOLOGIES, "defaults that follow neither", EMPTY),
        Column(
            "ray_topologies",
            ListOf(Text(f"(?:<=)?{TOPOLOGY}", "edges, as 2x2x4 or <=12x12x16")),
            "those of Ray's own table; `<=12x12x16` stands for all cubes up to it",
            EMPTY,
        ),
        _SOURCE,
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
        _SOURCE,
    ),
    key=("generation", "slice", "chips"),
)

NODE_FAMILIES = Table(
    "node_families.csv",
    "what the nodes of a family of accelerators need",
    (
        Column("family", Text("[a-z][a-z0-9_-]*", "a word in lower case"), "as in accelerators.yaml; none without one"),
        Column("driver", Text(), "what the machine image must hold, as the end of a sentence"),
        Column("run_options", _OPTIONS, "options of `docker run` that show the devices to a container", EMPTY),
        Column(
            "each_device",
            Text(r"--?[a-z][a-z-]*=[A-Za-z0-9_./:,=-]*\{n\}", "an option with {n}, as --device=/dev/neuron{n}"),
            "one more option for each device, `{n}` for its number from 0",
            EMPTY,
        ),
        Column("podman_options", _OPTIONS, "in place of run_options under podman, where they differ", EMPTY),
        Column("claims", ListOf(Text(expected="words")), "words by which a user's own options decide", EMPTY),
        _SOURCE,
    ),
    key=("family",),
)

NODE_IMAGES = Table(
    "node_images.csv",
    "the image of a node type that names none",
    (
        Column("family", _FAMILY, "for machines with accelerators of this family; none without one"),
        Column("chips", _CHIPS, "for these accelerators; empty for all others of the family", EMPTY),
        Column("cloud", _CLOUD, "whose image it is"),
        Column("arch", OneOf({"x86_64": "x86_64", "arm64": "arm64"}), "what the machine's processor runs"),
        Column("kind", _words(ImageKind), "how the image is named; none where no image has the driver"),
        Column("image", Text(r"\S+", "a name without spaces, as its kind has it"), "its name", EMPTY),
        Column("disk_gb", Number(), "size of the boot disk; empty for the image's own", EMPTY, "GB"),
        Column(
            "metadata",
            ListOf(Text(r"[a-z][a-z0-9-]*=\S+", "KEY=VALUE")),
            "what the machine must be given for it",
            EMPTY,
        ),
        Column("note", Text(), "what an image of the user's own must hold; else a remark", EMPTY),
        _SOURCE,
    ),
    key=("family", "chips", "cloud", "arch", "kind"),
)

BOOT_DISKS = Table(
    "CLOUD_boot_disks.csv",
    "the disk type of a machine series, where the user names none",
    (
        Column("series", Text(r"\*|[a-z0-9]+(?:-[a-z0-9]+)*", "the first words of a type's name, or *"), "* for all"),
        Column("disk_type", Text("[a-z0-9-]+", "the API's name of a disk type"), "what it can boot from"),
        _SOURCE,
    ),
    key=("series",),
)

KUBERAY_RESOURCES = Table(
    "kuberay_resources.csv",
    "a resource that a Kubernetes device plug-in announces",
    (
        Column("name", Text(_LABEL.pattern + r"\*?", _LABEL.expected), "its name in a container's limits; * for any"),
        Column("family", _FAMILY, "whose devices these are"),
        Column("resource", NAME, "the Ray resource"),
        Column("counts", _words(Counts), "what one of it is"),
        Column("ray_derives", _YES_OR_NO, "whether Ray's autoscaler makes the Ray resource of it by itself"),
        Column("chips", _CHIPS, "what it stands for; empty for any of the family", EMPTY),
        Column(
            "select_by",
            ListOf(Text(r"[a-z0-9./-]+/[A-Za-z0-9._-]+: \S+", "LABEL: VALUE"), ";"),  # each has a space in it
            "node labels, with a value each, that tell which accelerator it is",
        ),
        _SOURCE,
    ),
    key=("name",),
)

KUBERAY_SELECTORS = Table(
    "kuberay_selectors.csv",
    "a label of Kubernetes nodes that tells the machine or its accelerator",
    (
        Column("key", _LABEL, "the label's key"),
        Column("says", _words(Says), "what its value tells"),
        Column("cloud", _CLOUD, "whose nodes have it; empty for any", EMPTY),
        Column(
            "names",
            ListOf(
                Text(
                    "api:[a-z]+|driver|pci:[0-9a-f]{4}|prefix:[A-Za-z-]*|[^=]+=(?:spot|on-demand)",
                    "how a value names the chip, as api:aws or driver, or VALUE=spot or VALUE=on-demand",
                )
            ),
            "how its value names the chip, or what each value says of the market",
            EMPTY,
        ),
        _SOURCE,
    ),
    key=("key",),
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
        Column("driver_names", _NAMES, "the product's names as the driver reports them", LEFT_OUT),
        Column(
            "pci_ids",
            ListOf(Text("[0-9a-f]{4}:[0-9a-f]{4}", "vendor:device in lower-case hex, as 10de:27b8")),
            "what it is on the bus",
            LEFT_OUT,
        ),
        Column("api_names", ByCloud(_NAMES), "the names that a cloud's API has for it", LEFT_OUT),
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
    LAUNCH_ERRORS,
    GUEST_ACCELERATORS,
    CUSTOM_MACHINE_TYPES,
    TPU_GENERATIONS,
    TPU_HOSTS,
    BOOT_DISKS,
    NODE_FAMILIES,
    NODE_IMAGES,
    KUBERAY_RESOURCES,
    KUBERAY_SELECTORS,
    CHIPS,
)
