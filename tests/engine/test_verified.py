"""Hosts that share a prefix verify its environments separately."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from provision.engine import verified
from provision.errors import StepFailed


def test_each_host_has_its_own_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def switch_host(name: str) -> None:
        monkeypatch.setattr(verified, "host_id", lambda: name)

    switch_host("one")
    verified.save(tmp_path, b"of one")
    switch_host("two")
    assert verified.read_report(tmp_path) is None, "not verified on this host"
    verified.save(tmp_path, b"of two")
    verified.withdraw(tmp_path)
    assert verified.read_report(tmp_path) is None
    switch_host("one")
    assert verified.read_report(tmp_path) == b"of one"


def test_a_report_on_a_full_disk_is_a_failed_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StepFailed, match="No space left") as caught:
        verified.save(tmp_path, b"{}")
    assert caught.value.exit_code == 4
