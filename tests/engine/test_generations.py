"""Ids of runs and environments sort by time, also within one second."""

from __future__ import annotations

import time

import pytest

from provision.engine import environments


def test_ids_sort_as_runs_began(monkeypatch: pytest.MonkeyPatch) -> None:
    second = 1_700_000_000 * 10**9
    moments = [second, second + 20_000, second + 500_000_000, second + 999_999_999, second + 10**9]
    monkeypatch.setattr(time, "time_ns", iter(moments).__next__)
    ids = [environments.new_id() for _ in moments]
    assert ids == [f"20231114T221320Z-{part}" for part in ("0000", "0001", "8000", "ffff")] + [
        "20231114T221321Z-0000"
    ]
    assert sorted(ids) == ids
