"""EC2 has the last word on what a region has; where the account may not ask it, the catalog's files have."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from accel_scaling.cluster.cluster import read_config
from accel_scaling.errors import ClusterConfigError
from accel_scaling.fill.fill import fill_cluster
from accel_scaling.providers.aws import bootstrap
from tests.support.aws_account import use_account
from tests.support.cluster import MODULE

NOT_ALLOWED = (
    b"<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized.</Message></Error>"
    b"</Errors><RequestID>0</RequestID></Response>"
)


def cluster(machine: str, region: str) -> dict[str, Any]:
    return {
        "provider": {"type": "external", "module": MODULE, "region": region},
        "head_node_type": "head",
        "available_node_types": {"head": {"node_config": {"InstanceType": machine}}},
    }


class Refusing(BaseHTTPRequestHandler):
    """EC2 for an account that may not ask."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(403)
        self.send_header("Content-Length", str(len(NOT_ALLOWED)))
        self.end_headers()
        self.wfile.write(NOT_ALLOWED)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(name="account")
def account_fixture(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Credentials that any of these servers takes, and a home without a catalog."""
    monkeypatch.setenv("HOME", str(home))
    use_account(monkeypatch)


@pytest.fixture
def refusing(account: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def ec2(account: None, moto_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """moto's EC2. Ray keeps its client of each region: no test shares one with `refusing`."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)


@pytest.mark.usefixtures("refusing")
def test_where_the_account_may_not_ask_the_files_are_gone_by() -> None:
    bootstrap.check(read_config(cluster("p4d.24xlarge", "eu-west-1")))
    with pytest.raises(
        ClusterConfigError,
        match=r"eu-south-1 does not have p4d\.24xlarge, according to "
        r"aws_places\.csv",
    ):
        bootstrap.check(read_config(cluster("p4d.24xlarge", "eu-south-1")))


@pytest.mark.usefixtures("ec2")
def test_what_ec2_offers_is_not_refused_though_a_file_says_otherwise(home: Path) -> None:
    rows = "region,types,zones,source\nap-south-1,p4d.24xlarge,-,\n"
    (home / ".accel_scaling" / "aws_places.csv").write_text(rows)
    config = cluster("p4d.24xlarge", "ap-south-1")
    filled, _ = fill_cluster(read_config(config), offerings=False)  # as `ray up` does before it asks
    assert filled["available_node_types"]["head"]["resources"]
    bootstrap.check(read_config(config))
    with pytest.raises(ClusterConfigError, match=r"ap-south-1 does not have p4d\.24xlarge"):
        fill_cluster(read_config(config))


@pytest.mark.usefixtures("ec2")
def test_what_ec2_does_not_offer_is_refused_with_the_nearest_regions() -> None:
    with pytest.raises(ClusterConfigError) as error:
        bootstrap.check(read_config(cluster("p4d.24xlarge", "us-west-1")))
    assert str(error.value) == (
        "available_node_types.head: EC2 does not offer p4d.24xlarge in us-west-1; the nearest regions that do: "
        "us-west-2, us-east-1, us-east-2 and 10 more; choose another region or type"
    )
