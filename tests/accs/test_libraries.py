"""Ray's libraries take what we return where they take Ray's own options: Data and Train, each with a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

import accel_scaling as acc

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("two_t4")]


def test_ray_data_maps_batches_on_accelerators() -> None:
    import ray.data

    class Model:
        def __call__(self, batch: dict) -> dict:
            batch["device"] = acc.get_acc_ids() * len(batch["id"])
            return batch

    rows = (
        ray.data.range(4)
        .map_batches(Model, batch_size=2, concurrency=1, **acc.options(num_accs=1, accelerator_type="T4"))
        .take_all()
    )
    assert sorted(row["id"] for row in rows) == [0, 1, 2, 3]
    assert {row["device"] for row in rows} <= {"0", "1"}


def test_ray_train_asks_for_its_workers_as_the_bundle_says() -> None:
    from ray.train import ScalingConfig

    scaling = ScalingConfig(num_workers=2, use_gpu=True, resources_per_worker=acc.bundle(1, "T4", CPU=1))
    assert scaling.as_placement_group_factory().bundles[-2:] == [acc.bundle(1, "T4", CPU=1)] * 2


@pytest.mark.wide  # a bundle is asked for above, and tests/accs/test_ray.py gets devices for one
def test_ray_train_gives_each_worker_its_own(tmp_path: Path) -> None:
    from ray.train import RunConfig, ScalingConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    def train() -> None:
        import ray.train

        rank = ray.train.get_context().get_world_rank()
        (tmp_path / f"rank-{rank}").write_text(" ".join(acc.get_acc_ids()))

    scaling = ScalingConfig(num_workers=2, use_gpu=True, resources_per_worker=acc.bundle(1, "T4", CPU=1))
    DataParallelTrainer(train, scaling_config=scaling, run_config=RunConfig(storage_path=str(tmp_path / "runs"))).fit()
    assert {(tmp_path / f"rank-{rank}").read_text() for rank in (0, 1)} == {"0", "1"}
