"""Reservations of a local cloud, as `rehearse --reservation` has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from accel_scaling.errors import RehearsalError
from accel_scaling.testing.file_machines import Machines
from accel_scaling.testing.reservations import (
    Reservation,
    ReservationKind,
    of_file,
    read_reservations,
    reservations_of,
    write_reservations,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_the_text_of_the_command_line_says_how_many_where_and_when() -> None:
    assert Reservation.parse("cr-0123") == Reservation("cr-0123", count=1)
    assert Reservation.parse("cr-0123:count=2,zone=us-west-2a,begins=60s,ends=10m") == Reservation(
        "cr-0123", count=2, zone="us-west-2a", begins_s=60.0, ends_s=600.0
    )
    assert Reservation.parse("projects/other/reservations/r: kind=block, type=a3-ultragpu-8g,owner=other") == (
        Reservation(
            "projects/other/reservations/r", kind=ReservationKind.BLOCK, machine_type="a3-ultragpu-8g", owner="other"
        )
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected NAME:count=N"),
        (":count=2", "expected NAME:count=N"),
        ("r:size=2", "size=2 is not of the form"),
        ("r:count", "count is not of the form"),
        ("r:count=1,count=2", "count=2 is not of the form .*each key once"),
        ("r:count=two", "count=two: expected a whole number"),
        ("r:begins=60", "begins=60: expected a duration, such as 60s"),
        ("r:kind=odcr", "kind=odcr: expected one of targeted, open, block, interruptible"),
        ("r:begins=10m,ends=60s", "it ends before it begins"),
    ],
)
def test_a_text_of_another_form_is_refused_with_its_part(text: str, says: str) -> None:
    with pytest.raises(RehearsalError, match=says):
        Reservation.parse(text)


def test_two_reservations_of_one_name_are_refused() -> None:
    with pytest.raises(RehearsalError, match="r is given twice"):
        reservations_of(["r:count=1", Reservation("r")])


def test_what_the_text_leaves_out_is_as_the_node_types_use_the_reservation() -> None:
    machines = Machines({"m5.large": 0, "p5.48xlarge": 8})
    named = [Reservation("cr-1", 4, "p5.48xlarge", kind=ReservationKind.BLOCK), Reservation("cr-2", 1, "p5.48xlarge")]
    found = of_file([Reservation("cr-1", 2, begins_s=60.0)], named, machines)
    block = Reservation("cr-1", 2, "p5.48xlarge", kind=ReservationKind.BLOCK, begins_s=60.0)
    assert found == (block, named[1]), "what the file names and the command line does not is there too"
    (other,) = of_file([Reservation("cr-1", kind=ReservationKind.OPEN)], named[:1], machines)
    assert other.kind is ReservationKind.OPEN, "a wrong reservation can be rehearsed"


def test_a_reservation_that_the_file_cannot_use_is_refused() -> None:
    machines = Machines({"g5.xlarge": 1}, ["us-west-2a"])
    (alone,) = of_file([Reservation("cr-2")], [], machines)
    assert alone.machine_type == "g5.xlarge"
    with pytest.raises(RehearsalError, match=r"--reservation r: no node type of the file has a g6\.xlarge; they have"):
        of_file([Reservation("r", machine_type="g6.xlarge")], [], machines)
    with pytest.raises(RehearsalError, match="does not have the zone us-west-2z; it has us-west-2a"):
        of_file([Reservation("r", zone="us-west-2z")], [], machines)
    with pytest.raises(RehearsalError, match=r"say for which machine type it is: type=TYPE, one of g5\.xlarge, m5"):
        of_file([Reservation("r")], [], Machines({"m5.large": 0, "g5.xlarge": 1}))


def test_the_times_count_from_the_moment_at_which_the_cloud_got_them(tmp_path: Path) -> None:
    path = tmp_path / "reservations.json"
    assert read_reservations(path) == ()
    write_reservations(path, [Reservation("r", begins_s=60.0, ends_s=600.0)], since_s=1000.0)
    (found,) = read_reservations(path)
    assert (found.begins_at_s, found.ends_at_s) == (1060.0, 1600.0)
    assert (found.has_begun(1059.0), found.has_begun(1060.0)) == (False, True)
    assert (found.has_ended(1599.0), found.has_ended(1600.0)) == (False, True)
    write_reservations(path, [found], since_s=2000.0)
    assert found.kind is ReservationKind.TARGETED
    assert read_reservations(path) == (found,), "a second writing does not move them"
