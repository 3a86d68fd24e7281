"""Filled again: what the fill wrote follows the machine and the catalog; what the user wrote, or changed, stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel_scaling.cli.main import main
from accel_scaling.fill.marks import mark_of, summary
from tests.support.cluster_texts import TOP, filled_text, values

TEXT = (
    TOP
    + "max_workers: 2\nsetup_commands: []\nhead_setup_commands: []\nworker_setup_commands: []\nhead_node_type: head\n"
    + "available_node_types:\n  head:\n    node_config:\n      InstanceType: m5.large\n"
    + "  w:\n    node_config:\n      InstanceType: g5.xlarge # cheap\n"
)


@pytest.fixture(name="path")
def path_fixture(tmp_path: Path) -> Path:
    return tmp_path / "cluster.yaml"


def worker(text: str) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = values(text)["available_node_types"]["w"]
    return found


def test_after_a_change_of_the_machine_the_old_promise_is_replaced_line_by_line(path: Path) -> None:
    filled, _ = filled_text(path, TEXT)
    again, notes = filled_text(path, filled.replace("InstanceType: g5.xlarge", "InstanceType: p4d.24xlarge"))
    fresh, _ = filled_text(path, TEXT.replace("g5.xlarge", "p4d.24xlarge"))
    assert values(again) == values(fresh)
    assert sorted(again.splitlines()) == sorted(fresh.splitlines())
    assert notes == ""
    assert "# cheap" in again


def test_another_family_takes_the_old_image_and_the_old_resource_away(path: Path) -> None:
    filled, _ = filled_text(path, TEXT)
    again, _ = filled_text(path, filled.replace("InstanceType: g5.xlarge", "InstanceType: trn1.2xlarge"))
    assert "GPU" not in worker(again)["resources"]
    assert worker(again)["resources"]["neuron_cores"] == 2
    assert "neuron" in str(worker(again)["node_config"]["ImageId"])


def test_what_a_corrected_catalog_says_replaces_what_was_written_before(path: Path) -> None:
    filled, _ = filled_text(path, TEXT)
    old = filled.replace("GPU: 1  # accel-scaling fill: 1", "GPU: 3  # accel-scaling fill: 3")
    again, notes = filled_text(path, old)
    assert (again, notes) == (filled, "")


def test_a_copied_node_type_under_another_name_follows_its_own_machine(path: Path) -> None:
    filled, _ = filled_text(path, TEXT)
    copy = "  w2:\n" + filled.split("  w:\n")[1].replace("InstanceType: g5.xlarge", "InstanceType: g4dn.xlarge")
    again, _ = filled_text(path, filled + copy)
    assert values(again)["available_node_types"]["w2"]["resources"]["accelerator_type:T4"] == 1


def test_a_value_that_was_changed_by_hand_is_the_users_and_a_note_says_so(path: Path) -> None:
    filled, _ = filled_text(path, TEXT)
    edited = filled.replace("CPU: 4  #", "CPU: 3  #")
    again, notes = filled_text(path, edited)
    assert again == edited
    line = edited.splitlines().index("      CPU: 3  # accel-scaling fill: 4") + 1
    place = f"available_node_types.w.resources.CPU (line {line})"
    assert f"changed by hand after a fill wrote it, and kept as yours: {place}; remove the comment" in notes


def test_the_users_own_entries_among_the_fills_stay(path: Path) -> None:
    filled, _ = filled_text(path, TEXT)
    own = filled.replace("      GPU: 1  #", "      # Ask Maria\n      custom: 7 # ours\n      GPU: 1  #")
    assert filled_text(path, own)[0] == own
    again, _ = filled_text(path, own.replace("InstanceType: g5.xlarge", "InstanceType: m5.large"))
    assert "      # Ask Maria\n      custom: 7 # ours\n" in again
    assert worker(again)["resources"] == {"CPU": 2, "memory": 6012954214, "custom": 7}


def test_a_list_that_the_fill_wrote_and_the_user_shortened_is_the_users(path: Path) -> None:
    filled, _ = filled_text(path, TEXT.replace("\nsetup_commands: []", ""))
    lines = filled.splitlines(keepends=True)
    edited = "".join(line for line in lines if "pip --version" not in line)
    assert edited != filled
    again, notes = filled_text(path, edited)
    assert again == edited
    assert "changed by hand" in notes


def test_a_comment_among_the_lines_of_a_list_survives_its_replacement(path: Path) -> None:
    filled, _ = filled_text(path, TEXT.replace("\nsetup_commands: []", ""))
    old = filled.replace("  - command -v ray", "  # ours\n  - command -v ray")
    older = old.replace("ray[default]", "ray[default]==0.8")
    wrote = values(older)["setup_commands"]
    older = older.replace(summary(values(filled)["setup_commands"]), summary(wrote))
    again, _ = filled_text(path, older)
    assert values(again) == values(filled)
    assert "  # ours\n" in again


def test_in_braces_the_comment_behind_them_says_what_is_the_fills(path: Path) -> None:
    text = TEXT.split("  w:\n")[0] + "  w: {node_config: {InstanceType: g5.xlarge}, resources: {custom: 1}} # one\n"
    filled, _ = filled_text(path, text)
    last = filled.splitlines()[-1]
    assert "# one  # accel-scaling fill: {" in last
    again, notes = filled_text(path, filled.replace("InstanceType: g5.xlarge", "InstanceType: p4d.24xlarge"))
    assert values(again) == values(filled_text(path, text.replace("g5.xlarge", "p4d.24xlarge"))[0])
    assert notes == ""
    edited = filled.replace("GPU: 1", "GPU: 0")
    assert filled_text(path, edited)[0] == edited


def test_a_plan_says_that_a_filled_file_holds_an_old_promise(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled, _ = filled_text(path, TEXT)
    assert main(["plan", str(path), "--demand", "A10G"]) == 0
    assert "earlier fill" not in capsys.readouterr().err
    path.write_text(filled.replace("InstanceType: g5.xlarge", "InstanceType: p4d.24xlarge"))
    main(["plan", str(path), "--demand", "A10G"])
    err = capsys.readouterr().err
    assert "an earlier fill wrote available_node_types.w.resources.CPU: 4, and would now write 96 (and " in err
    assert f"it counts as yours until you run `accel-scaling fill {path} -o {path}` again" in err


@pytest.mark.parametrize(
    ("value", "mark"),
    [
        (8, "accel-scaling fill: 8"),
        ("8", "accel-scaling fill: '8'"),
        (True, "accel-scaling fill: true"),
        ("on-demand", "accel-scaling fill: on-demand"),
        ([], "accel-scaling fill: []"),
        ({"GPU": 1}, "accel-scaling fill"),
    ],
)
def test_a_mark_repeats_a_short_value_with_its_kind(value: object, mark: str) -> None:
    assert mark_of(value) == mark


def test_a_mark_of_a_list_or_a_long_text_is_a_digest_of_eight_digits() -> None:
    assert len(summary(["a"])) == len(summary("x" * 100)) == 8
    assert summary(["a"]) != summary(["b"])


@pytest.mark.parametrize(
    "comment",
    [
        "# accel-scaling fill: {",
        '# accel-scaling fill: {"a": 1}',
        "# accel-scaling fill:",
        "# accel-scaling fill: [1",
        "#",
    ],
)
def test_a_comment_that_is_no_mark_of_its_value_makes_it_nobodys_but_the_users(path: Path, comment: str) -> None:
    text = TEXT.replace("# cheap", comment) + f"    resources: {{GPU: 1}}  {comment}\n    max_workers: 1 {comment}\n"
    again, _ = filled_text(path, text)
    assert worker(again)["max_workers"] == 1
    assert worker(again)["resources"]["GPU"] == 1
    assert worker(again)["node_config"]["InstanceType"] == "g5.xlarge"
    assert filled_text(path, again)[0] == again


def test_a_rehearsal_says_that_a_filled_file_holds_an_old_promise(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled, _ = filled_text(path, TEXT)
    path.write_text(filled.replace("InstanceType: g5.xlarge", "InstanceType: g5.2xlarge"))
    # The second mistake ends it before anything is started.
    assert main(["rehearse", str(path), "--fault", "nothing:g5.xlarge"]) == 2
    err = capsys.readouterr().err
    assert "an earlier fill wrote available_node_types.w.resources.CPU: 4, and would now write 8 (and " in err
