"""`plan --address` and a cluster that asks for a token: without it there is one sentence, and it goes nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from accel_scaling.cli.main import main

TOKEN = "7" * 64

pytestmark = pytest.mark.since(2, 52)


class Gcs(grpc.GenericRpcHandler):  # type: ignore[misc]
    """A GCS that knows one token, or asks for none; it has no other answer than an error."""

    def __init__(self, token: str | None) -> None:
        self.token, self.told = token, list[str]()

    def service(self, details: Any) -> Any:
        given = dict(details.invocation_metadata).get("authorization", "")
        self.told.append(given)
        wrong = self.token is not None and given != f"Bearer {self.token}"
        code = grpc.StatusCode.UNAUTHENTICATED if wrong else grpc.StatusCode.UNIMPLEMENTED

        def answer(_: bytes, context: Any) -> bytes:
            text = "InvalidAuthToken: Authentication token is missing or incorrect" if wrong else "no such call"
            context.abort(code, text)
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture(name="ask")
def ask_fixture(examples: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """Ask a GCS that knows a token, with these variables; return the sentence, and the tokens that it was sent."""
    from ray._raylet import AuthenticationTokenLoader, Config

    monkeypatch.setenv("RAY_AUTH_MODE", "")
    monkeypatch.delenv("RAY_AUTH_MODE")
    servers = []

    def ask(token: str | None, **variables: str) -> tuple[str, set[str]]:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        gcs = Gcs(token)
        server = grpc.server(ThreadPoolExecutor(2), handlers=(gcs,))
        servers.append(server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        assert main(["plan", str(examples / "aws-gpu.yaml"), "--address", f"127.0.0.1:{port}"]) == 2
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("accel-scaling: ")]
        assert len(said) == 1
        sentence = said[0].partition("--address ")[2].partition(": ")[2]
        return sentence, {one for one in gcs.told if one}

    yield ask
    for server in servers:
        server.stop(None)
    monkeypatch.undo()
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


HOW = "; `ray exec CLUSTER.yaml 'ray get-auth-token'` prints the cluster's"


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({}, f"this cluster asks for a token, and there is none in ~/.ray/auth_token or RAY_AUTH_TOKEN{HOW}"),
        # Ray's own client would end the process here.
        (
            {"RAY_AUTH_MODE": "token"},
            f"this cluster asks for a token, and there is none in ~/.ray/auth_token or RAY_AUTH_TOKEN{HOW}",
        ),
        (
            {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": TOKEN},
            "this cluster asks for a token, and RAY_AUTH_MODE=disabled keeps yours back; unset the variable",
        ),
        (
            {"RAY_AUTH_TOKEN_PATH": "/no/such"},
            f"this cluster asks for a token, and RAY_AUTH_TOKEN_PATH names /no/such, which has none{HOW}",
        ),
    ],
)
def test_a_token_that_is_missing_is_one_sentence(ask: Any, variables: dict[str, str], sentence: str) -> None:
    assert ask(TOKEN, **variables) == (sentence, set())


def test_another_token_is_one_sentence_which_names_its_place(ask: Any) -> None:
    said, sent = ask(TOKEN, RAY_AUTH_TOKEN="another")
    assert said == f"this cluster refuses the token of RAY_AUTH_TOKEN{HOW}"
    assert sent == {"Bearer another"}


def test_the_token_is_sent_to_a_cluster_that_asks_for_it(ask: Any) -> None:
    assert ask(TOKEN, RAY_AUTH_TOKEN=TOKEN)[1] == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize("mode", ["token", ""])
def test_a_cluster_that_asks_for_none_is_sent_none(ask: Any, mode: str) -> None:
    said, sent = ask(None, RAY_AUTH_TOKEN=TOKEN, **({"RAY_AUTH_MODE": mode} if mode else {}))
    assert said.startswith("no Ray cluster answers there (")
    assert sent == set()
