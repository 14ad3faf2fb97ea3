"""A file in parts reads as the file that it was."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from provision.doors import download, parts, sessions

DATA = random.Random(2).randbytes(3_500_000)


@pytest.mark.parametrize("most", [1_000_000, 3_499_999, 1_750_000])
def test_parts_make_the_whole(tmp_path: Path, most: int) -> None:
    path = tmp_path / "torch-2.13.0+cpu[1]-py3.whl"
    path.write_bytes(DATA)
    parts.split(path, most)
    lying = parts.paths(path)
    assert not path.exists()
    assert max(part.stat().st_size for part in lying) <= most
    assert len(lying) == -(-len(DATA) // most)
    assert b"".join(parts.read(path)) == DATA
    digest = hashlib.sha256(DATA).hexdigest()
    assert parts.sha256(path) == digest
    assert download.is_complete(path, digest)
    assert download.size(path.as_uri(), sessions.Connection()) == len(DATA)
    download.download(
        path.as_uri(), digest, tmp_path / "again.whl", lambda _: None, sessions.Connection()
    )
    assert (tmp_path / "again.whl").read_bytes() == DATA


def test_smaller_parts_are_made_of_larger_ones_and_a_killed_run_leaves_none(tmp_path: Path) -> None:
    path = tmp_path / "torch.whl"
    path.write_bytes(DATA)
    (tmp_path / "torch.whl.part-009").write_bytes(b"of a run that was killed")
    for most, number in ((2_000_000, 2), (1_000_000, 4), (3_000_000, 4)):
        parts.split(path, most)
        assert len(list(tmp_path.iterdir())) == number
        assert b"".join(parts.read(path)) == DATA


def test_a_small_file_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "small.whl"
    path.write_bytes(DATA)
    parts.split(path, len(DATA))
    assert parts.paths(path) == [path]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(parts.read(tmp_path / "none.whl"))
