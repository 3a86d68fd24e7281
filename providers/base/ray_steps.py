"""Ray's own steps in an account at `ray up`: what stops them is one sentence, without PANIC lines and tracebacks.

Ray stops by `cli_logger.abort`, by assertions, and by errors of Python where an answer lacks what it takes for granted.
The errors of a cloud's SDK pass through: each cloud has sentences for them.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from accel_scaling import _ray
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.base.error_rules import one_line, whole_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

# What Python raises where an answer, or the cluster file, lacks what Ray takes for granted.
_UNCHECKED = AssertionError | AttributeError | IndexError | KeyError | NotImplementedError | TypeError | ValueError


def check_private_key(config: Mapping[str, Any]) -> None:
    """Refuse a private key that is not on this machine: nobody would reach the machines with it.

    Raises:
        ClusterConfigError: names it.
    """
    path = (config.get("auth") or {}).get("ssh_private_key")
    if path and not Path(str(path)).expanduser().is_file():
        raise ClusterConfigError(
            f"auth.ssh_private_key is {path}, which is not on this machine; name the private key of the machines' "
            f"key pair, or leave it out to let Ray make a key pair"
        )


@contextlib.contextmanager
def said_in_one_sentence(
    cloud: str, remedies: Sequence[tuple[str, str]], sentence_of: Callable[[BaseException], str | None]
) -> Iterator[None]:
    """Turn what stops Ray's steps into one sentence.

    Args:
        cloud: whose account it is, for the sentence.
        remedies: a part of Ray's text in lower case, and what to do then.
        sentence_of: the cloud's own sentence for an error of its SDK; None for any other error.

    Raises:
        ClusterConfigError: Ray stopped.
        Exception: an error of the cloud's SDK, which Ray has passed on.
    """
    with _ray.collected_panics() as panics:
        try:
            yield
        except Exception as error:
            # Where an operation has failed, Ray raises a plain Exception.
            if type(error) is not Exception and not isinstance(error, click.ClickException | _UNCHECKED):
                raise
            # An SDK's error may be a ValueError too; and Ray hides one behind its own, which says less.
            for cause in (error, error.__cause__, error.__context__):
                if cause is not None and (sentence := sentence_of(cause)):
                    raise ClusterConfigError(sentence) from None
            text = one_line(panics[0] if panics else _text_of(error))
            remedy = next((f"; {remedy}" for part, remedy in remedies if part in text.lower()), "")
            raise ClusterConfigError(f"Ray cannot prepare the cluster on {cloud}: {text}{remedy}") from None


def _text_of(error: BaseException) -> str:
    if isinstance(error, click.ClickException):
        return error.message
    # A KeyError's text is the key alone, an assertion's may be nothing.
    known = type(error) is Exception or isinstance(error, AssertionError | ValueError | NotImplementedError)
    return whole_text(error) if known and error.args else f"{type(error).__name__}: {whole_text(error)}"
