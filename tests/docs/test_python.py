"""What the documents show in Python: blocks run up to the cluster, errors are raised, devices can be asked for so."""

from __future__ import annotations

import re

import pytest

from accel_scaling.catalog.load import shipped_catalog
from accel_scaling.fill.promise import promise_for
from tests.support.contributing import ROOT
from tests.support.documents import BLOCKS, Block

# A block that is quoted from a file of this repository (`<!-- from: FILE -->`) runs there.
ALONE = [block for block in BLOCKS if block.language == "python" and block.key != "from"]


@pytest.mark.parametrize("block", ALONE, ids=str)
def test_a_python_block_runs_up_to_the_cluster(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "init", lambda *args, **kwargs: None)  # Ray checks a task's options without a cluster
    submitted = re.sub(r"^print\(.*$", "", block.body, flags=re.MULTILINE)
    exec(compile(submitted, str(block), "exec"), {"__name__": "document"})


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.key == "python"], ids=str)
def test_an_error_in_a_document_is_what_its_expression_raises(block: Block) -> None:
    import accel_scaling
    from accel_scaling.errors import AskingError

    with pytest.raises(AskingError) as raised:
        eval(block.value, {"acc": accel_scaling})
    assert f"{raised.type.__name__}: {raised.value}\n" == block.body


def test_each_way_to_ask_for_a_device_is_one_that_ray_takes_and_the_catalog_promises() -> None:
    import ray

    text = (ROOT / "docs" / "catalogs.md").read_text(encoding="utf-8")
    table = text[text.index("## How to ask") : text.index("## The files")]
    calls = re.findall(r"`((?:num_gpus|resources)=[^`]+)`", table)
    assert len(calls) >= 10
    for call in calls:
        options = eval(f"dict({call})")
        ray.remote(**options)(lambda: None)
        if "accelerator_type" in options:
            machines = shipped_catalog().find(options["accelerator_type"], cloud="aws")
            amount = {"GPU": options["num_gpus"]} if "num_gpus" in options else options["resources"]
            assert any(_enough(machine, amount) for machine in machines), call


def _enough(machine, amount) -> bool:
    promised = promise_for(machine).resources
    return all(promised.get(name, 0) >= value for name, value in amount.items())
