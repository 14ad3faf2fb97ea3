"""Folders of shared libraries and the symbols that they offer together."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.binary.libraries import read
from tests.binary.tiny_elf import shared_object


def test_offers_of_all_and_what_comes_with_them(tmp_path: Path) -> None:
    (tmp_path / "libc10.so").write_bytes(
        shared_object(defined=("one",), undefined=("three",), needed=("libc.so.6",))
    )
    (tmp_path / "libgomp.so.1").write_bytes(shared_object(defined=("two",)))
    (tmp_path / "note.txt").touch()
    result = read(tmp_path)
    assert result.defined == {"one", "two"}
    assert result.names == {"libc10.so", "libgomp.so.1", "libc.so.6"}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (None, "contains no shared libraries"),
        (b"", "libx.so: not a readable"),
        (b"text", "libx.so: "),
    ],
)
def test_damage_is_named(tmp_path: Path, data: bytes | None, why: str) -> None:
    if data is not None:
        (tmp_path / "libx.so").write_bytes(data)
    with pytest.raises(ValueError, match=why):
        read(tmp_path)
