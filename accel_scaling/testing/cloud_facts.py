"""What the class of each local cloud says: its names, and how a cluster file becomes one for it. See ``CloudFacts``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from accel_scaling.testing.ray_cluster import without_account

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel_scaling.testing.hosts.settings import HostKind
    from accel_scaling.testing.reservations import Reservation

Config = dict[str, Any]


class CloudFacts:
    """What is different from cloud to cloud; a rehearsal asks for it before a cloud runs."""

    CLOUD: ClassVar[str]
    """Its name in messages, e.g. ``EC2``."""

    MODULE: ClassVar[str]
    """The module of its process."""

    PLACE: ClassVar[str]
    """The region, or the zones with commas between them, that exist where nothing else is said."""

    METADATA_PORTS: ClassVar[dict[HostKind, int]] = {}
    """The port of the hosts' metadata server by kind of hosts; empty where the cloud has none."""

    METADATA_ADDRESS: ClassVar[str] = ""
    """The address of that server; empty where it is found by its name."""

    FAULTS_BY_ZONE: ClassVar[bool] = False
    """Whether a type can be sold out in one of the zones of ``place``, as a fault: ``TYPE@ZONE``."""

    MACHINES_WAIT: ClassVar[bool] = False
    """Whether its machines can wait for capacity, as with ``waits:TYPE=15m``."""

    PROVIDER_TYPES: ClassVar[Sequence[str]] = ("external",)
    """The values of ``provider.type`` in cluster files that it can run."""

    ACCOUNT_KEYS: ClassVar[Sequence[str]] = ()
    """The keys of a node_config that name things in the user's account or on their disk."""

    ACCOUNT_PROVIDER_KEYS: ClassVar[Sequence[str]] = ()
    """The same of ``provider``."""

    @staticmethod
    def place_of(config: Config) -> str:
        """Return the region or zones of a cluster file.

        Raises:
            ClusterConfigError: the file names none.
        """
        raise NotImplementedError

    @staticmethod
    def machine_name(node_config: Config) -> str:
        """Return the name of a node type's machines in the events of this cloud."""
        raise NotImplementedError

    @staticmethod
    def tag_of(node_type: str) -> str:
        """Return a node type's name as the tags of machines have it on this cloud."""
        return node_type

    @classmethod
    def reservations_of(cls, config: Config) -> list[Reservation]:
        """Return the reservations that a cluster file names, each with places for what its node types may have.

        A rehearsal makes them, except for those that `--reservation` describes.
        """
        del config
        return []

    @classmethod
    def check(cls, node_config: Config) -> None:
        """Refuse a node type that cannot be emulated.

        Raises:
            RehearsalError: its hardware is not known.
        """
        raise NotImplementedError

    @classmethod
    def point_at(cls, config: Config, original: Config, endpoint_url: str) -> None:
        """Change the config so that its machines are launched here.

        Args:
            config: without the keys of the account; changed in place.
            original: the user's.
            endpoint_url: where the cloud answers the laptop.
        """
        raise NotImplementedError

    def _cloud_environment(self, endpoint_url: str) -> dict[str, str]:
        """Return the variables that make clients on laptop and hosts speak to this cloud and to no other."""
        raise NotImplementedError

    @classmethod
    def adapted(
        cls, config: Config, endpoint_url: str, user: str = "ubuntu", *, with_setup: bool = False
    ) -> tuple[Config, list[str]]:
        """Return the config to launch on this cloud, and the keys that it cannot follow.

        Args:
            config: the user's cluster config.
            endpoint_url: where the cloud answers the laptop.
            user: the account that the hosts let in over ssh.
            with_setup: keep what sets the hosts up.

        Raises:
            ClusterConfigError: a config without a region or zones, or with another ``provider.type``.
        """
        adapted, left_out = without_account(
            config, cls.ACCOUNT_KEYS, cls.ACCOUNT_PROVIDER_KEYS, cls.PROVIDER_TYPES, user, with_setup=with_setup
        )
        cls.place_of(config)
        cls.point_at(adapted, config, endpoint_url)
        return adapted, left_out
