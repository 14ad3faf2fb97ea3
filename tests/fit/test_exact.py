"""fit/exact.py: what vLLM's own code counts replaces what the config implies, where they differ."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from provision.fit import describe, exact, weights
from tests.fit.small_models import MODELS

SMALL = describe.describe(MODELS["dense"], "small", "small")
# What vLLM 0.32.0 counted for the small models, parameters and buffers in bytes.
COUNTED = {
    "dense": 402704576,
    "tied": 989114496,
    "experts": 497276096,
    "latent": 651409600,
    "sliding": 338269378,
    "hybrid": 569602832,
}


def stand_in(place: Path, document: str) -> str:
    """Write a `python` that leaves this document where it is told to."""
    script = place / "bin" / "python"
    script.parent.mkdir(parents=True)
    script.write_text(f"#!/bin/sh\ncat > \"$4\" <<'END'\n{document}\nEND\n")
    script.chmod(0o755)
    return str(place)


def counted(tmp_path: Path, document: str) -> tuple[float, str]:
    place = stand_in(tmp_path, document)
    config = json.dumps(MODELS["dense"])
    model, said = exact.counted(SMALL, place, "script", config, dict(os.environ))
    return model.stored, said


@pytest.mark.parametrize("name", MODELS)
def test_small_models_are_as_vllm_counts_them(name: str) -> None:
    model = describe.describe(MODELS[name], name, name)
    _, said = exact.applied(model, COUNTED[name])
    assert said.endswith("as computed")


def test_a_count_that_differs_is_used(tmp_path: Path) -> None:
    stored, said = counted(tmp_path, json.dumps({"bytes": 2 * COUNTED["dense"]}))
    assert stored == pytest.approx(2, rel=0.01)
    assert "its count is used" in said
    whole = weights.of_rank(exact.applied(SMALL, 10**9)[0], None, "bfloat16").likely
    assert whole * 2**30 == pytest.approx(10**9, rel=0.001)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ('{"problem": "ValueError: not supported"}', "not supported"),
        ("no document", "ended with status 0"),
    ],
)
def test_what_could_not_be_counted_changes_nothing(
    tmp_path: Path, document: str, says: str
) -> None:
    stored, said = counted(tmp_path, document)
    assert stored == 1.0
    assert says in said
