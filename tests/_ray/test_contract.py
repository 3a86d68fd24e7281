"""What we take for granted about Ray's private parts: one test per assumption, each saying who breaks with it.

Ray may change any of these between minor versions. A failure here names the assumption and the place that uses it.
"""

from __future__ import annotations

import copy
import importlib.metadata
import inspect
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from accel_scaling import _ray
from accel_scaling._ray import versions
from accel_scaling.clouds import known_clouds
from accel_scaling.cluster.node_type_defaults import ray_defaults
from accel_scaling.families.built_in import neuron as our_neuron
from accel_scaling.fill.defaults import NEEDED_BY_RAY, with_defaults

EXTERNAL = {
    "cluster_name": "contract",
    "provider": {"type": "external", "module": "accel_scaling.providers.aws.AWSAcceleratorNodeProvider"},
    "head_node_type": "head",
    "available_node_types": {"head": {"resources": {"CPU": 2}, "node_config": {"InstanceType": "m5.large"}}},
    **{key: [] for key in NEEDED_BY_RAY},
    "max_workers": 2,
}


def complete() -> dict:
    """Return a cluster config that passes Ray's validation."""
    return with_defaults({**EXTERNAL, "auth": {"ssh_user": "ubuntu"}}, known_clouds()["aws"])


def test_every_name_of_ray_that_we_use_has_its_contract_here():
    files = Path(__file__).parent.glob("test_contract*.py")
    here = "".join(file.read_text(encoding="utf-8") for file in files)
    functions = [name for name, value in vars(_ray).items() if inspect.isfunction(value) and not name.startswith("_")]
    untested = [name for name in functions if f"_ray.{name}(" not in here]
    assert untested == [], f"accel_scaling/_ray uses private names that no contract test holds: {untested}"


def test_the_installed_ray_is_one_that_this_version_was_checked_with():
    installed = importlib.metadata.version("ray")
    assert versions.installed_version() == installed
    assert versions.FLOOR <= versions.installed() <= versions.CHECKED, (
        f"ray {installed} is installed, the newest that was checked is {versions.CHECKED}: check every test with it, "
        "run tests/ray_versions.py, then move _ray/versions.py CHECKED"
    )


# --- the promise ---


