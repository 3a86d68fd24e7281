"""CloudWatch (`provider.cloudwatch`): agent, dashboard and alarms of each node, by Ray's own helper.

Ray's updater calls that helper for `type: aws` alone, when ssh of the node has answered. Here it is called at the same
moment, with the same arguments. What it raises costs no node: a cluster works without its dashboard.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_scaling import _ray, documentation
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import shown
from accel_scaling.providers.aws.errors import sentence_of
from accel_scaling.providers.base.error_rules import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)


def check_files(provider_config: Mapping[str, Any]) -> None:
    """Refuse a file that is missing or no JSON: Ray's helper reads it when the head is paid for.

    Raises:
        ClusterConfigError: names the key.
    """
    for name, part in (provider_config.get("cloudwatch") or {}).items():
        path = part.get("config")
        if not path:
            continue
        key = f"provider.cloudwatch.{name}.config is {shown(path)}"
        try:
            json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ClusterConfigError(f"{key}, which cannot be read: {error.strerror or error}") from None
        except ValueError as error:
            raise ClusterConfigError(f"{key}, which is not JSON: {one_line(str(error))}") from None


def set_up(provider_config: Mapping[str, Any], node_id: str, cluster_name: str, *, head: bool) -> None:
    """Set CloudWatch up on a node that answers, where the cluster file asks for it; say in one sentence what fails."""
    if not provider_config.get("cloudwatch"):
        return
    try:
        _ray.update_cloudwatch(dict(provider_config), node_id, cluster_name, head=head)
    except Exception as error:  # noqa: BLE001 - whatever it is, the node continues
        text = sentence_of(error) or one_line(f"{type(error).__name__}: {error}")
        sentence = (
            f"CloudWatch is not set up on {node_id}, which continues without it: {text}; does its machine have the "
            f"agent and an IamInstanceProfile for AWS Systems Manager, with the permissions of "
            f"{documentation.file('iam/aws-cloudwatch.json')}?"
        )
        # At `ray up` a person reads the terminal; the autoscaler has its log.
        if _ray.autoscaler_config_path() is None:
            _ray.cli_logger().warning("{}", sentence)
        else:
            logger.error("%s", sentence)  # noqa: TRY400 - a sentence, no traceback
