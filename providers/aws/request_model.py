"""A node_config checked against botocore's own model of RunInstances, and to what Ray makes of it. No network.

EC2 and boto3 would refuse the same at each launch: of a worker, after the head is paid for, and every few seconds.
botocore validates keys and kinds with this model; here the sentences name the place in the cluster file. Values that
only EC2 can judge, such as a volume's type, are not judged, unless they are misspelt in upper and lower case only.
"""

from __future__ import annotations

import datetime as dt
import functools
import importlib.util
from typing import TYPE_CHECKING, Any

from accel_scaling.catalog.suggest import hint
from accel_scaling.errors import ClusterConfigError
from accel_scaling.message_text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Keys with better words elsewhere: node_config.py reads these.
_READ_ELSEWHERE = {"InstanceType"}

# Keys that RunInstances has and Ray does not leave to the cluster file (_create_node in its AWS node_provider.py).
_NOT_HERE = {
    "SubnetId": "is overwritten by Ray with one of SubnetIds; write SubnetIds, a list",
    "SecurityGroups": "works without a subnet only, and Ray always names one; write SecurityGroupIds",
    "ClientToken": "makes EC2 treat each launch as the first one; leave it out",
    "DryRun": "makes EC2 launch nothing; leave it out",
}
_SET_BY_RAY = {"MinCount", "MaxCount"}  # whatever they hold is overwritten, as in old files of Ray's own

# Ray's own key, beside those of RunInstances.
_SUBNETS = "SubnetIds"

_INTEGERS = {"integer", "long"}
_WORDS = {
    **dict.fromkeys(_INTEGERS, "a whole number"),
    "boolean": "true or false",
    "float": "a number",
    "double": "a number",
    "string": "text",
    "blob": "text",
    "timestamp": "a date and time",
}


def check(path: str, node_config: Mapping[str, Any]) -> None:
    """Refuse a node_config that boto3 or Ray would refuse at a launch; nothing is reported where botocore is missing.

    Args:
        path: its place in the cluster file.
        node_config: as the user wrote it.

    Raises:
        ClusterConfigError: names the key, what it holds, and what it may hold.
    """
    rest = {key: value for key, value in node_config.items() if key not in _READ_ELSEWHERE | _SET_BY_RAY}
    # Reading the model takes a tenth of a second: not for the few keys that need none.
    if all(key in {"ImageId", "KeyName"} and isinstance(value, str) for key, value in rest.items()):
        return
    for key, advice in _NOT_HERE.items():
        if key in rest:
            raise ClusterConfigError(f"{path}.{key} {advice}")
    _check_subnets(path, rest)
    model = _run_instances()
    if model is not None:
        own = {key: value for key, value in rest.items() if key != _SUBNETS and not _is_default_image(key, value)}
        _check_value(model, _with_text_version(own), path, others=(_SUBNETS,))
    _check_network_interfaces(path, rest)
    _check_launch_template(path, rest)
    _check_tags(path, rest)


def of_request(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a RunInstances request takes of a launch template's content, of which EC2's answer has more.

    ``MetadataOptions`` has a ``State`` there, and boto3 refuses a request with a key that it does not know; the
    template is sent with each launch, so nothing is lost.
    """
    model = _run_instances()
    return dict(content) if model is None else _taken(model, dict(content))


def _taken(shape: Any, value: Any) -> Any:
    if shape.type_name == "structure" and isinstance(value, dict):
        return {name: _taken(shape.members[name], inner) for name, inner in value.items() if name in shape.members}
    if shape.type_name == "list" and isinstance(value, list):
        return [_taken(shape.member, item) for item in value]
    return value


def _is_default_image(key: str, value: Any) -> bool:
    return key == "ImageId" and value is None  # the fill writes an image there


def _with_text_version(node_config: dict[str, Any]) -> dict[str, Any]:
    """Return a node_config with the version of its launch template as text, which Ray makes of a number."""
    template = node_config.get("LaunchTemplate")
    if isinstance(template, dict) and isinstance(template.get("Version"), int):
        return {**node_config, "LaunchTemplate": {**template, "Version": str(template["Version"])}}
    return node_config


@functools.cache
def _run_instances() -> Any | None:
    """Return botocore's shape of a RunInstances request; None where there is no botocore."""
    if importlib.util.find_spec("botocore") is None:
        return None
    import botocore.session

    return botocore.session.Session().get_service_model("ec2").operation_model("RunInstances").input_shape


def _version() -> str:
    import botocore

    return f" (by botocore {botocore.__version__})"


def _check_value(shape: Any, value: Any, path: str, others: tuple[str, ...] = ()) -> None:
    """Hold a value to a shape of botocore's, as ``botocore.validate`` does."""
    kind = str(shape.type_name)
    if kind == "structure":
        _check_structure(shape, value, path, others)
    elif kind == "list":
        if not isinstance(value, list):
            raise ClusterConfigError(f"{path} is {shown(value)}; expected a list, [...]")
        for index, item in enumerate(value):
            _check_value(shape.member, item, f"{path}[{index}]")
    elif kind == "map":
        if not isinstance(value, dict):
            raise ClusterConfigError(f"{path} is {shown(value)}; expected names and values, {{name: value}}")
        for name, item in value.items():
            _check_value(shape.value, item, f"{path}.{name}")
    else:
        _check_scalar(shape, value, path)


def _check_structure(shape: Any, value: Any, path: str, others: tuple[str, ...]) -> None:
    known = [*shape.members, *others]
    if not isinstance(value, dict):
        raise ClusterConfigError(f"{path} is {shown(value)}; expected keys, {_example(shape, value)}")
    for name, inner in value.items():
        if name not in shape.members:
            raise ClusterConfigError(
                f"{path}.{str(name)[:60]} is not a key that EC2 knows{hint(str(name)[:60], known)}{_version()}"
            )
        _check_value(shape.members[name], inner, f"{path}.{name}")
    for name in shape.required_members:
        if name not in value and name not in _SET_BY_RAY:
            raise ClusterConfigError(f"{path}.{name} is missing; EC2 needs it there")


def _example(shape: Any, value: Any) -> str:
    """Return how a structure is written: with the value that is there, where it is plainly one of its members."""
    if isinstance(value, str):
        name = "Arn" if value.startswith("arn:") else "Name"
        if name in shape.members:
            return f"{{{name}: {value[:100]}}}"
    return f"{{{next(iter(shape.members))}: ...}}"


def _check_scalar(shape: Any, value: Any, path: str) -> None:
    kind = str(shape.type_name)
    if not _KINDS[kind](value):
        raise ClusterConfigError(f"{path} is {shown(value)}; expected {_WORDS[kind]}{_way_out(kind, value)}")
    known = getattr(shape, "enum", None) or []
    if isinstance(value, str) and value not in known:
        # EC2 may know more words than this botocore: only one that differs in nothing but its case is misspelt.
        meant = next((word for word in known if _letters(word) == _letters(value)), None)
        if meant is not None:
            raise ClusterConfigError(f"{path} is {shown(value)}; EC2 spells it {meant}")


def _letters(word: str) -> str:
    return word.lower().replace("_", "-").replace(" ", "-")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_KINDS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(_INTEGERS, _is_whole),
    "boolean": lambda value: isinstance(value, bool),
    "float": lambda value: _is_whole(value) or isinstance(value, float),
    "double": lambda value: _is_whole(value) or isinstance(value, float),
    "string": lambda value: isinstance(value, str | bytes),
    "blob": lambda value: isinstance(value, str | bytes),
    "timestamp": lambda value: _is_whole(value) or isinstance(value, str | float | dt.date),
}


