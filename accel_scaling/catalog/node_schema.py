"""The tables about what nodes need, described once: drivers and images, boot disks, Kubernetes' names."""

from __future__ import annotations

from accel_scaling.catalog.columns import (
    ALWAYS,
    CHIP,
    CHIPS_OF,
    CLOUD_NAME,
    EMPTY,
    FAMILY_NAME,
    LABEL,
    NAME,
    OPTIONS,
    SOURCE,
    YES_OR_NO,
    Amount,
    Column,
    ListOf,
    Number,
    OneOf,
    Table,
    Text,
    words_of,
)
from accel_scaling.catalog.model import Copies, Counts, Effect, ImageKind, Says

NODE_FAMILIES = Table(
    "node_families.csv",
    "what the nodes of a family of accelerators need",
    (
        Column("family", Text("[a-z][a-z0-9_-]*", "a word in lower case"), "as in accelerators.yaml; none without one"),
        Column("driver", Text(), "what the machine image must hold, as the end of a sentence"),
        Column("run_options", OPTIONS, "options of `docker run` that show the devices to a container", EMPTY),
        Column(
            "each_device",
            Text(r"--?[a-z][a-z-]*=[A-Za-z0-9_./:,=-]*\{n\}", "an option with {n}, as --device=/dev/neuron{n}"),
            "one more option for each device, `{n}` for its number from 0",
            EMPTY,
        ),
        Column("podman_options", OPTIONS, "in place of run_options under podman, where they differ", EMPTY),
        Column("claims", ListOf(Text(expected="words")), "words by which a user's own options decide", EMPTY),
        SOURCE,
    ),
    key=("family",),
)

NODE_IMAGES = Table(
    "node_images.csv",
    "the image of a node type that names none",
    (
        Column("family", FAMILY_NAME, "for machines with accelerators of this family; none without one"),
        Column("chips", CHIPS_OF, "for these accelerators; empty for all others of the family", EMPTY),
        Column("cloud", CLOUD_NAME, "whose image it is"),
        Column("arch", OneOf({"x86_64": "x86_64", "arm64": "arm64"}), "what the machine's processor runs"),
        Column("kind", words_of(ImageKind), "how the image is named; none where no image has the driver"),
        Column("image", Text(r"\S+", "a name without spaces, as its kind has it"), "its name", EMPTY),
        Column("disk_gb", Number(), "size of the boot disk; empty for the image's own", EMPTY, "GB"),
        Column(
            "metadata",
            ListOf(Text(r"[a-z][a-z0-9-]*=\S+", "KEY=VALUE")),
            "what the machine must be given for it",
            EMPTY,
        ),
        Column("note", Text(), "what an image of the user's own must hold; else a remark", EMPTY),
        Column("docker", YES_OR_NO, "whether it brings Docker, for clusters with containers"),
        SOURCE,
    ),
    key=("family", "chips", "cloud", "arch", "kind", "image"),
)

BOOT_DISKS = Table(
    "CLOUD_boot_disks.csv",
    "the disk type of a machine series, where the user names none",
    (
        Column(
            "series",
            Text(
                r"\*|[a-z0-9]+(?:-(?:\*|[a-z0-9]+))*", "the first words of a type's name, a pattern as c3-*-metal, or *"
            ),
            "the longest row that fits counts; `*` alone is for series that no row has, with a note",
        ),
        Column("disk_type", Text("[a-z0-9-]+", "the API's name of a disk type"), "what it can boot from"),
        SOURCE,
    ),
    key=("series",),
)

CAPACITY_TYPES = Table(
    "CLOUD_capacity_types.csv",
    "how a machine type is sold, where the cloud does not sell it in every way",
    (
        Column("types", NAME, "a machine type, or the first words of its name"),
        Column(
            "sold_as",
            ListOf(Text("on-demand|spot|flex-start|reserved", "on-demand, spot, flex-start and reserved")),
            "every way in which it is sold; reserved: for those who have a reservation or a Capacity Block",
        ),
        Column(
            "block_end_min",
            Number(),
            "so long before the end of their Capacity Block its machines are terminated; empty for half an hour",
            EMPTY,
            "minutes",
        ),
        SOURCE,
    ),
    key=("types",),
    order=("types",),
)