@pytest.mark.parametrize(
    ("driver_name", "accelerator_type"),
    [
        ("Tesla T4", "T4"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA L4-3Q", "L4"),
        pytest.param("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX-PRO-6000", marks=pytest.mark.since(2, 57)),
        pytest.param("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX", marks=pytest.mark.until(2, 56)),
    ],
)
def test_ray_reads_accelerator_types_from_driver_names_as_the_catalog_was_written_for(driver_name, accelerator_type):
    read = _ray.nvidia_type_reader()(driver_name)
    assert read == accelerator_type, (
        f"Ray now calls {driver_name!r} {read}: accelerators.yaml and product_names.py are old"
    )


def test_a_name_that_this_ray_reads_otherwise_is_found():
    assert _ray.reads_otherwise(["NVIDIA L4-3Q"], "L4-3Q")
    assert not _ray.reads_otherwise(["Tesla T4", "NVIDIA T4"], "T4")
    rtx = _ray.reads_otherwise(["NVIDIA RTX PRO 4500 Blackwell Server Edition"], "RTX-PRO-4500")
    assert rtx is not _ray.has("rtx_pro_names"), "a node of an older Ray would announce RTX, which is many products"


def test_ray_announces_every_neuron_device_as_one_accelerator_type():
    from ray._private.accelerators import NeuronAcceleratorManager

    assert NeuronAcceleratorManager.get_current_node_accelerator_type() == our_neuron.RAY_TYPE, (
        "Ray's name for Neuron cores changed: built_in/neuron RAY_TYPE and accelerators.yaml have the old one"
    )


# --- `type: external` and its missing defaults ---


@pytest.mark.parametrize("missing", NEEDED_BY_RAY)
def test_a_file_without_one_of_the_four_keys_crashes_ray_before_our_class(missing):
    from ray.autoscaler._private.util import prepare_config

    config = {key: value for key, value in EXTERNAL.items() if key != missing}
    with pytest.raises((KeyError, AssertionError)) as crash:
        prepare_config(config)
    assert missing.replace("_", " ") in str(crash.value).replace("_", " "), (
        f"Ray no longer crashes over {missing} alone: fill/defaults.py NEEDED_BY_RAY, the docs and examples say it does"
    )


def test_the_four_keys_are_all_that_ray_needs_for_type_external():
    from ray.autoscaler._private.util import prepare_config

    prepared = prepare_config(copy.deepcopy(EXTERNAL))
    assert prepared["available_node_types"]["head"]["max_workers"] == 0, (
        "prepare_config no longer completes node types: fill/defaults.py relies on it to set max_workers"
    )


def test_rays_defaults_for_aws_are_where_we_look_and_complete_an_external_file():
    from ray.autoscaler._private.providers import _get_default_config
    from ray.autoscaler._private.util import validate_config

    defaults = ray_defaults(known_clouds()["aws"])
    assert defaults == _get_default_config({"type": "aws"}), (
        "fill/defaults.py reads another defaults.yaml than Ray does"
    )
    wanted = {"auth", "head_start_ray_commands", "worker_start_ray_commands", "idle_timeout_minutes", "file_mounts"}
    assert wanted <= set(defaults), (
        f"Ray's aws/defaults.yaml lost {wanted - set(defaults)}: with_defaults cannot give it"
    )
    validate_config(complete())


def test_every_start_command_of_rays_defaults_is_one_that_we_wire():
    from accel_scaling.boot.start_prefix import has_boot_check, with_boot_check

    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        commands = map(with_boot_check, ray_defaults(known_clouds()["aws"])[key])
        wired = [command for command in commands if has_boot_check(command)]
        assert len(wired) == 1, (
            f"{key} of Ray's defaults starts Ray {len(wired)} times: boot/start_prefix.py expects once"
        )


def test_set_up_commands_are_merged_twice_so_the_provider_blanks_them():
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig

    config = {**complete(), "setup_commands": ["a"], "worker_setup_commands": ["a", "b"]}
    assert AutoscalingConfig(config).get_worker_setup_commands("head") == ["a", "a", "b"], (
        "autoscaler v2 no longer merges setup_commands again: aws/provider.py bootstrap_config need not blank them"
    )


# --- `ray up` and the provider class ---


@pytest.fixture(name="provider_for_ray_up")
def provider_for_ray_up_fixture(monkeypatch):
    """A provider whose fill fails, behind `type: external`, and what Ray's `_bootstrap_config` did with it."""
    from ray.autoscaler._private import commands

    seen = SimpleNamespace(called_by_ray_up=None, bootstrapped=None)

    def fill_with_a_helper():
        return _ray.called_by_ray_up()  # a frame more than the provider's own

    class Provider:
        @staticmethod
        def fillout_available_node_types_resources(config):
            seen.called_by_ray_up = fill_with_a_helper()
            raise RuntimeError("this cannot be filled")

        @staticmethod
        def bootstrap_config(config):
            seen.swallows_bootstrap = fill_with_a_helper()
            seen.bootstrapped = config
            return config

    monkeypatch.setitem(commands._NODE_PROVIDERS, "external", lambda _: Provider)
    return seen, Provider, commands._bootstrap_config


def test_ray_up_swallows_what_the_fill_raises_and_continues(provider_for_ray_up):
    seen, _, bootstrap = provider_for_ray_up
    bootstrap(complete(), no_config_cache=True)
    assert seen.bootstrapped is not None, (
        "Ray stops where the fill raises: aws/provider.py could raise there, and not once more in bootstrap_config"
    )


def test_the_fill_can_tell_ray_up_from_other_callers(provider_for_ray_up):
    seen, provider, bootstrap = provider_for_ray_up
    bootstrap(complete(), no_config_cache=True)
    assert seen.called_by_ray_up is True, (
        "_bootstrap_config no longer calls the fill itself: _ray.called_by_ray_up is blind"
    )
    assert seen.swallows_bootstrap is False, "`ray up` does not swallow what bootstrap_config raises"
    with pytest.raises(RuntimeError):
        provider.fillout_available_node_types_resources({})
    assert seen.called_by_ray_up is False, "_ray.called_by_ray_up takes any caller for `ray up`"


@pytest.mark.since(2, 51)
def test_rays_cached_config_is_named_in_the_provider_section(provider_for_ray_up, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    bootstrap = provider_for_ray_up[2]
    for _ in ("written", "read"):
        named = bootstrap(complete())["provider"].get("_config_cache_path")
        assert named is not None, "Ray names its config cache elsewhere: providers/aws/provider.py cannot forget it"
        assert Path(named).is_file(), (
            "Ray's config cache is not at _config_cache_path: providers/aws/provider.py cannot forget it"
        )


def test_the_cached_config_is_named_by_us_where_ray_does_not(provider_for_ray_up, monkeypatch, tmp_path):
    seen, provider, bootstrap = provider_for_ray_up
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def named(config):
        _ray.name_config_cache(config["provider"])
        seen.named = "_config_cache_path" in config["provider"]
        return config

    provider.bootstrap_config = staticmethod(named)
    path = bootstrap(complete())["provider"]["_config_cache_path"]
    assert Path(path).is_file()
    assert seen.named is not _ray.has("named_config_cache")


def test_rays_aws_provider_has_the_methods_that_ours_extends():
    provider = _ray.aws_node_provider()
    signatures = {
        "create_node": ["self", "node_config", "tags", "count"],
        "get_command_runner": ["self", "log_prefix", "node_id"],
        "node_tags": ["self", "node_id"],
        "bootstrap_config": ["cluster_config"],
        "fillout_available_node_types_resources": ["cluster_config"],
    }
    for name, arguments in signatures.items():
        found = list(inspect.signature(getattr(provider, name)).parameters)[: len(arguments)]
        assert found == arguments, (
            f"AWSNodeProvider.{name} takes {found}: providers/aws/provider.py overrides or calls {arguments}"
        )
    assert "self.ec2 =" in inspect.getsource(provider.__init__), (
        "AWSNodeProvider no longer keeps its EC2 resource as `ec2`: aws/provider.py refuse() terminates machines by it"
    )


def test_rays_ec2_client_is_asked_by_region_and_credentials():
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y"}
    client = _ray.ec2_client("eu-west-1", keys)
    assert client.meta.region_name == "eu-west-1", (
        "client_cache ignores the region: providers/aws/bootstrap.py asks another"
    )
    assert _ray.ec2_client("eu-west-1", keys) is client, "client_cache does not cache: each check opens a connection"


def test_node_tags_say_head_and_node_type():
    from ray.autoscaler import tags

    assert _ray.is_head({tags.TAG_RAY_NODE_KIND: "head"}), "the head's tag value changed: _ray.is_head never says yes"
    assert not _ray.is_head({tags.TAG_RAY_NODE_KIND: "worker"}), "_ray.is_head takes workers for the head"
    assert _ray.node_type_of({tags.TAG_RAY_USER_NODE_TYPE: "gpu"}) == "gpu", "_ray.node_type_of reads another tag"


def test_a_launch_failure_carries_category_and_description():
    failure = _ray.node_launch_exception()("InsufficientInstanceCapacity", "none left", None)
    assert (failure.category, failure.description) == ("InsufficientInstanceCapacity", "none left"), (
        "NodeLaunchException keeps its reason elsewhere: providers/aws/launch.py reads and passes it on"
    )


def test_rays_log_takes_our_notes_as_arguments(capfd):
    _ray.cli_logger().warning("{}", "a note with {braces}")
    captured = capfd.readouterr()
    assert "a note with {braces}" in captured.out + captured.err, (
        "cli_logger.warning formats its arguments again: providers/aws/provider.py would crash on notes with braces"
    )


@pytest.mark.parametrize("login_shells", [True, False])
def test_a_command_that_fails_on_a_node_raises_what_the_provider_catches(login_shells, tmp_path, monkeypatch):
    from ray.autoscaler._private import command_runner, subprocess_output_util

    # As `ray up --use-normal-shells` sets it.
    monkeypatch.setattr(subprocess_output_util, "_allow_interactive", login_shells)
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\nexit 3\n", encoding="utf-8")
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(command_runner, "is_using_login_shells", lambda: login_shells)
    provider = SimpleNamespace(internal_ip=lambda _: "127.0.0.1")
    runner = command_runner.SSHCommandRunner("", "i-1", provider, {"ssh_user": "x"}, "c", subprocess, True)
    # Fails with a sentence of pytest's own where another exception comes out of Ray:
    # base/command_runner.py would then neither report nor terminate a machine that was refused.
    with pytest.raises(_ray.command_failed()):
        runner.run("ray start")
