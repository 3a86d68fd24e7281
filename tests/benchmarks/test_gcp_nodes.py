"""The benchmark of nodes on Google Cloud runs, and answers each of its questions."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]

QUESTIONS = (
    "4 nodes up",
    "the longest listing meanwhile",
    "4 labels on each of 4 nodes",
    "the longest listing while labels are written",
    "4 nodes deleted",
    "the longest listing while nodes are deleted",
    "a listing of 20 nodes",
)


def test_each_question_has_both_answers_and_ours_lists_without_being_blocked() -> None:
    words = [sys.executable, "-m", "benchmarks.gcp_nodes", "--nodes=4", "--few=1", "--many=20", "--faster=30"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [re.split(r"  +", line.rstrip()) for line in done.stdout.splitlines()]
    told = {question: answers for question, *answers in rows if question in QUESTIONS}
    assert tuple(told) == QUESTIONS
    for question, (ours, stock, *_) in told.items():
        if question.startswith("the longest"):
            assert float(ours.removesuffix(" s")) < float(stock.removesuffix(" s")), question
    assert told["a listing of 20 nodes"][0].startswith("20 in ")
