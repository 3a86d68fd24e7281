"""What commands say of a file that they take as it is: whose provider, missing keys, an old fill; `ray up` too."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel_scaling.cli.main import main
from tests.migration.test_migrate import KEYS, MODULES, STOCK

WORKER = "available_node_types.w"
OURS = STOCK.replace("type: aws", f"type: external\n  module: {MODULES['aws']}")
GCP = f"""\
cluster_name: demo
provider:
  type: external
  module: {MODULES["gcp"]}
  project_id: p
  region: us-central1
  availability_zone: us-central1-a
head_node_type: head
available_node_types:
  head: {{node_config: {{machineType: n2-standard-4}}}}
  w:
    node_config:
      MACHINE
docker:
  image: rayproject/ray-ml:latest
  container_name: ray
"""


def said(path: Path, text: str, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    path.write_text(text)
    main([words[0], str(path), *words[1:]])
    return capsys.readouterr().err


# Of a rehearsal the second mistake ends it before anything is started.
NO_REHEARSAL = ("rehearse", "--fault", "nothing:g5.xlarge")


@pytest.mark.parametrize("words", [("fill",), ("plan", "--demand", "A10G"), NO_REHEARSAL])
def test_a_file_for_rays_own_provider_is_told_to_be_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    path = tmp_path / "cluster.yaml"
    note = (
        f"note: {path}:3: provider.type is aws: Ray's own provider launches these machines, with no boot check and no"
    )
    command = f"`accel-scaling migrate {path} -o NEW.yaml` writes the file for this package"
    assert note in said(path, STOCK + KEYS, capsys, *words)
    assert command in said(path, STOCK + KEYS, capsys, *words)
    assert "provider.type" not in said(path, OURS + KEYS, capsys, *words)


def test_a_rehearsal_names_the_keys_without_which_ray_up_ends_in_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cluster.yaml"
    text = OURS + KEYS.replace("head_setup_commands: []\n", "")
    err = said(path, text, capsys, *NO_REHEARSAL)
    assert f"{path}: head_setup_commands is missing, without which `ray up` ends in a traceback of Ray's; " in err
    assert f"`accel-scaling migrate {path} -o {path} --force` adds it" in err
    assert "is missing" not in said(path, OURS + KEYS, capsys, *NO_REHEARSAL)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("machineType: g2-standard-8", "machineType: a2-highgpu-1g"),
        ("machineType: a2-highgpu-1g", "acceleratorType: v5litepod-4"),
        ("acceleratorType: v5litepod-4", "machineType: g2-standard-8"),
        ("acceleratorType: v4-8", "machineType: n2-standard-8"),
    ],
)
def test_on_google_cloud_too_another_machine_replaces_all_that_the_fill_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], before: str, after: str
) -> None:
    old, new, fresh = (tmp_path / name for name in ("old.yaml", "new.yaml", "fresh.yaml"))
    text = (
        GCP.replace("us-central1-a", "us-central2-b").replace("us-central1", "us-central2") if "v4-8" in before else GCP
    )
    old.write_text(text.replace("MACHINE", before))
    assert main(["fill", str(old), "-o", str(new)]) == 0
    new.write_text(new.read_text().replace(f"      {before}", f"      {after}"))
    capsys.readouterr()
    main(["plan", str(new), "--demand", "CPU:1"])
    err = capsys.readouterr().err
    is_other_api = "acceleratorType" in before + after
    assert f"{new}:" in err
    assert ("an earlier fill wrote this for another machine" if is_other_api else f"wrote {WORKER}.") in err
    assert f"`accel-scaling fill {new} -o {new}` again" in err
    assert main(["fill", str(new), "-o", str(new)]) == 0
    fresh.write_text(text.replace("MACHINE", after))
    assert main(["fill", str(fresh), "-o", str(fresh)]) == 0
    assert sorted(new.read_text().splitlines()) == sorted(fresh.read_text().splitlines())


@pytest.mark.parametrize("machine", ["p4d.24xlarge", "trn1.2xlarge", "m5.large"])
def test_on_ec2_docker_options_set_up_commands_and_image_follow_the_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], machine: str
) -> None:
    docker = "docker:\n  image: rayproject/ray-ml:latest\n  container_name: ray\n"
    filled, fresh = tmp_path / "filled.yaml", tmp_path / "fresh.yaml"
    filled.write_text(OURS + docker)
    fresh.write_text(OURS.replace("g5.xlarge", machine) + docker)
    for path in (filled, fresh):
        assert main(["fill", str(path), "-o", str(path)]) == 0
    filled.write_text(filled.read_text().replace("InstanceType: g5.xlarge", f"InstanceType: {machine}"))
    assert main(["fill", str(filled), "-o", str(filled)]) == 0
    assert sorted(filled.read_text().splitlines()) == sorted(fresh.read_text().splitlines())


def test_ray_up_says_with_its_line_that_a_filled_file_holds_an_old_promise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import click
    from ray.autoscaler._private.commands import create_or_update_cluster

    path = tmp_path / "filled.yaml"
    path.write_text(OURS + KEYS)
    assert main(["fill", str(path), "-o", str(path)]) == 0
    filled = path.read_text()
    path.write_text(filled.replace("InstanceType: g5.xlarge", "InstanceType: p4d.24xlarge"))
    line = path.read_text().splitlines().index("      CPU: 4  # accel-scaling fill: 4") + 1
    note = f"{path}:{line}: an earlier fill wrote available_node_types.w.resources.CPU: 4, and would now write 96"
    for text, is_said in ((path.read_text(), True), (filled, False)):
        path.write_text(text)
        capsys.readouterr()
        with pytest.raises(click.ClickException, match="no AWS credentials"):
            create_or_update_cluster(str(path), None, None, no_restart=False, restart_only=False, yes=True)
        captured = capsys.readouterr()
        assert (note in " ".join((captured.out + captured.err).split())) == is_said
