"""Files in parts read like the original file."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from provision.doors import addresses, download, parts

DATA = random.Random(2).randbytes(3_500_000)


@pytest.mark.parametrize("most", [1_000_000, 3_499_999, 1_750_000])
def test_parts_read_like_the_whole_file(tmp_path: Path, most: int) -> None:
    path = tmp_path / "torch-2.13.0+cpu[1]-py3.whl"
    path.write_bytes(DATA)
    parts.split(path, most)
    pieces = parts.paths(path)
    assert not path.exists()
    assert max(part.stat().st_size for part in pieces) <= most
    assert len(pieces) == -(-len(DATA) // most)
    assert b"".join(parts.read(path)) == DATA
    digest = hashlib.sha256(DATA).hexdigest()
    assert parts.sha256(path) == digest
    assert download.is_complete(path, digest)
    assert download.size(path.as_uri(), addresses.Connection()) == len(DATA)
    download.download(
        path.as_uri(), digest, tmp_path / "again.whl", lambda _: None, addresses.Connection()
    )
    assert (tmp_path / "again.whl").read_bytes() == DATA


def test_parts_are_split_again_and_stale_parts_removed(tmp_path: Path) -> None:
    path = tmp_path / "torch.whl"
    path.write_bytes(DATA)
    (tmp_path / "torch.whl.part-009").write_bytes(b"of a killed run")
    for most, number in ((2_000_000, 2), (1_000_000, 4), (3_000_000, 4)):
        parts.split(path, most)
        assert len(list(tmp_path.iterdir())) == number
        assert b"".join(parts.read(path)) == DATA


def test_a_small_file_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "small.whl"
    path.write_bytes(DATA)
    parts.split(path, len(DATA))
    assert parts.paths(path) == [path]


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(parts.read(tmp_path / "none.whl"))
