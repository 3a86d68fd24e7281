"""The table of failures in docs/quarantine.md: each row has its tests, and each test is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from accel_scaling.quarantine.machine import FAILURES
from tests.support.contributing import ROOT

PAGE = (ROOT / "docs" / "quarantine.md").read_text(encoding="utf-8")
WATCH = "tests/providers/base/test_machine_watch.py"
SET_UP, END = "tests/providers/base/test_machine_set_up.py", "tests/providers/base/test_machine_end.py"
AWS, GCP = "tests/providers/aws/test_machine_end.py", "tests/providers/gcp/test_machine_end.py"
BURSTS, HEAD = "tests/quarantine/test_bursts.py", "tests/providers/base/test_head.py"
DRAINS = "tests/providers/base/test_node_drains.py"
GATE, PLACES = "tests/quarantine/test_gate.py", "tests/quarantine/test_places.py"

# The beginning of a row's first cell -> the tests that hold its other cells.
ROWS = {
    "The boot check refuses": [
        f"{WATCH}::test_a_refusal_counts_whatever_the_exit_code_of_the_start_says",
        f"{GATE}::test_a_type_that_lied_twice_is_limited_to_its_nodes_and_refused_without_asking_the_cloud",
    ],
    "`ray start` fails before": [
        (
            "tests/providers/base/test_command_runner.py::"
            "test_a_failed_start_gives_a_machine_up_unless_it_was_confirmed_or_cannot_be_asked"
        ),
        "tests/providers/base/test_life_sequences.py::test_whatever_happens_each_failed_machine_is_one_strike_and_ends",
    ],
    "The start commands end with 0": [
        f"{WATCH}::test_a_start_that_leaves_no_verdict_is_treated_by_the_policy",
        f"{WATCH}::test_of_several_start_commands_the_one_with_the_verdict_counts",
    ],
    "A node joins without": [
        f"{WATCH}::test_a_node_that_joined_without_a_verdict_is_found_and_treated_by_the_policy",
        f"{WATCH}::test_a_node_that_a_person_started_by_hand_is_left",
    ],
    "The boot check confirms the machine": [
        f"{WATCH}::test_a_start_that_fails_after_it_was_confirmed_is_a_strike",
        "tests/loop/test_failing_machines.py::test_a_type_whose_start_fails_after_it_was_confirmed_is_quarantined",
    ],
    "`ray start` ends with 0, and": [
        f"{WATCH}::test_a_node_that_does_not_join_after_its_start_is_a_strike",
        f"{WATCH}::test_a_slice_has_joined_when_all_of_its_hosts_have",
    ],
    "Host 0 of a TPU slice": [f"{GCP}::test_a_slice_whose_host_0_does_not_join_is_deleted_and_a_strike"],
    "A set-up or initialization command": [
        f"{SET_UP}::test_a_set_up_command_that_fails_ends_the_machine_permanently_and_is_a_strike_with_its_last_line",
        f"{SET_UP}::test_files_or_a_container_that_fail_are_a_failed_set_up_too",
        f"{SET_UP}::test_what_v2_sets_up_at_its_second_try_is_no_strike",
        (
            "tests/loop/test_failing_machines.py::"
            "test_a_type_whose_set_up_fails_is_quarantined_and_the_task_runs_on_another"
        ),
        f"{AWS}::test_a_failed_machine_is_terminated_where_idle_ones_are_stopped",
        f"{GCP}::test_a_failed_machine_is_deleted_where_idle_ones_are_stopped",
    ],
    "The set-up does not end": [f"{SET_UP}::test_a_set_up_that_does_not_end_is_a_strike_where_v2_gives_it_up"],
    "ssh does not answer": [f"{SET_UP}::test_ssh_that_never_answers_is_a_strike"],
    "The connection breaks": [f"{SET_UP}::test_a_connection_that_breaks_until_the_autoscaler_gives_up_is_a_strike"],
    "The cloud ends the machine, or": [
        f"{END}::test_a_machine_that_the_cloud_ends_right_after_its_launch_is_said_in_the_next_round_and_counted",
        f"{AWS}::test_machines_that_ec2_ends_right_after_their_launch_are_said_at_once_and_quarantine_their_type",
        f"{GCP}::test_a_machine_that_google_or_it_itself_stops_is_a_strike_and_is_deleted",
    ],
    "The cloud does not know": [
        (
            f"{END}::"
            "test_a_machine_that_its_cloud_does_not_know_yet_is_waited_for_and_one_that_it_knows_no_more_is_a_strike"
        ),
    ],
    "The cloud ends the machine for lack": [
        f"{END}::test_a_machine_that_the_cloud_had_no_room_for_after_all_is_sold_out",
        f"{AWS}::test_ec2s_own_word_tells_who_ended_an_instance",
    ],
    "The user terminates": [
        f"{END}::test_a_machine_that_spot_or_the_user_ends_before_it_joins_is_no_strike",
        f"{END}::test_a_machine_that_spot_or_the_user_ends_during_its_set_up_is_no_strike",
        f"{AWS}::test_an_instance_that_a_person_terminates_is_the_users",
        f"{GCP}::test_a_machine_that_a_person_deletes_or_stops_is_no_strike",
        f"{GCP}::test_a_slice_that_a_person_deletes_is_no_strike",
    ],
    "A spot machine is interrupted": [
        f"{END}::test_a_machine_that_is_interrupted_at_the_moment_of_its_failure_is_no_strike",
        f"{GCP}::test_a_spot_machine_that_google_takes_back_is_no_strike",
        f"{GCP}::test_a_slice_that_google_takes_back_is_no_strike",
    ],
    "A device of a machine that has joined": [
        f"{DRAINS}::test_a_sick_node_counts_once_like_a_refused_one_and_its_type_is_quarantined_in_the_end",
    ],
    "The cloud announces": [
        f"{DRAINS}::test_a_node_with_a_notice_is_terminated_when_it_is_drained_and_is_no_strike",
    ],
    "The autoscaler no longer needs": [
        f"{END}::test_what_the_autoscaler_ends_without_a_known_failure_is_no_strike_and_may_be_stopped",
    ],
    "The cloud's API fails": [
        f"{END}::test_a_machine_that_fails_while_the_clouds_api_fails_is_counted_once_and_ended_when_it_answers",
        f"{AWS}::test_when_ec2_does_not_answer_a_refusal_is_counted_and_the_machine_ended_later",
        f"{GCP}::test_when_google_does_not_answer_a_refusal_is_counted_and_the_machine_deleted_later",
    ],
    "The cloud has no capacity": [
        (
            f"{GATE}::"
            "test_over_ten_minutes_a_lying_type_is_launched_a_few_times_and_a_sold_out_one_is_asked_for_a_few_times"
        ),
    ],
    "A block has not begun": [
        f"{PLACES}::test_a_block_that_has_not_begun_is_open_the_second_it_begins_and_no_wait_doubles"
    ],
    "The cloud refuses the launch": [
        f"{BURSTS}::test_a_launch_that_is_refused_permanently_three_times_in_a_row_is_quarantined_and_longer_each_time",
        f"{BURSTS}::test_what_the_cloud_will_say_again_closes_a_node_type_and_throttling_and_outages_do_not",
        f"{BURSTS}::test_one_success_forgets_the_launches_that_were_refused",
    ],
    "The API is throttled": [
        f"{BURSTS}::test_what_the_cloud_will_say_again_closes_a_node_type_and_throttling_and_outages_do_not",
        f"{GATE}::test_throttling_and_our_own_errors_quarantine_nothing",
    ],
    "Machines that were already booting": [
        f"{BURSTS}::test_a_burst_of_bad_machines_is_one_quarantine_of_five_minutes_whatever_its_size",
        f"{BURSTS}::test_a_machine_that_was_asked_for_before_the_quarantine_and_fails_after_it_prolongs_nothing",
    ],
    "A new head": [f"{HEAD}::test_a_head_that_this_ray_up_created_is_ended"],
    "An existing head": [
        f"{HEAD}::test_a_second_ray_up_leaves_a_head_that_is_refused_now_and_says_what_to_do",
        f"{AWS}::test_only_a_head_that_ec2_gave_to_this_process_is_terminated",
        f"{GCP}::test_only_a_head_that_google_gave_to_this_process_is_deleted",
    ],
}


def table() -> list[list[str]]:
    """The cells of the table's rows, without its head."""
    lines = PAGE.partition("| what fails |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_each_row_is_known_here_and_each_row_here_is_on_the_page() -> None:
    first_cells = [row[0] for row in table()]
    assert {len(row) for row in table()} == {5}
    assert [cell for cell in first_cells if not cell.startswith(tuple(ROWS))] == []
    for beginning in ROWS:
        assert sum(cell.startswith(beginning) for cell in first_cells) == 1, beginning


@pytest.mark.parametrize("row", ROWS)
def test_the_tests_of_a_row_exist(row: str) -> None:
    for name in ROWS[row]:
        path, _, test = name.partition("::")
        tree = ast.parse(Path(ROOT, path).read_text(encoding="utf-8"))
        assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, name


def test_each_word_of_a_failure_has_a_section() -> None:
    assert set(FAILURES) <= set(re.findall(r"^### (\w+)$", PAGE, re.MULTILINE))
