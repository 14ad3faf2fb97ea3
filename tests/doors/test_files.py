"""Writing files atomically, and errors with a hint."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from provision.doors import files
from provision.errors import NotWritable, UnreadableInput


def test_a_file_is_written_with_its_folders_and_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "plan.json"
    files.write(path, "grüße\n", mode=0o600)
    assert path.read_bytes() == "grüße\n".encode()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"a": 1}', b'{"a": "\xff"}', b"[" * 100_000], ids=lambda c: c[:12]
)
def test_a_damaged_document_is_like_a_missing_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.json").write_bytes(content)
    assert files.read_document(tmp_path / "state.json", dict[str, str]) is None
    assert files.read_document(tmp_path / "none.json", dict[str, str]) is None


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text("old")
    files.write(path, b"new")
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["plan.json"]


def test_a_file_is_recognised_until_it_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A killed writer neither renames nor tidies up.
    monkeypatch.setattr(Path, "replace", lambda *_: None)
    files.write(tmp_path / "plan.json", "new")
    assert [path.name[:11] for path in tmp_path.iterdir()] == [".plan.json."]
    files.remove_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "no space is left"),
        (errno.EROFS, "read-only"),
        (errno.EDQUOT, "quota"),
        (errno.EACCES, "may write"),
        (errno.EIO, "another folder"),
    ],
)
def test_a_failed_write_keeps_the_old_file_and_explains_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, hint: str
) -> None:
    path = tmp_path / "plan.json"
    path.write_text("old")

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(NotWritable) as caught:
        files.write(path, "new")
    assert caught.value.where == str(path)
    assert os.strerror(number) in caught.value.what
    assert hint in caught.value.hint
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["plan.json"]


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("")
    with pytest.raises(NotWritable, match="logs"):
        files.write(tmp_path / "logs" / "x", "")


def test_a_folder_in_the_way_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(NotWritable) as caught:
        files.write(tmp_path / "x", "")
    assert caught.value.exit_code == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def test_folders_of_user_paths_are_not_created(tmp_path: Path) -> None:
    files.write(tmp_path / "logs" / "x", "")
    with pytest.raises(NotWritable) as caught:
        files.write(tmp_path / "lgos" / "x", "", make_folders=False)
    assert "does not exist" in caught.value.hint
    assert [entry.name for entry in tmp_path.iterdir()] == ["logs"]


def test_a_byte_order_mark_is_removed(tmp_path: Path) -> None:
    (tmp_path / "host.yaml").write_bytes(b"\xef\xbb\xbfgpus: []\xff\n")
    assert files.read_text(tmp_path / "host.yaml") == "gpus: []\ufffd\n"


@pytest.mark.parametrize(("name", "says"), [("none", "No such file"), (".", "Is a directory")])
def test_an_unreadable_file_is_named(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(UnreadableInput) as caught:
        files.read_text(tmp_path / name)
    assert says in caught.value.what
    assert caught.value.where == str(tmp_path / name)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "core").write_bytes(b"x" * 11)
    assert files.read_text(tmp_path / "core", limit=11) == "x" * 11
    with pytest.raises(UnreadableInput, match="larger"):
        files.read_text(tmp_path / "core", limit=10)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_the_output_of_a_windows_shell_is_read(tmp_path: Path, encoding: str) -> None:
    text, path = "GPU 0: NVIDIA L4 — 描述\r\n", tmp_path / "host.txt"
    mark = "\ufeff" if encoding.endswith(("-le", "-be")) else ""
    path.write_bytes(f"{mark}{text}".encode(encoding))
    assert files.read_text(path) == text
