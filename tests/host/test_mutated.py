"""What happens to a text on its way adds no fact and takes no long time."""

from __future__ import annotations

import pytest

from tests.host import mutated


@pytest.mark.parametrize("seed", range(5))
def test_no_mutation_adds_a_fact(seed: int) -> None:
    found = [fault for pair in mutated.mutated(100, seed) for fault in mutated.faults(*pair)]
    assert found == []


def test_an_added_fact_would_be_seen() -> None:
    text = mutated.TEXTS[0].read_text()
    assert mutated.faults(text, f"Nvidia driver version: 999.99\n{text}")