DRIVER_EVENTS = Table(
    "driver_events.csv",
    "an error of a device that its driver reports while a node runs",
    (
        Column("family", FAMILY_NAME, "whose driver reports it"),
        Column("code", Text("XID [0-9]{1,4}", "XID and a number"), "as the driver names it"),
        Column("name", Text(), "what it is, as the end of a sentence"),
        Column(
            "effect",
            words_of(Effect),
            "drain: the node is drained; look: its devices are looked at once more; none: a program's own error",
        ),
        SOURCE,
    ),
    key=("family", "code"),
)

BANDWIDTH_FLOORS = Table(
    "bandwidth_floors.csv",
    "how fast a device must copy, for the memory test",
    (
        Column("chip", CHIP, "the accelerator"),
        Column(
            "copies",
            words_of(Copies),
            "host: to the host's memory, and from it; memory: within its own, read and written; peer: to another one",
        ),
        Column(
            "published_gb_s",
            Amount(),
            "what its maker publishes; of a link, for one direction",
            ALWAYS,
            "GB/s",
        ),
        Column("at_least_gb_s", Amount(), "a device that copies slower is TooSlow", ALWAYS, "GB/s"),
        SOURCE,
    ),
    key=("chip", "copies"),
)

NETWORKS = Table(
    "CLOUD_networks.csv",
    "the network cards of a machine type",
    (
        Column("instance_type", NAME, "the machine type"),
        Column("network", Text("[a-z]+", "a word in lower case"), "its network for training; empty for none", EMPTY),
        Column(
            "cards",
            ListOf(Text("[a-z]+:[1-9][0-9]?(?:/[1-9][0-9]?)?", "KIND:COUNT or KIND:COUNT/INTERFACES")),
            "its cards in their order: how many of a kind, and how many interfaces each takes, 1 where it is left out",
        ),
        SOURCE,
    ),
    key=("instance_type",),
    order=("instance_type",),
)

KUBERAY_RESOURCES = Table(
    "kuberay_resources.csv",
    "a resource that a Kubernetes device plug-in announces",
    (
        Column("name", Text(LABEL.pattern + r"\*?", LABEL.expected), "its name in a container's limits; * for any"),
        Column("family", FAMILY_NAME, "whose devices these are"),
        Column("resource", NAME, "the Ray resource"),
        Column("counts", words_of(Counts), "what one of it is"),
        Column("ray_derives", YES_OR_NO, "whether Ray's autoscaler makes the Ray resource of it by itself"),
        Column("chips", CHIPS_OF, "what it stands for; empty for any of the family", EMPTY),
        Column(
            "select_by",
            ListOf(Text(r"[a-z0-9./-]+/[A-Za-z0-9._-]+: \S+", "LABEL: VALUE"), ";"),  # each has a space in it
            "node labels, with a value each, that tell which accelerator it is",
        ),
        SOURCE,
    ),
    key=("name",),
)

KUBERAY_OTHER_RESOURCES = Table(
    "kuberay_other_resources.csv",
    "a resource of Kubernetes that is no whole accelerator",
    (
        Column("name", Text(r"[A-Za-z0-9./_-]+\*?", "a name, with * at its end for any"), "in a container's limits"),
        Column(
            "is",
            OneOf({"share": True, "other": False}),
            "share: a part of an accelerator, by memory or cores; other: no accelerator",
        ),
        SOURCE,
    ),
    key=("name",),
    order=("name",),
)

KUBERAY_SELECTORS = Table(
    "kuberay_selectors.csv",
    "a label of Kubernetes nodes that tells the machine or its accelerator",
    (
        Column("key", LABEL, "the label's key"),
        Column("says", words_of(Says), "what its value tells"),
        Column("cloud", CLOUD_NAME, "whose nodes have it; empty for any", EMPTY),
        Column(
            "names",
            ListOf(
                Text(
                    "api:[a-z]+|driver|pci:[0-9a-f]{4}|prefix:[A-Za-z-]*|before:[a-z.-]+|[^=]+=(?:spot|on-demand)",
                    "how a value names the chip, as api:aws or driver, or VALUE=spot or VALUE=on-demand",
                )
            ),
            "how its value names the chip, or what each value says of the market",
            EMPTY,
        ),
        SOURCE,
    ),
    key=("key",),
)
