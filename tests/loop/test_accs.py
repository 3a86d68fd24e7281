"""Accelerators in tasks, on a real cluster that launches machines for them: ids, variables, who gives them back."""

from __future__ import annotations

from typing import Any

import pytest

from accel_scaling.testing import Fault
from tests.support.cluster import LEAN, cluster, config_of

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

# What is asked, and what the task must see: the machine that came, its devices' ids, and their variable.
FAMILIES: list[tuple[dict[str, Any], str, list[str], str]] = [
    ({"num_accs": 4, "accelerator_type": "T4"}, "g4dn.12xlarge", ["0", "1", "2", "3"], "CUDA_VISIBLE_DEVICES"),
    ({"num_accs": 2, "accelerator_type": "Inferentia2"}, "inf2.xlarge", ["0", "1"], "NEURON_RT_VISIBLE_CORES"),
    ({"num_accs": 8, "accelerator_type": "Intel-GAUDI"}, "dl1.24xlarge", [*"01234567"], "HABANA_VISIBLE_MODULES"),
]


def test_each_family_gets_its_ids_and_gives_them_back_and_no_device_has_two_owners() -> None:
    config = config_of({name: name for _, name, _, _ in FAMILIES} | {"h100": "p5.48xlarge", "a100": "p4d.24xlarge"})
    gaudi = config["available_node_types"]["dl1.24xlarge"]["node_config"]
    gaudi["ImageId"] = "ami-0123456789abcdef0"  # AWS has none with its driver: a user names one
    with cluster(config | LEAN) as one:
        one.local.set_faults(Fault.capacity("p5.48xlarge", 0))
        one.up()
        one.has("cluster_accs.py")
        # From nothing: each task launches the machine of its family.
        told = one.scenario("each", [asked for asked, _, _, _ in FAMILIES])
        for ran, (_, machine, ids, variable) in zip(told, FAMILIES, strict=True):
            assert (ran["instance_type"], ran["verdict"], ran["ids"]) == (machine, "Confirmed", ids)
            assert ran["variables"] == {variable: ",".join(ids)}
        # Two halves share a device; each of two devices has its own id.
        told = one.scenario("shared", "T4")
        (first, second), two = told["halves"], told["two"]
        assert first["ids"] == second["ids"]
        assert first["variables"] == {"CUDA_VISIBLE_DEVICES": first["ids"][0]}
        assert len(set(two["ids"])) == 2
        assert two["variables"] == {"CUDA_VISIBLE_DEVICES": ",".join(two["ids"])}
        # After a task's end, an actor's end and a killed worker, everything is there to be given again.
        for asked, _, ids, _ in FAMILIES[:2]:
            assert one.scenario("given_back", asked) == [ids] * 4
        told = one.scenario("owners", {"num_accs": 1, "accelerator_type": "T4"})
        assert (told["tasks"], told["two_owners"], told["ids"]) == (200, 0, ["0", "1", "2", "3"])
        assert told["killed"] > 5
        # Of two choices, a free node is preferred to a launch; and what is sold out gives way to the next.
        (ran,) = one.scenario("each", [{"num_accs": 1, "accelerator_type": ["H100", "T4"]}])
        assert ran["instance_type"] == "g4dn.12xlarge"
        (ran,) = one.scenario("each", [{"num_accs": 8, "accelerator_type": ["H100", "A100-40G"]}])
        assert (ran["instance_type"], len(ran["ids"])) == ("p4d.24xlarge", 8)
        # Without a type, the families that the file can launch are named.
        assert one.scenario("refusal", {"num_accs": 1}) == (
            "num_accs=1 can mean several families of accelerators in this cluster: HPU (Intel-GAUDI), neuron_cores "
            "(Inferentia2, aws-neuron-core), GPU (A100, A100-40G, H100, T4); name an accelerator_type"
        )
