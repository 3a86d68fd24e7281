"""Launch templates of a cluster file: EC2 is asked what they hold, which is merged as Ray's own provider merges it.

Ray merges a template into its node_config first of all, so whatever is looked at next (machine type, image,
market, network interfaces) may come from it; a key of the node_config replaces the same key of the template, whole. Two
things are ours. What a launch cannot be asked for is left to the template, which is sent with the launch. And so is
``UserData``: EC2 answers with it in base64, and boto3 would encode that once more.

Between `merged` and `put_back` the node_configs have no ``LaunchTemplate``: what it holds is known, and Ray, which
would ask once for each node type, asks no more.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import botocore.exceptions

from accel_scaling import _ray, documentation
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.aws import bootstrap, request_model
from accel_scaling.providers.aws.client import in_time, quickly
from accel_scaling.providers.aws.errors import NOT_ALLOWED, AWSRefusedError, code_of, one_sentence
from accel_scaling.providers.aws.node_config import check_node_config, region_of
from accel_scaling.providers.base.error_rules import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    Config = dict[str, Any]

KEY = "LaunchTemplate"
MERGED = "accel_scaling_templates_merged"  # a key of `provider`, from the fill of `ray up` to bootstrap_config
PERMISSION = "ec2:DescribeLaunchTemplateVersions"

_USER_DATA = "UserData"


@dataclass(frozen=True)
class Template:
    """The launch template of a node type.

    Attributes:
        named: the value of ``LaunchTemplate``, its version as text: boto3 takes no number there.
        own_user_data: the node_config has user data of its own.
    """

    named: Config
    own_user_data: bool


def merged(config: Config) -> tuple[Config, dict[str, Template]]:
    """Return a copy of a config whose node_configs hold what their templates hold, and the templates by node type.

    EC2 is asked once for each template; not at all where the fill has merged them already, or where there are none.

    Raises:
        ClusterConfigError: a template is wrong or missing, or nothing names the machine type.
        AWSRefusedError: AWS cannot be asked, or not by this account.
    """
    named = {
        name: node_type["node_config"][KEY]
        for name, node_type in config["available_node_types"].items()
        if isinstance(node_type, dict) and (node_type.get("node_config") or {}).get(KEY)
    }
    if not named:
        return config, {}
    config = copy.deepcopy(config)
    known: dict[str, bool] | None = config["provider"].pop(MERGED, None)
    contents: dict[str, Config] = {}
    templates = {}
    for name, template in named.items():
        node_type, location = config["available_node_types"][name], f"available_node_types.{name}"
        node_config = node_type["node_config"]
        check_node_config(location, {KEY: template})
        own_user_data = _USER_DATA in node_config if known is None else known[name]
        if known is None:
            spec = json.dumps(template, sort_keys=True)
            if spec not in contents:
                contents[spec] = _content(config, f"{location}.node_config.{KEY}", template)
            node_config = {**contents[spec], **node_config}
            if not node_config.get("InstanceType"):
                raise ClusterConfigError(
                    f"{location}.node_config.InstanceType is missing, and its {KEY} ({_name(template)}) names none "
                    "either; name an EC2 instance type in one of them"
                )
        node_type["node_config"] = {key: value for key, value in node_config.items() if key != KEY}
        templates[name] = Template({**template, "Version": str(template.get("Version", "$Default"))}, own_user_data)
    return config, templates


def put_back(config: Config, templates: Mapping[str, Template], *, for_bootstrap: bool = False) -> Config:
    """Return the config with the templates in its node_configs again; changed in place.

    Args:
        config: whose node_configs were merged.
        templates: by node type.
        for_bootstrap: `merged` comes next, and need not ask again; Ray's steps look for user data, too.
    """
    for name, template in templates.items():
        node_config = config["available_node_types"][name]["node_config"]
        node_config[KEY] = template.named
        if not for_bootstrap and not template.own_user_data:
            node_config.pop(_USER_DATA, None)
    if for_bootstrap and templates:
        config["provider"][MERGED] = {name: template.own_user_data for name, template in templates.items()}
    return config


def _content(config: Config, key: str, template: Config) -> Config:
    """Ask EC2 what a template holds."""
    region = region_of(config)
    bootstrap.refuse_unknown(region)
    credentials = quickly(config["provider"].get("aws_credentials"))
    with one_sentence():
        try:
            content = in_time(lambda: _ray.aws_template_content(template, region, credentials))
        except ValueError as error:  # Ray's, of a version that does not exist
            if isinstance(error, botocore.exceptions.BotoCoreError):
                raise
            raise ClusterConfigError(f"{key} ({_name(template)}): {one_line(str(error))} in {region}") from None
        except botocore.exceptions.ClientError as error:
            raise _refusal(key, template, region, error) from None
    content = request_model.of_request({name: value for name, value in content.items() if name != KEY})
    request_model.check(f"{key}({_name(template)})", content)
    return content


def _refusal(key: str, template: Config, region: str, error: Any) -> Exception:
    code = code_of(error)
    if code in NOT_ALLOWED:
        return AWSRefusedError(
            f"your AWS credentials lack the permission {PERMISSION}, which reading {key} ({_name(template)}) needs; "
            f"allow it ({documentation.page('security', 'aws')} has the policy), or write what the template holds into "
            "the node_config"
        )
    # InvalidLaunchTemplateName.NotFoundException, InvalidLaunchTemplateId.VersionNotFound, ...
    if code.startswith("Invalid"):
        message = one_line(str(error.response["Error"].get("Message") or code))
        return ClusterConfigError(f"{key}: {message} ({code}, in {region})")
    return error  # type: ignore[no-any-return]  # said by one_sentence() around it


def _name(template: Mapping[str, Any]) -> str:
    return str(template.get("LaunchTemplateName") or template.get("LaunchTemplateId"))
