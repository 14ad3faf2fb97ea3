"""A prefix that several hosts share: what one of them has verified, or not, says nothing of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.engine import verified


def test_each_host_has_its_own_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def here(name: str) -> None:
        monkeypatch.setattr(verified, "host_id", lambda: name)

    here("one")
    verified.save(tmp_path, b"of one")
    here("two")
    assert verified.report(tmp_path) is None, "not verified here"
    verified.save(tmp_path, b"of two")
    verified.withdraw(tmp_path)
    assert verified.report(tmp_path) is None
    here("one")
    assert verified.report(tmp_path) == b"of one"
