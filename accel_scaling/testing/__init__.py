"""Local clouds for tests: real Ray, real hosts, emulated devices; only the cloud's API is a stand-in.

::

    from accel_scaling.testing import Fault, local_cloud

    with local_cloud("aws", faults=[Fault.no_driver("g5.xlarge")]) as cloud, cloud.ray_up("cluster.yaml") as cluster:
        print(cluster.exec("ray status"))

docs/testing.md explains it; `accel_scaling.testing.pytest_plugin` has it as a fixture. Names that are not in
``__all__`` may change.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from accel_scaling.testing.faults import Fault, FaultKind, all_of
from accel_scaling.testing.reservations import Reservation, reservations_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from accel_scaling.testing.base_cloud import LocalCloud

__all__ = ["Fault", "FaultKind", "Reservation", "local_cloud"]


@contextlib.contextmanager
def local_cloud(
    name: str,
    *,
    faults: Iterable[Fault | str] = (),
    reservations: Iterable[Reservation | str] = (),
    place: str = "",
    hosts: str | None = None,
    ray_in: str = "",
    shared: str = "",
    directory: Path | None = None,
) -> Iterator[LocalCloud]:
    """Start a local cloud; at the end of the block everything that it started is gone.

    Args:
        name: the cloud's name, e.g. ``aws`` or ``gcp``.
        faults: what goes wrong, as ``Fault`` or in the words of `rehearse --fault`; ``set_faults`` changes it later.
        reservations: what the account has bought, as ``Reservation`` or in the form of `rehearse --reservation`.
        place: the region (AWS), or the zones with commas between them (Google Cloud).
        hosts: ``isolated`` (namespaces and sshd; needs root) or ``processes``; None takes the best that works here.
        ray_in: the folder on the hosts that has `ray`, such as ``~/venv``, which is then not on their PATH; without it,
            the environments that the start commands of a cluster file name are made.
        shared: the folder below the hosts' home, such as ``~/runs``, that all of them share, as from a file server.
        directory: where events, logs and Ray's logs of ended machines stay; None for a folder of the block.

    Raises:
        ClusterConfigError: no such cloud has a local one.
        RehearsalError: this machine cannot carry it, or a fault or reservation that is not one.
    """
    # Imported now: the commands of plain-process hosts import this package too, at each call.
    from accel_scaling.testing.hosts.hosts import below_home
    from accel_scaling.testing.hosts.settings import HostKind
    from accel_scaling.testing.local_clouds import local_cloud_class

    kind = HostKind(hosts) if hosts else None
    wrong, bought = all_of(faults), reservations_of(reservations)  # refused before anything starts
    with contextlib.ExitStack() as stack:
        if directory is None:
            folder = tempfile.TemporaryDirectory(prefix="accel-", ignore_cleanup_errors=True)
            directory = Path(stack.enter_context(folder))
        local = local_cloud_class(name)(directory, place=place, kind=kind, ray_in=ray_in, shared=below_home(shared))
        cloud = stack.enter_context(local)
        cloud.set_faults(*wrong)
        cloud.set_reservations(*bought)
        yield cloud
