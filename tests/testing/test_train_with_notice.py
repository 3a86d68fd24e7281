"""example_clusters/train_with_notice.py: on a notice, a run of Ray Train saves a checkpoint and continues elsewhere."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.rehearsal import REHEARSE, ROOT, environment, lean, left_behind

EXAMPLE = "example_clusters/train_with_notice.py"


class Trained:
    """The program's training function, with Ray Train's answers at hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        monkeypatch.setenv("RAY_TRAIN_V2_ENABLED", "1")  # which the program sets where it is not set
        import ray.train

        self._program = runpy.run_path(str(ROOT / EXAMPLE))
        self._names = self._program["train"].__globals__
        self._folder, self.reported, self.said = folder, [], []
        self.checkpoint: Any = None
        monkeypatch.setattr(ray.train, "report", self._report)
        monkeypatch.setattr(ray.train, "get_checkpoint", lambda: self.checkpoint)
        monkeypatch.setattr(ray.train, "get_context", lambda: SimpleNamespace(get_world_rank=lambda: 0))
        monkeypatch.setattr(ray, "get_actor", lambda name: None)
        self._names["say"] = lambda log, text: self.said.append(text.partition(", ")[0])

    def train(self, notices: Iterator[Any] | None) -> None:
        self._names["PREEMPTION_INFO"] = notices and (lambda: next(notices))
        self._program["train"]({"steps": 10, "step_s": 0.0, "save_each": 4})

    @property
    def taken(self) -> type[Exception]:
        error: type[Exception] = self._names["MachineIsTakenError"]
        return error

    def _report(self, metrics: dict[str, int], checkpoint: Any) -> None:
        with checkpoint.as_directory() as folder:
            state = json.loads((Path(folder) / "state.json").read_text(encoding="utf-8"))
        assert state == metrics
        self.reported.append(metrics["step"])
        kept = self._folder / str(metrics["step"])
        kept.mkdir(exist_ok=True)
        (kept / "state.json").write_text(json.dumps(state), encoding="utf-8")
        self.checkpoint = type(checkpoint).from_directory(str(kept))


@pytest.fixture(name="trained")
def trained_fixture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Trained:
    return Trained(monkeypatch, tmp_path)


@pytest.mark.parametrize("deadline_ms", [None, 2e12])
def test_a_notice_leads_to_a_checkpoint_with_which_the_next_workers_continue(
    trained: Trained, deadline_ms: float | None
) -> None:
    notice = SimpleNamespace(deadline_ms=deadline_ms)
    with pytest.raises(trained.taken, match="checkpoint of step 6"):
        trained.train(iter([None] * 5 + [notice]))
    assert trained.reported == [4, 6]
    trained.train(iter([None] * 4))
    assert trained.reported == [4, 6, 8, 10]
    assert trained.said == [
        "the run begins at step 0",
        "the run sees the notice in step 6",
        "the checkpoint of step 6 is saved",
        "the run continues from the checkpoint of step 6",
    ]


def test_on_an_older_ray_the_run_has_its_regular_checkpoints(trained: Trained) -> None:
    trained.train(None)
    assert trained.reported == [4, 8, 10]


@pytest.mark.cluster
@pytest.mark.wide
@pytest.mark.since(2, 58)  # ray.train.get_preemption_info
@pytest.mark.timeout(400)
def test_a_rehearsed_run_saves_its_checkpoint_in_time_and_ends_on_the_replacement(scratch: Path) -> None:
    faults, said = scratch / "faults.txt", []
    faults.touch()
    # Google's notice comes 30 s before the end, for which the actor waits; EC2's two minutes.
    words = [lean(ROOT / "example_clusters" / "gcp-gpu.yaml", scratch), "--shared", "~/runs", "--faults", faults]
    command = ["python3", EXAMPLE, "--accelerator", "L4", "--steps", "60", "--step-s", "0.5"]
    process = subprocess.Popen(
        [*REHEARSE, *words, "--", *command], cwd=ROOT, env=environment(scratch), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    for line in process.stdout or ():
        said.append(line)
        if "the run begins at step 0" in line:
            faults.write_text("notice:g2-standard-4@1s\n", encoding="utf-8")
    output = "".join(said)
    assert process.wait() == 0, output
    step = re.search(r"- the run sees the notice in step (\d+), \d+ s before its machine ends", output)
    assert step is not None, output
    summary = output.partition("seconds after the node was drained:")[2]
    for text in (
        f"the checkpoint of step {step[1]} is saved",
        f"the run continues from the checkpoint of step {step[1]}, on ",
        "the run has ended at step 60",
        "the evaluator moves to ",
    ):
        assert re.search(rf"^ *\d+\.\d s  {text}", summary, re.MULTILINE), output
    hit = re.search(
        r"^hit at .* g2-standard-4 \S+, drained after (\d+\.\d) s, terminated after .* is confirmed",
        output,
        re.MULTILINE,
    )
    assert hit is not None, output
    assert left_behind(scratch) == []
