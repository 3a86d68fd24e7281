"""The ``sitecustomize.py`` of plain-process hosts: it hides what a machine of its own would not have.

A fresh machine image does not hold accel_scaling or the packages of plug-in families, and the environment that the
hosts share with the laptop may have them installed: on a host they may come only from the host's own directory, where
they must have been put. On Google's machines ``metadata.google.internal`` is each machine's own. And Ray's own servers
that would listen on all addresses listen on loopback addresses only: whoever else is in this machine's network must
not read from a rehearsal. Imports nothing of this package: it is read where the package can't be imported.
"""

import importlib.machinery
import os
import sys

HOST_FOLDER_VARIABLE = "ACCEL_SCALING_HOST_FOLDER"
METADATA_VARIABLE = "ACCEL_SCALING_METADATA_SERVER"
ADDRESS_VARIABLE = "ACCEL_SCALING_ADDRESS"  # as in host_records
SERVERS_VARIABLE = "ACCEL_SCALING_RAY_SERVERS"  # the folders of Ray's servers in Python
METADATA_NAME = "metadata.google.internal"
HIDDEN_VARIABLE = "ACCEL_SCALING_HIDDEN"
HIDDEN = "accel_scaling"


class OnlyFromThisHost:
    """A finder, first in ``sys.meta_path``, that sees accel_scaling and plug-ins below one folder only."""

    def __init__(self, folder: str, plug_ins: str = "") -> None:
        self._hidden = {HIDDEN, *plug_ins.split(",")}
        self._folder = os.path.join(os.path.realpath(folder), "")  # noqa: PTH118 - no import at each start

    def find_spec(
        self, name: str, path: object = None, target: object = None
    ) -> "importlib.machinery.ModuleSpec | None":
        """Answer for the packages alone; their modules are found through their own path."""
        del path, target
        if name not in self._hidden:
            return None
        here = [entry for entry in sys.path if os.path.realpath(entry).startswith(self._folder)]
        spec = importlib.machinery.PathFinder.find_spec(name, here)
        if spec is None:  # to return None would let the next finder look into the shared environment
            raise ModuleNotFoundError(f"No module named {name!r} (it has not been put on this host)", name=name)
        return spec


def resolve_metadata_name(server: str) -> None:
    """Make the metadata server's name mean ``server`` (address:port) in this process, as a machine's network does."""
    import socket

    address, _, port = server.rpartition(":")
    resolve = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN002, ANN003, ANN202
        # args[0] is the port that the client wants, 80 in a URL without one, where only root may listen.
        if host in (METADATA_NAME, METADATA_NAME.encode()):
            return resolve(address, int(port), *args[1:], **{k: v for k, v in kwargs.items() if k != "port"})
        return resolve(host, *args, **kwargs)

    socket.getaddrinfo = getaddrinfo


def listen_on_loopback_only(address: str) -> None:
    """Make the servers of this process that ask for all addresses listen on loopback addresses of this machine only.

    Args:
        address: this host's. A server with a port of its own choice is asked for there, by Ray's list of nodes; one
            with a fixed port (metrics of dashboard and autoscaler) at ``localhost``.
    """
    import socket

    bind = socket.socket.bind

    def bind_here(self, where):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        if self.family in (socket.AF_INET, socket.AF_INET6) and where[0] in ("", "0.0.0.0", "::"):  # noqa: S104
            host = address if where[1] == 0 else "127.0.0.1"
            where = ("::ffff:" * (self.family == socket.AF_INET6) + host, *where[1:])
        return bind(self, where)

    socket.socket.bind = bind_here  # type: ignore[method-assign]


def is_server_of_ray(words: "list[str]", folders: "str | None") -> bool:
    """Return whether a command line starts a program of one of these folders, with commas between them."""
    return folders is not None and any(
        word.endswith(".py") and any(folder in word for folder in folders.split(",")) for word in words
    )


if __name__ == "sitecustomize" and is_server_of_ray(sys.orig_argv, os.environ.get(SERVERS_VARIABLE)):
    listen_on_loopback_only(os.environ[ADDRESS_VARIABLE])
if __name__ == "sitecustomize" and METADATA_VARIABLE in os.environ:
    resolve_metadata_name(os.environ[METADATA_VARIABLE])
if __name__ == "sitecustomize" and HOST_FOLDER_VARIABLE in os.environ:
    sys.meta_path.insert(0, OnlyFromThisHost(os.environ[HOST_FOLDER_VARIABLE], os.environ.get(HIDDEN_VARIABLE, "")))
