"""The networks of plain-process hosts: among the loopback addresses, one for each local cloud of this machine.

All plain-process hosts listen in this machine's one network. Two local clouds with the same addresses would take each
other's ports: a host would not boot, or a node would join the other cluster.
"""

from __future__ import annotations

import errno
import random
import socket
from typing import TYPE_CHECKING

from accel_scaling.errors import RehearsalError

if TYPE_CHECKING:
    from collections.abc import Iterable

_NUMBERS = range(64, 254)


def claim_network(numbers: Iterable[int] = _NUMBERS) -> tuple[str, socket.socket]:
    """Claim a network of loopback addresses; return its first two bytes, and the socket that holds the claim.

    The claim is a name that only one socket at a time can have in this machine's network, of whatever account it is.
    The kernel releases it with the socket, however its process ended.

    Args:
        numbers: the second bytes to choose from.

    Raises:
        RehearsalError: all are taken.
    """
    choices = list(numbers)
    for number in random.sample(choices, len(choices)):
        network, holder = f"127.{number}", socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            holder.bind(f"\0accel_scaling local cloud {network}")
        except OSError as error:
            holder.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return network, holder
    raise RehearsalError(
        f"{len(choices)} local clouds with plain-process hosts run on this machine, and no more loopback addresses are"
        " free; wait until one has ended"
    )
