"""A disk that cannot be synced is a failure: what was written might be gone after a power cut."""

from __future__ import annotations

import ctypes
import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from provision.doors import files
from provision.errors import StepFailed


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_failed_sync_is_raised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    def syncfs(_: int) -> int:
        ctypes.set_errno(number)
        return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace(syncfs=syncfs))
    with pytest.raises(StepFailed, match="cannot be written to the disk"):
        files.sync_file_system(tmp_path)
