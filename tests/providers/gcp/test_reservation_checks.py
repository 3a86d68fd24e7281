"""Reservations that no launch could use are refused by `ray up`, before the head is paid for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
import pytest

from accel_scaling import _ray
from accel_scaling.cluster.cluster import read_checked
from accel_scaling.errors import ClusterConfigError
from accel_scaling.providers.gcp.reservation_checks import check_reservations
from accel_scaling.testing.gce.reservations import GceReservation
from tests.support.gcp_provider import DISKS, ZONES, Google, config_of, google
from tests.support.resolved import refusal, resolved

A, B, _ = ZONES
TYPE, BLOCK_TYPE = "a2-highgpu-1g", "a4-highgpu-8g"
MINE, BLOCK = [{"reserved": "mine"}], [{"block": "block"}]


@pytest.fixture(name="gce", scope="module")
def gce_fixture() -> Iterator[Google]:
    with google() as at:
        yield at


def config_with(gce: Google, order: list[Any], machine_type: str = TYPE, most: int = 1, **node_config: Any) -> Any:
    config = config_of(gce.url, availability_zone=f"{A},{B}", **({"capacity": {"gpu": order}} if order else {}))
    made = {"machineType": machine_type, "disks": DISKS, **node_config}
    head = config["available_node_types"]["head"]
    config["available_node_types"] = {"head": head, "gpu": {"max_workers": most, "node_config": made}}
    return config


def checked(gce: Google, *how: Any, **more: Any) -> list[str]:
    return check_reservations(read_checked(config_with(gce, *how, **more)), gce.engine.state.unix_s)


def block(gce: Google, begins_s: float = 0.0, ends_s: float = 86400.0) -> GceReservation:
    now_s = gce.engine.state.unix_s()
    return GceReservation("block", BLOCK_TYPE, 1, A, calendar=True, begins_s=now_s + begins_s, ends_s=now_s + ends_s)


@pytest.mark.parametrize(
    ("reservation", "how", "says"),
    [
        ({"name": "other"}, (MINE,), "project rehearsal has no reservation mine; `gcloud compute reservations list"),
        ({"project": "owner"}, (MINE,), "one that another project shares is named with its project"),
        ({"zone": ZONES[2]}, (MINE,), f"the reservation mine is in {ZONES[2]}, and provider.availability_zone is {A}"),
        ({"machine_type": "a2-highgpu-2g"}, (MINE,), "is for a2-highgpu-2g, and the machine of node type gpu is a2-hi"),
        (
            {"calendar": True, "machine_type": BLOCK_TYPE},
            (MINE, BLOCK_TYPE),
            "the reservation mine is of calendar mode, and ends with its machines; write {block: NAME}",
        ),
    ],
)
def test_a_reservation_that_does_not_fit_is_one_sentence_with_its_key(
    gce: Google, reservation: dict[str, Any], how: tuple[Any, ...], says: str
) -> None:
    gce.reserve(GceReservation(**{"name": "mine", "machine_type": TYPE, "zone": A, **reservation}))
    with pytest.raises(ClusterConfigError) as error:
        checked(gce, *how)
    assert str(error.value).startswith("provider.capacity.gpu: ")
    assert says in str(error.value)


def test_ray_up_asks_before_it_makes_anything_and_names_a_key_that_is_written_by_hand(gce: Google) -> None:
    gce.reserve()
    key = "compute.googleapis.com/reservation-name"
    mine = {"consumeReservationType": "SPECIFIC_RESERVATION", "key": key, "values": ["mine"]}
    sentence = refusal(config_with(gce, [], reservationAffinity=mine))
    assert sentence.startswith(
        "available_node_types.gpu.node_config.reservationAffinity: project rehearsal has no reservation mine"
    )
    assert gce.count("compute.projects.setCommonInstanceMetadata") == 0


def test_a_block_that_is_about_to_end_is_refused_and_one_that_begins_later_is_a_note(gce: Google) -> None:
    gce.reserve(block(gce, ends_s=300))
    with pytest.raises(ClusterConfigError, match="which is too soon for a new one"):
        checked(gce, BLOCK, BLOCK_TYPE)
    gce.reserve(block(gce, begins_s=3600))
    (alone,) = checked(gce, BLOCK, BLOCK_TYPE)
    (before_spot,) = checked(gce, [*BLOCK, "spot"], BLOCK_TYPE)
    assert alone.startswith("provider.capacity.gpu: the reservation block begins at 20")
    assert alone.endswith("; no machine of it is launched before")
    assert before_spot.endswith("; until then, what follows it is launched")


def test_more_machines_than_places_are_a_note_where_nothing_follows(gce: Google) -> None:
    gce.reserve(GceReservation("mine", TYPE, 2, A))
    (note,) = checked(gce, MINE, TYPE, 5)
    assert "has places for 2 machines, and max_workers of gpu is 5; more than 2 are not launched" in note
    assert checked(gce, [*MINE, "spot"], TYPE, 5) == []
    assert checked(gce, MINE, TYPE, 2) == []


def test_where_the_account_may_not_ask_ray_up_continues_with_a_note(
    gce: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    gce.reserve(GceReservation("mine", TYPE, 1, A, readable=False))
    said: list[str] = []
    monkeypatch.setattr(_ray.cli_logger(), "warning", lambda text, *words: said.append(text.format(*words)))
    resolved(config_with(gce, MINE))
    (note,) = [one for one in said if "reservation" in one]
    assert note.startswith(
        "provider.capacity.gpu: your account lacks the permission compute.reservations.list in project rehearsal"
    )


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("reserved", "reserved names no reservation; write {reserved: NAME}; one that any machine may use is taken by"),
        ({"reserved": "projects/p/reservations/r"}, "which is no name of a reservation; write {reserved: NAME}, or"),
        ({"block": {"name": "b", "wait_for": "1h"}}, "block has wait_for, and only flex-start machines"),
    ],
)
def test_an_entry_that_names_no_reservation_of_google_is_refused(gce: Google, entry: Any, says: str) -> None:
    with pytest.raises((ClusterConfigError, click.ClickException), match=r"provider\.capacity\.gpu: ") as error:
        checked(gce, [entry], BLOCK_TYPE)
    assert says in str(error.value)
