"""Ray's own steps in an AWS account: role, key pair, subnets, security group; and what to do where one stops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accel_scaling import _ray
from accel_scaling.providers.aws.errors import one_sentence, sentence_of
from accel_scaling.providers.base.ray_steps import said_in_one_sentence

if TYPE_CHECKING:
    Config = dict[str, Any]

# Parts of Ray's own words (ray/autoscaler/_private/aws/config.py), in lower case, and what to do then;
# tests/_ray/test_contract_bootstrap.py finds each of them there.
REMEDIES = (
    ("not all subnet ids found", "name subnets of provider.region in node_config.SubnetIds"),
    ("expected 1 subnet with id", "name subnets of provider.region in node_config.SubnetIds"),
    (
        "no usable subnets found",
        "name subnets in node_config.SubnetIds, or make a default VPC: `aws ec2 create-default-vpc`",
    ),
    ("no usable subnets matching", "name other zones in provider.availability_zone, or leave it out"),
    ("the specified subnets for node type", "choose public ones, or write use_internal_ips: true in provider"),
    ("mismatch between specified subnets", "make provider.availability_zone and node_config.SubnetIds agree"),
    ("more than one vpc", "name subnets of one VPC"),
    ("failed to detect a security group", "name groups of provider.region in node_config.SecurityGroupIds"),
    ("should belong to the same vpc", "name groups of one VPC in node_config.SecurityGroupIds"),
    (
        "`keyname` missing",
        "auth.ssh_private_key is a key of yours: name its key pair in EC2 as KeyName in each node_config",
    ),
    ("no matching local key file", "delete old key pairs ray-autoscaler_... of this region in EC2"),
    ("private key file", "name a key pair in EC2 as KeyName, and its private key as auth.ssh_private_key"),
    ("has no imageid", "write node_config.ImageId"),
    ("expected to find 1 launch template", "name one template and one version in node_config.LaunchTemplate"),
    ("if networkinterfaces are defined", "write SubnetId and Groups in each of NetworkInterfaces, and not beside them"),
    ("networkinterfaces are defined but", "write SubnetId and Groups in each of NetworkInterfaces"),
    ("failed to create instance profile", "name a profile in node_config.IamInstanceProfile of the head"),
    ("failed to create role", "name a profile in node_config.IamInstanceProfile of the head"),
    ("failed to create security group", "name groups in node_config.SecurityGroupIds"),
)


def prepared(config: Config) -> Config:
    """Return the config with IAM role, key pair, subnets and security group, as Ray makes or finds them.

    Raises:
        ClusterConfigError: Ray stopped.
        AWSRefusedError: AWS refused, or cannot be reached.
    """
    with one_sentence(), said_in_one_sentence("AWS", REMEDIES, sentence_of):
        made: Config = _ray.aws_node_provider().bootstrap_config(config)
    return made
