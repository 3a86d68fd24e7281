"""The networks of plain-process hosts: one local cloud at a time has each, as they all listen on this machine."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.hosts.networks import claim_network

# Names only, which no local cloud takes; of this process, as others may run these tests at the same time.
ONE, OTHER = 1000 + 2 * os.getpid(), 1001 + 2 * os.getpid()
CLAIM_AND_END = "import os, sys; from accel_scaling.testing.hosts.networks import claim_network as claim; "
CLAIM_AND_END += "kept = claim([int(sys.argv[1])]); print(kept[0], flush=True); os.kill(os.getpid(), 9)"


def test_a_network_is_claimed_once_until_its_socket_is_closed() -> None:
    first, holder = claim_network([ONE, OTHER])
    with holder:
        second, other = claim_network([ONE, OTHER])
        with other:
            assert {first, second} == {f"127.{ONE}", f"127.{OTHER}"}
            with pytest.raises(RehearsalError, match="2 local clouds with plain-process hosts run on this machine"):
                claim_network([ONE, OTHER])
    third, holder = claim_network([ONE])
    holder.close()
    assert third == f"127.{ONE}"


def test_the_network_of_a_process_that_was_killed_is_free() -> None:
    words = [sys.executable, "-c", CLAIM_AND_END, str(ONE)]
    assert subprocess.run(words, capture_output=True, text=True, check=False).stdout == f"127.{ONE}\n"
    claim_network([ONE])[1].close()
