"""A rehearsal: real Ray and `ray up` on a local cloud; printed as a timeline, and removed whatever happens."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling import timeouts
from accel_scaling.cluster.cluster import read_config
from accel_scaling.fill.fill import fill
from accel_scaling.status_line import StatusLine
from accel_scaling.terminal import wrapped
from accel_scaling.testing.devices.hardware import write_user_hardware
from accel_scaling.testing.fault_source import FaultSource
from accel_scaling.testing.file_machines import Machines
from accel_scaling.testing.hosts.hosts import below_home
from accel_scaling.testing.hosts.leftovers import PREFIX, claim, remove_leftovers
from accel_scaling.testing.local_clouds import local_cloud_of
from accel_scaling.testing.ray_cluster import SETUP, RayUpError
from accel_scaling.testing.rehearse.act import Act
from accel_scaling.testing.rehearse.command import shell_line
from accel_scaling.testing.rehearse.demands import demands_of, with_marks
from accel_scaling.testing.rehearse.user_hardware import introduced, user_machines
from accel_scaling.testing.reservations import Reservation, Reservations, of_file
from accel_scaling.testing.start_environments import ulimits_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from accel_scaling.catalog.load import Catalog
    from accel_scaling.cluster.cluster import Cluster
    from accel_scaling.terminal import Stream
    from accel_scaling.testing.base_cloud import LocalCloud
    from accel_scaling.testing.hosts.python_environments import PythonEnvironments
    from accel_scaling.testing.hosts.settings import HostKind
    from accel_scaling.testing.rehearse.user_hardware import UserMachine


@dataclass
class Rehearsal:
    """One run of the whole loop for a cluster config.

    Attributes:
        config: the user's cluster config.
        catalog: what the promises come from.
        command: what to run on the cluster's head; empty for a task per accelerator type.
        faults: what goes wrong, from the start or later.
        reservations: what the account has bought; those of the file that are not among them have places for all.
        kind: isolated hosts or plain processes; None chooses.
        with_setup: the file's set-up commands run on the hosts, which must be isolated.
        ray_in: the environment on the hosts that has `ray`; empty for what the start commands say.
        shared: the folder below the hosts' home, such as ``~/runs``, that all of them share; empty for none.
        timeout_s: how long tasks may stay pending.
        out: the stream of the output.
    """

    config: dict[str, Any]
    catalog: Catalog
    command: Sequence[str] = ()
    faults: FaultSource = field(default_factory=FaultSource)
    reservations: Sequence[Reservation] = ()
    kind: HostKind | None = None
    with_setup: bool = False
    ray_in: str = ""
    shared: str = ""
    timeout_s: float = timeouts.REHEARSAL_TASK_TIMEOUT_S
    out: Stream = sys.stdout

    def __post_init__(self) -> None:
        self.line = StatusLine(self.out)

    def run(self) -> int:
        """Bring the cluster up, run the command, tear everything down; return the command's exit code.

        Raises:
            RehearsalError: a machine type that cannot be emulated, or `ray up` failed.
        """
        cloud = local_cloud_of(self.config)
        # Of the user's whole file: what a rehearsal leaves out, such as containers, is noted anyway.
        notes = [f"note: {note}" for note in fill(self.config, self.catalog)[1]]
        read_config(self.config, self.catalog).check_told()  # the local cloud has none of the account's templates
        user_types = user_machines(self.config, self.catalog, cloud)  # refuses what cannot be emulated
        reservations = self._reservations()
        shell_line(self.command)  # refuses files that are too large
        with self._begun(cloud, user_types, reservations) as local:
            config = self.config if self.command else with_marks(self.config, self.catalog)
            cluster, left_out = local.write_cluster(config)
            filled, _ = fill(cluster.config, self.catalog)
            bought = [f"emulated reservation {one.text()}" for one in reservations]
            self._introduce(local, left_out, [*bought, *introduced(user_types), *notes])
            act = Act(local, cluster, filled, line=self.line, faults=self.faults, timeout_s=self.timeout_s)
            try:
                return act.play(self.command, demands_of(self.config, self.catalog))
            except RayUpError as error:
                raise _kept(error, _left_out_setup(left_out)) from None

    @contextlib.contextmanager
    def _begun(
        self, cloud: type[LocalCloud], user_types: dict[str, UserMachine], reservations: Reservations
    ) -> Iterator[LocalCloud]:
        remove_leftovers()
        with (
            # In this order: the cloud ends, and with it all that writes into the folder, before the folder is removed.
            tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder,
            contextlib.ExitStack() as stack,
        ):
            stack.callback(os.close, claim(Path(folder)))
            # Before the cloud starts: its process reads them once, at its start.
            write_user_hardware(Path(folder), {name: machine.hardware for name, machine in user_types.items()})
            with self.line.doing(f"{cloud.CLOUD} starts on this machine"):
                place = cloud.place_of(self.config)
                local = stack.enter_context(
                    cloud(
                        Path(folder),
                        place=place,
                        kind=self.kind,
                        with_setup=self.with_setup,
                        ray_in=self.ray_in,
                        shared=below_home(self.shared),
                    )
                )
            local.set_faults(*self.faults.now)
            local.set_reservations(*reservations)
            yield local

    def _reservations(self) -> Reservations:
        cluster = read_config(self.config, self.catalog)
        return of_file(
            self.reservations, local_cloud_of(self.config).reservations_of(self.config), machines_of(cluster)
        )

    def _introduce(self, local: LocalCloud, left_out: list[str], user_lines: list[str]) -> None:
        name = self.config.get("cluster_name", "cluster")
        lines = [
            f"rehearsal of {name}: real Ray and its autoscaler; {local.CLOUD} and the devices are emulated",
            f"hosts: {local.reason.replace('isolated hosts:', 'isolated:')}",
        ]
        if left_out:
            lines.append(f"not rehearsed: {grouped(left_out, list(self.config['available_node_types']))}")
        if self.with_setup:
            lines.append("set-up commands run on the hosts, which cannot reach the internet: downloads fail there")
        lines += [*_environment_lines(local.environments(self.config)), *_limit_lines(self.config), *user_lines]
        self.line.write("".join(f"{wrapped(line, stream=self.line)}\n" for line in lines) + "\n")
        self.line.flush()


def _left_out_setup(left_out: Sequence[str]) -> list[str]:
    """Return the keys with set-up commands that are left out."""
    return [key for key in left_out if key.rsplit(".", 1)[-1] in SETUP]


def _kept(error: RayUpError, left_out: Sequence[str]) -> RayUpError:
    """Return the error with what to do, and with the output in a file that outlives the rehearsal."""
    number, path = tempfile.mkstemp(prefix="ray-up-", suffix=".log")
    with os.fdopen(number, "wb") as file:
        file.write(error.log.read_bytes())
    failed = error.failure.command
    advice = f"; {' and '.join(left_out)} were left out: --with-setup runs them" if failed and left_out else ""
    return RayUpError(error.failure, error.head, Path(path), advice)


def _environment_lines(environments: PythonEnvironments) -> list[str]:
    """Return the line about the environments from which the start commands take `ray`."""
    if not environments:
        return []
    where = "on the hosts' PATH, and in" if environments.ray_on_path else "not on the hosts' PATH; it is in"
    return [f"`ray` is {where} {environments.text()}: stand-ins, each with this machine's Ray"]


def _limit_lines(config: dict[str, Any]) -> list[str]:
    """Return the line about limits of open files that this machine does not allow."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    beyond = [number for number in ulimits_of(config) if 0 <= allowed < number]
    if not beyond:
        return []
    return [f"`ulimit -n {max(beyond)}` of the start commands is ignored: this machine allows {allowed} open files"]


