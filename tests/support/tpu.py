"""A TPU host for tests: emulated devices, a real metadata server, and Ray's own detection looking at both."""

from __future__ import annotations

import contextlib
import glob
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from accel_scaling.families.inventory import SYSROOT
from accel_scaling.testing.devices.device_faults import with_fault
from accel_scaling.testing.devices.device_files import install
from accel_scaling.testing.devices.gcp_machines import hardware_of_tpu, slice_of
from accel_scaling.testing.gce.metadata_server import of_slice_host

ROOT_OF_METADATA = "/computeMetadata/v1/"


@contextlib.contextmanager
def metadata_server(metadata: dict[str, str], status: int = 0) -> Iterator[str]:
    """A metadata server on this machine; a status other than 0 is all that it answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = metadata.get(self.path.removeprefix(ROOT_OF_METADATA))
            good = self.headers.get("Metadata-Flavor") == "Google" and text is not None
            self.send_response(status or (200 if good else 404))
            self.end_headers()
            self.wfile.write((text or "").encode() if good else b"")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def node_of(accelerator_type: str, topology: str = "") -> dict[str, Any]:
    """A slice as Cloud TPU describes it."""
    shape = slice_of(accelerator_type)
    config = {"acceleratorConfig": {"topology": topology}} if topology else {}
    return {
        "name": "projects/p/locations/us-central2-b/nodes/ray-x-tpu",
        "id": "1",
        "acceleratorType": accelerator_type,
        "networkEndpoints": [{"ipAddress": f"10.0.0.{number}"} for number in range(shape.hosts)],
        **config,
    }


class Below:
    """The module os, with its listings below a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def listdir(self, path: str) -> list[str]:
        return os.listdir(f"{self._root}{path}")  # noqa: PTH208 - stands for it

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


@pytest.fixture(name="tpu_host")
def tpu_host_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Make this very process a host of a slice: for us by its root and metadata server, for Ray by what it opens."""
    with contextlib.ExitStack() as stack:

        def become(accelerator_type: str, number: int = 0, *, fault: str = "", status: int = 0) -> Path:
            from ray._private.accelerators import tpu as rays

            root = tmp_path / f"{accelerator_type}-{number}-{fault.replace(':', '_')}"
            hardware, _ = hardware_of_tpu(accelerator_type)
            install(root, with_fault(hardware, fault) if fault else hardware)
            address = stack.enter_context(
                metadata_server(of_slice_host(node_of(accelerator_type), number, "p"), status)
            )
            monkeypatch.setenv(SYSROOT, str(root))
            monkeypatch.setenv("GCE_METADATA_HOST", address)
            url = f"http://{address}{ROOT_OF_METADATA}instance/attributes/"
            monkeypatch.setattr(rays, "GCE_TPU_ACCELERATOR_ENDPOINT", url)
            # Ray's own modules stay as they are: only what this one module of Ray's opens is below the root.
            below = SimpleNamespace(glob=lambda pattern: glob.glob(f"{root}{pattern}"))  # noqa: PTH207 - stands for it
            monkeypatch.setattr(rays, "glob", below)
            monkeypatch.setattr(rays, "os", Below(root))
            monkeypatch.setattr(rays, "open", lambda path, **how: Path(f"{root}{path}").open(**how), raising=False)  # noqa: SIM115
            rays.TPUAcceleratorManager.get_current_node_num_accelerators.cache_clear()
            return root

        yield become
