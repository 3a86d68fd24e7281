"""The tables of the benchmark of demand to running, of runs that are given."""

from __future__ import annotations

from collections import Counter

from benchmarks.demand_to_running import Run, Sample, show


def test_medians_ratios_and_calls_are_of_all_runs() -> None:
    ours = [Run([Sample(1, 7), Sample(1, 8)], Counter(DescribeInstances=4), 20), Run([Sample(2, 6)], Counter(), 10)]
    stock = [Run([Sample(3, 13)], Counter(DescribeInstances=5, CreateTags=6), 60)]
    lines = [line.split() for line in show({"ours": ours, "stock": stock}).splitlines()]
    assert ["demand", "to", "running", "8.00", "s", "16.00", "s", "0.500"] in lines
    assert ["DescribeInstances", "1.3", "8.0", "5.0", "5.0"] in lines
    assert ["CreateTags", "0.0", "0.0", "6.0", "6.0"] in lines