def grouped(left_out: Sequence[str], node_types: Sequence[str]) -> str:
    """Return the keys that are left out in one line: those of node types once, with the node types that have them."""
    owners: dict[str, list[str]] = {}
    plain: list[str] = []
    for key in left_out:
        owner = next((name for name in node_types if key.startswith(f"{name}.")), None)
        if owner is None:
            plain.append(key)
        else:
            owners.setdefault(key.removeprefix(f"{owner}.").removeprefix("node_config."), []).append(owner)
    by_owners: dict[tuple[str, ...], list[str]] = {}
    for key, names in owners.items():
        by_owners.setdefault(tuple(names), []).append(key)
    parts = [", ".join(plain)] if plain else []
    for who, keys in by_owners.items():
        whose = "all node types" if len(who) == len(node_types) else ", ".join(who)
        parts.append(f"{', '.join(keys)} (of {whose})")
    return "; ".join(parts)


def machines_of(cluster: Cluster) -> Machines:
    """Return the machines that the faults of a rehearsal of this cluster file must be for.

    Raises:
        ClusterConfigError: its cloud has no local one.
    """
    local = local_cloud_of(cluster.config)
    accelerators = {}
    for one in cluster.node_types.values():
        accelerators[local.machine_name(one.node_config)] = one.machine.machine.count
        accelerators |= {other.name: other.machine.count for other in one.others}
    zones = local.place_of(cluster.config).split(",") if local.FAULTS_BY_ZONE else ()
    return Machines(accelerators, zones, local.MACHINES_WAIT)
