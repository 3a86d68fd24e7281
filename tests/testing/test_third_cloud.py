"""A local cloud of a made-up third cloud: its folder brings it, and nothing else names it."""

from __future__ import annotations

import shutil
import urllib.request
from pathlib import Path

import pytest

import accel_scaling.providers
from accel_scaling.testing import local_cloud

NIMBUS = Path(__file__).resolve().parents[1] / "data" / "nimbus"

LOCAL_CLOUD = """
from accel_scaling.testing.local_clouds import LocalCloud


class LocalNimbus(LocalCloud):
    CLOUD = "Nimbus"
    MODULE = "nimbus_process"
    PLACE = "oslo1"

    def _cloud_environment(self, endpoint_url):
        return {"NIMBUS_URL": endpoint_url}


LOCAL_CLOUD = LocalNimbus
"""

PROCESS = """
import http.server, socket, sys, threading

from accel_scaling.testing.hosts.cloud_process import run


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"Nimbus")

    def log_message(self, *_):
        pass


class Nimbus:
    def __init__(self, settings, hosts, events, listen, inherited):
        self.server = http.server.ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False)
        self.server.socket = socket.socket(fileno=inherited[0])
        self.ports = [self.server.socket.getsockname()[1]]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def step(self):
        pass

    def close(self):
        self.server.shutdown()


sys.exit(run(sys.argv[1:], Nimbus))
"""


def test_a_cloud_brings_its_local_one_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(NIMBUS, tmp_path / "providers" / "nimbus", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "providers" / "nimbus" / "local_cloud.py").write_text(LOCAL_CLOUD)
    (tmp_path / "nimbus_process.py").write_text(PROCESS)
    folders = [*accel_scaling.providers.__path__, str(tmp_path / "providers")]
    monkeypatch.setattr(accel_scaling.providers, "__path__", folders)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with local_cloud("nimbus", hosts="processes") as cloud:
        with urllib.request.urlopen(cloud.endpoint_url, timeout=10) as answer:
            assert answer.read() == b"Nimbus"
        done = cloud.run(["sh", "-c", "echo $NIMBUS_URL"], capture_output=True)
        assert done.stdout.strip() == cloud.endpoint_url
