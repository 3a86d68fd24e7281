"""moto's EC2 and IAM in this process, served to the laptop, to the hosts, and to whoever started us."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT = "123456789012"
"""moto's account; the process is fresh, so the account is."""

INSTANCE_PROFILE = "ray-autoscaler-v1"
"""The profile that Ray makes for itself (ray/autoscaler/_private/aws/config.py), waiting 15 s twice."""


class Ec2Server:
    """moto behind one or two listening sockets.

    Args:
        listen: (address, port) pairs to bind here; port 0 takes a free one.
        inherited: file descriptors that listen already, e.g. in another network namespace.
    """

    def __init__(self, listen: list[tuple[str, int]], inherited: list[int]) -> None:
        os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
        from moto.moto_server.werkzeug_app import (
            DomainDispatcherApplication,
            MotoRequestHandler,
            create_backend_app,
        )
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for each request hides the errors
        app = DomainDispatcherApplication(create_backend_app)
        options: dict[str, Any] = {"threaded": True, "request_handler": MotoRequestHandler}
        self._servers: list[Any] = [make_server(host, port, app, **options) for host, port in listen]
        self._servers += [make_server("127.0.0.1", 0, app, fd=fd, **options) for fd in inherited]
        for server in self._servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
        self._make_instance_profile()

    @property
    def ports(self) -> list[int]:
        """Return the port of each server, in the order of ``listen`` and then ``inherited``."""
        return [server.socket.getsockname()[1] for server in self._servers]

    def instances(self) -> Iterator[tuple[Any, Any]]:
        """Yield each (EC2 backend, instance) of each region, terminated ones too."""
        from moto.ec2 import ec2_backends

        for backend in list(ec2_backends[ACCOUNT].values()):
            for instance in backend.all_instances():
                yield backend, instance

    def close(self) -> None:
        """Stops answering."""
        for server in self._servers:
            server.shutdown()

    def _make_instance_profile(self) -> None:
        """Straight into moto's model, before the first request comes in."""
        from moto.iam.models import iam_backends

        backend = iam_backends[ACCOUNT]["aws"]
        named: dict[str, Any] = {"path": "/", "tags": []}
        backend.create_role(
            role_name=INSTANCE_PROFILE,
            assume_role_policy_document="{}",
            permissions_boundary=None,
            description="",
            max_session_duration="3600",
            **named,
        )
        backend.create_instance_profile(name=INSTANCE_PROFILE, role_names=[INSTANCE_PROFILE], **named)
