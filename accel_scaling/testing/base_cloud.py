"""A whole cloud on this machine: its API answers, and each machine is a host. See ``LocalCloud``.

Each cloud brings its own subclass: the value ``LOCAL_CLOUD`` of the part ``local_cloud`` in its folder. What differs
from cloud to cloud is declared in ``cloud_facts``.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from accel_scaling import _ray
from accel_scaling.cluster.cluster_file import read_cluster
from accel_scaling.cluster.start_commands import KEYS
from accel_scaling.errors import RehearsalError
from accel_scaling.testing.cloud_facts import CloudFacts, Config
from accel_scaling.testing.faults import Fault, all_of, write_faults
from accel_scaling.testing.hosts import ray_token
from accel_scaling.testing.hosts.cloud_process import CLOUD_PORT, CloudProcess, listening_socket
from accel_scaling.testing.hosts.events import Event, read_events
from accel_scaling.testing.hosts.hosts import choose_kind
from accel_scaling.testing.hosts.laptop import Laptop, remove_ray_ssh_folder
from accel_scaling.testing.hosts.leftovers import claim
from accel_scaling.testing.hosts.networks import claim_network
from accel_scaling.testing.hosts.processes import make_scratch
from accel_scaling.testing.hosts.python_environments import PythonEnvironments, write_environments
from accel_scaling.testing.hosts.settings import HostKind, Latencies, Settings, host_path
from accel_scaling.testing.ray_cluster import RayCluster, bring_catalog
from accel_scaling.testing.reservations import Reservation, reservations_of, write_reservations
from accel_scaling.testing.start_environments import environments_of, on_plain_processes, with_ray_in

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from types import TracebackType

    from typing_extensions import Self

    from accel_scaling.testing.faults import Faults

ISOLATED_NETWORK = "172.31"


class LocalCloud(CloudFacts):
    """A cloud on this machine, from ``with`` to the end of the block; leaves nothing behind but its directory.

    Args:
        directory: where events, logs, post-mortems and the laptop's home stay.
        place: the region or zones that exist from the start; the class's ``PLACE`` where it is empty.
        kind: what a machine is; None takes isolated hosts where they work, plain processes elsewhere.
        python: the interpreter of the environment that laptop and hosts use; Ray is in it.
        latencies: how long the cloud takes.
        ssh_user: the account on the hosts.
        with_setup: the set-up commands and file_mounts of cluster files are carried out; isolated hosts only.
        ray_in: the folder of the environment on the hosts that has `ray`, which is then not on their PATH; empty for
            what the start commands of a cluster file say.
        shared: the folder below the account's home that is one folder on all hosts, as from a file server; empty for
            none.

    Attributes:
        kind: what a machine is.
        reason: why, in one line.
        endpoint_url: where the cloud answers, as seen by this process (the laptop's is in ``settings``).
        faults: what is wrong at the moment.

    Raises:
        RehearsalError: on entering, where this machine cannot carry it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        place: str = "",
        kind: HostKind | None = None,
        python: Path = Path(sys.executable),
        latencies: Latencies | None = None,
        ssh_user: str = "ubuntu",
        with_setup: bool = False,
        ray_in: str = "",
        shared: str = "",
    ) -> None:
        self.directory = directory.absolute()
        self.kind, self.reason = choose_kind(kind, python)
        if with_setup and self.kind is HostKind.PROCESSES:
            raise RehearsalError(
                f"set-up commands would change this machine, which is also the host here ({self.reason}); they need"
                " isolated hosts"
            )
        self._with_setup, self._ray_in, self._shared = with_setup, ray_in, shared
        self.place, self._python, self._ssh_user = place or self.PLACE, python, ssh_user
        self._latencies = latencies or Latencies()
        self._settings: Settings | None = None
        self._process: CloudProcess | None = None
        self._claims = contextlib.ExitStack()
        self.endpoint_url = ""
        self.faults: Faults = ()

    # From begin to end.

    def __enter__(self) -> Self:
        for name in ("laptop/tmp", "laptop/.ssh", "postmortem"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        # The cloud's process inherits the socket: the port is known before, and no other program can take it meanwhile.
        with listening_socket() as listening:
            port = listening.getsockname()[1]
            self.endpoint_url = f"http://127.0.0.1:{port}"
            try:
                self._settings = self._make_settings()
                self._process = CloudProcess(self._settings, listening)
            # Python does not call __exit__ where __enter__ raises; Ctrl-C may come here too.
            except BaseException:
                self._clean_up()
                raise
        self._laptop = Laptop(self._settings, self._process.inner_pid)
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.close()
        self._clean_up()

    # The laptop.

    def environment(self) -> dict[str, str]:
        """Return the laptop's whole environment: this cloud and no other, a home of its own, fake credentials."""
        return self._laptop.environment()

    def run(self, argv: Sequence[str | Path], **kwargs: Any) -> subprocess.CompletedProcess[str]:
        """Run a command on the laptop; as ``subprocess.run``, with text, and ``cwd`` and ``env`` on the laptop."""
        return self._laptop.run(argv, **kwargs)

    def popen(self, argv: Sequence[str | Path], **kwargs: Any) -> subprocess.Popen[str]:
        """Start a command on the laptop; as ``subprocess.Popen``, with text."""
        return self._laptop.popen(argv, **kwargs)

    def write_cluster(self, config: Config) -> tuple[RayCluster, list[str]]:
        """Write a cluster file for this cloud; return the cluster, not yet up, and the keys that are left out.

        Args:
            config: the user's cluster config.

        Raises:
            ClusterConfigError: the config is not one for this cloud.
        """
        adapted, left_out = self.adapted(
            config, self.settings.endpoint_url, self._ssh_user, with_setup=self._with_setup
        )
        for remote, path in (adapted.get("file_mounts") or {}).items():
            adapted["file_mounts"][remote] = str(Path(str(path)).expanduser())  # of the user's home, not the laptop's
        self._put_environments(config, adapted)
        ray_token.keep_asking(adapted, self.kind)
        # The laptop has a home of its own, without the user's catalog files.
        bring_catalog(adapted, self.settings.laptop)
        path = self.directory / "cluster.yaml"
        path.write_text(yaml.safe_dump(adapted, sort_keys=False), encoding="utf-8")
        return RayCluster(self._laptop, path, adapted), left_out

    def environments(self, config: Config) -> PythonEnvironments:
        """Return the Python environments that hosts of this cluster get, from which its start commands take `ray`."""
        found = PythonEnvironments() if self._with_setup else environments_of(config)  # set-up commands make them
        return with_ray_in(found, self._ray_in) if self._ray_in else found

    def _put_environments(self, config: Config, adapted: Config) -> None:
        environments = self.environments(config)
        write_environments(self.settings.environments_file, environments)
        if self.kind is HostKind.PROCESSES and environments:
            for key in (key for key in KEYS if adapted.get(key)):  # where there is none, Ray's own come
                adapted[key] = [on_plain_processes(str(command), environments) for command in adapted[key]]

    def ray_up(self, config: Config | Path | str) -> RayCluster:
        """Launch a cluster on this cloud with `ray up`; leave it with ``down()``, or use it as a context manager.

        Args:
            config: a cluster config, or the path of a cluster file, as for the real cloud. What names things of an
                account, and the commands that install software, are left out.

        Raises:
            ClusterConfigError: it is no config for this cloud.
            RehearsalError: `ray up` failed; with the end of its output.
        """
        cluster, _ = self.write_cluster(read_cluster(Path(config)).config if isinstance(config, str | Path) else config)
        cluster.up()
        return cluster

    # The cloud.

    @property
    def settings(self) -> Settings:
        """The settings of the cloud, while it runs."""
        if self._settings is None:
            raise RuntimeError("a local cloud is used as a context manager: `with local_cloud(...) as cloud:`")
        return self._settings

    def set_faults(self, *faults: Fault | str) -> None:
        """Make these go wrong from now on, and no others; machines that are up keep their devices.

        Raises:
            RehearsalError: a text that describes no fault; see ``Fault.parse``.
        """
        self.faults = all_of(faults)
        write_faults(self.settings.faults_file, self.faults)

    def set_reservations(self, *reservations: Reservation | str) -> None:
        """Give the account these reservations from now on, and no others; their times count from now.

        Raises:
            RehearsalError: a text that describes none; see ``Reservation.parse``.
        """
        write_reservations(self.settings.reservations_file, reservations_of(reservations), time.time())

    def events(self) -> list[Event]:
        """Return the events so far, oldest first."""
        return read_events(self.settings.events_file)

    def host_file(self, instance_id: str, path: str | Path) -> Path:
        """Return the path by which this process can read a file of a host that is up.

        A ``path`` without a leading slash is relative to the account's home. ``/tmp`` is the host's own in both kinds;
        other absolute paths are the host's own on isolated hosts only.
        """
        inner_pid = self._process.inner_pid if self._process else 0
        return host_path(self.settings, inner_pid, instance_id, self._address(instance_id), path)

    def _address(self, instance_id: str) -> str:
        # A machine that waits for capacity has none yet.
        addresses = [event.address for event in self.events() if event.instance_id == instance_id and event.address]
        if not addresses:
            raise RehearsalError(f"the local {self.CLOUD} has no machine {instance_id}")
        return addresses[0]

    def _make_settings(self) -> Settings:
        isolated = self.kind is HostKind.ISOLATED
        network = ISOLATED_NETWORK if isolated else self._claim_network()
        endpoint = f"http://{ISOLATED_NETWORK}.255.254:{CLOUD_PORT}" if isolated else self.endpoint_url
        cloud_id, scratch = "cloud" + secrets.token_hex(4), make_scratch()
        self._claims.callback(os.close, claim(scratch, cloud_id))
        return Settings(
            cloud=self.CLOUD,
            module=self.MODULE,
            cloud_id=cloud_id,
            kind=self.kind,
            place=self.place,
            directory=self.directory,
            scratch=scratch,
            python=self._python.absolute(),
            ssh_user=self._ssh_user,
            network=network,
            endpoint_url=endpoint,
            environment={
                **self._cloud_environment(endpoint),
                "RAY_USAGE_STATS_ENABLED": "0",
                # An emulated head of 64 CPUs would start 64 workers on this machine: 0.6 s of CPU and 60 MB each.
                _ray.PRESTARTED_WORKERS: "0",
                **ray_token.of_all(self.kind),
            },
            laptop_environment=ray_token.of_laptop(self.kind),
            latencies=self._latencies,
            metadata_port=self.METADATA_PORTS.get(self.kind, 0),
            metadata_address=self.METADATA_ADDRESS,
            shared=self._shared,
        )

    def _claim_network(self) -> str:
        network, holder = claim_network()
        self._claims.enter_context(holder)
        return network

    def _clean_up(self) -> None:
        self._claims.close()
        if self._settings is not None:
            shutil.rmtree(self._settings.scratch, ignore_errors=True)
            remove_ray_ssh_folder(self._settings.cloud_id)
