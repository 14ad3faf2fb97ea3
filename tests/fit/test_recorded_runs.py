"""The recorded runs: weights, blocks and verdicts as vLLM printed them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fit import runs

RUNS = {run["id"]: run for run in runs.runs()}
# Misses that benchmarks/fit.py and docs/measured/fit.md name; figures of them are not asserted.
MISSES = {"fit-065", "fit-083", "fit-085", "fit-100"}
COUNTED = [
    run for run in RUNS.values() if run["id"] not in MISSES and not run.get("config_unknown")
]


def printing(*figures: str) -> list[Any]:
    """The runs whose source names these figures."""
    return [
        pytest.param(run, id=run["id"]) for run in COUNTED if {*figures} <= run["printed"].keys()
    ]


@pytest.mark.parametrize("run", printing("weights_gib"))
def test_weights_are_within_one_percent(run: dict[str, Any]) -> None:
    printed = run["printed"]["weights_gib"]
    assert runs.predict(run).rank.weights.likely == pytest.approx(printed, rel=0.01)


@pytest.mark.parametrize("run", printing("concurrency"))
def test_concurrency_is_within_five_percent(run: dict[str, Any]) -> None:
    printed = run["printed"]["concurrency"]
    assert runs.predict(run).concurrency.likely == pytest.approx(printed, rel=0.05)


@pytest.mark.parametrize("run", RUNS.values(), ids=lambda run: run["id"])
def test_the_verdict_agrees_with_the_outcome(run: dict[str, Any]) -> None:
    verdict = runs.predict(run).verdict
    expected = {
        "served": ("fits", "tight"),
        "refused": ("refused", "does not fit"),
        "failed": ("tight", "refused", "does not fit"),
    }
    assert verdict in expected[run["outcome"]]


@pytest.mark.parametrize("run", printing("kv_cache_gib", "concurrency"))
def test_concurrency_follows_from_the_printed_memory(run: dict[str, Any]) -> None:
    """Given the printed GiB, concurrency follows without any coefficient."""
    sized = runs.predict(run)
    assert sized.pool is not None
    blocks = sized.pool.blocks(run["printed"]["kv_cache_gib"] * 2**30, sized.stage)
    if run.get("gib_of_other_rank"):
        assert sized.pool.concurrency(blocks, sized.length) > run["printed"]["concurrency"]
    else:  # both are printed with two digits
        got = sized.pool.concurrency(blocks, sized.length)
        assert got == pytest.approx(run["printed"]["concurrency"], rel=0.006)