def _way_out(kind: str, value: Any) -> str:
    """Return how the value that is there would be written right, where that is plain."""
    if value is None:
        return ", or leave it out"
    if kind == "string" and isinstance(value, int | float) and not isinstance(value, bool):
        return f": write '{value}', in quotes"
    if kind in _INTEGERS and isinstance(value, str) and value.strip().isdigit():
        return f": write {value.strip()[:20]}, without quotes"
    if kind == "boolean" and str(value).lower() in {"true", "yes", "on", "false", "no", "off"}:
        return f": write {'true' if str(value).lower() in {'true', 'yes', 'on'} else 'false'}, without quotes"
    return ""


def _check_subnets(path: str, node_config: Mapping[str, Any]) -> None:
    if _SUBNETS not in node_config:
        return
    subnets = node_config[_SUBNETS]
    # Ray would take a text for a list of its letters.
    if not isinstance(subnets, list) or not subnets or not all(isinstance(subnet, str) for subnet in subnets):
        example = f"[{subnets}]" if isinstance(subnets, str) else "[subnet-...]"
        raise ClusterConfigError(f"{path}.{_SUBNETS} is {shown(subnets)}; expected a list of subnets, {example}")


def _check_network_interfaces(path: str, node_config: Mapping[str, Any]) -> None:
    """Hold network interfaces to the rules of Ray, which reads their subnets and groups."""
    interfaces = node_config.get("NetworkInterfaces")
    if not isinstance(interfaces, list):
        return
    for key in (_SUBNETS, "SecurityGroupIds"):
        if key in node_config:
            raise ClusterConfigError(
                f"{path}.{key} beside NetworkInterfaces: Ray takes subnets and groups from each interface then; write "
                "SubnetId and Groups there"
            )
    for index, interface in enumerate(interfaces):
        for key in ("SubnetId", "Groups"):
            if isinstance(interface, dict) and not interface.get(key):
                raise ClusterConfigError(
                    f"{path}.NetworkInterfaces[{index}].{key} is missing; Ray needs SubnetId and Groups in each "
                    "interface"
                )


def _check_launch_template(path: str, node_config: Mapping[str, Any]) -> None:
    template = node_config.get("LaunchTemplate")
    if isinstance(template, dict):
        named = [key for key in ("LaunchTemplateId", "LaunchTemplateName") if template.get(key)]
        if len(named) != 1:
            raise ClusterConfigError(
                f"{path}.LaunchTemplate takes one of LaunchTemplateId and LaunchTemplateName; it has "
                f"{' and '.join(named) or 'neither'}"
            )


def _check_tags(path: str, node_config: Mapping[str, Any]) -> None:
    """Refuse tags without the keys that Ray reads, when it puts its own beside them."""
    for index, part in enumerate(node_config.get("TagSpecifications") or []):
        for key in ("ResourceType", "Tags"):
            if isinstance(part, dict) and not part.get(key):
                raise ClusterConfigError(f"{path}.TagSpecifications[{index}].{key} is missing; Ray needs it there")
        for number, tag in enumerate(part["Tags"] if isinstance(part, dict) else []):
            for key in ("Key", "Value"):
                if isinstance(tag, dict) and key not in tag:
                    place = f"{path}.TagSpecifications[{index}].Tags[{number}].{key}"
                    raise ClusterConfigError(f"{place} is missing; Ray needs it there")
