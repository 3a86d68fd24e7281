"""The identity of a TPU host, as Ray asks: its environment (GKE), else Google's metadata server (Compute Engine)."""

from __future__ import annotations

import http
import http.client
import os
import re
from dataclasses import dataclass

from accel_scaling.timeouts import METADATA_SERVER_S

# Google's own libraries read it: google-auth, google/auth/compute_engine/_metadata.py.
HOST_VARIABLE = "GCE_METADATA_HOST"
HOST = "metadata.google.internal"
ATTRIBUTES = "/computeMetadata/v1/instance/attributes/"

# Attribute and the variable that goes before it: ray/_private/accelerators/tpu.py.
ACCELERATOR_TYPE = ("accelerator-type", "TPU_ACCELERATOR_TYPE")
WORKER_ID = ("agent-worker-number", "TPU_WORKER_ID")

_POD_TYPE = re.compile(r"(?:v|tpu)\d+[a-zA-Z]*-\d+")


@dataclass(frozen=True)
class Identity:
    """The slice that this host is in, by its own word.

    Attributes:
        pod_type: the slice's type as Ray writes it (``v4-16``, ``v7x-8``), empty where nobody says.
        worker_id: this host's number in its slice, None where nobody says.
        trouble: why something is missing, as the middle of a sentence.
        silent: whether that is because the metadata server did not answer: it may, a moment later.
    """

    pod_type: str = ""
    worker_id: int | None = None
    trouble: str = ""
    silent: bool = False

    @property
    def ray_type(self) -> str | None:
        """The accelerator_type that Ray 2.60 announces."""
        return f"TPU-{self.pod_type.split('-')[0].upper()}" if self.pod_type else None


def identity() -> Identity:
    """Ask; never raises."""
    values, trouble = [], []
    for attribute, variable in (ACCELERATOR_TYPE, WORKER_ID):
        value: str | None = os.environ.get(variable)
        if not value:
            try:
                value = ask(attribute)
            except SilentError as error:
                return Identity(trouble=str(error), silent=True)
            if value is None:
                trouble.append(f"the metadata server has no {attribute}")
        values.append((value or "").strip())
    name, number = values
    pod_type = re.sub(r"^tpu-?v?", "v", name.lower()) if _POD_TYPE.fullmatch(name) else ""
    if name and not pod_type:
        trouble.append(f"{ACCELERATOR_TYPE[0]} is {name!r}, which is no TPU's")
    return Identity(pod_type, int(number) if number.isdecimal() else None, "; ".join(trouble))


class SilentError(Exception):
    """The metadata server does not answer, or with an error of its own."""


def ask(attribute: str) -> str | None:
    """Return an attribute of this instance; None where it has none.

    Raises:
        SilentError: nobody answers.
    """
    host = os.environ.get(HOST_VARIABLE) or HOST
    connection = http.client.HTTPConnection(host, timeout=METADATA_SERVER_S)
    try:
        connection.request("GET", ATTRIBUTES + attribute, headers={"Metadata-Flavor": "Google"})
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise SilentError(f"the metadata server {host} does not answer ({error})") from None
    finally:
        connection.close()
    if answer.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        raise SilentError(f"the metadata server {host} answers with HTTP {answer.status}")
    return text if answer.status == http.HTTPStatus.OK else None
