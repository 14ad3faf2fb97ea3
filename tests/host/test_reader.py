"""The child that reads files: kinds of outcome, links and folders, and one that hangs."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from provision.host import _gather, _reader, iommu
from provision.host._model import File


def test_a_file_is_read_whole_and_an_absent_one_is_absent(tmp_path: Path) -> None:
    (tmp_path / "version").write_bytes(b"580.65.06\xff\n")
    assert _reader.read_file(str(tmp_path / "version")) == {
        "outcome": "ok",
        "text": "580.65.06\ufffd\n",
    }
    assert _reader.read_file(str(tmp_path / "none"))["outcome"] == "absent"
    assert _reader.read_file(str(tmp_path / "version" / "below"))["outcome"] == "absent"


def test_of_the_kernel_command_line_only_the_words_that_are_used_are_kept(tmp_path: Path) -> None:
    (source,) = (source for source in iommu.FACT.sources if source.key == "file /proc/cmdline")
    assert isinstance(source, File)
    line = "BOOT_IMAGE=/canary root=UUID=canary intel_iommu=on key=canary iommu=pt canary pci=nommconf quiet\n"
    (tmp_path / "cmdline").write_text(line)
    text = _reader.read_file(str(tmp_path / "cmdline"), source.words)["text"]
    assert text == "intel_iommu=on iommu=pt pci=nommconf"
    orders = {"line": {"file": str(tmp_path / "cmdline"), "words": source.words}}
    assert _gather.read_in_child(orders, 5)["line"].text == text


def test_what_is_no_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        assert _reader.read_file(str(path))["outcome"] == "failed"


def test_a_file_of_somebody_else_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(_: str) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(_reader, "_content", refuse)
    (tmp_path / "secret").write_text("")
    assert _reader.read_file(str(tmp_path / "secret"))["outcome"] == "refused"
    assert _reader.read_files([str(tmp_path / "*")])["outcome"] == "refused"


def test_a_large_file_is_cut(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * (_reader.FILE_LIMIT + 5))
    assert len(_reader.read_file(str(tmp_path / "big"))["text"]) == _reader.FILE_LIMIT


def test_matches_are_texts_links_and_folders(tmp_path: Path) -> None:
    (tmp_path / "device").mkdir()
    (tmp_path / "driver").symlink_to("../drivers/nvidia")
    (tmp_path / "vendor").write_text("0x10de\n")
    os.mkfifo(tmp_path / "pipe")
    answer = _reader.read_files([f"{tmp_path}/d*", f"{tmp_path}/v*", f"{tmp_path}/p*"])
    assert json.loads(answer["text"]) == {
        f"{tmp_path}/device": "",
        f"{tmp_path}/driver": "-> ../drivers/nvidia",
        f"{tmp_path}/vendor": "0x10de\n",
        f"{tmp_path}/pipe": "",
    }
    assert _reader.read_files([f"{tmp_path}/none*"])["outcome"] == "absent"


def test_a_job_that_hangs_costs_the_deadline_and_one_that_breaks_costs_itself() -> None:
    answers: dict[str, dict[str, str]] = {}
    forever = threading.Event()

    def hang() -> dict[str, str]:
        forever.wait(30)
        return {"outcome": "ok"}

    def explode() -> dict[str, str]:
        raise RuntimeError("inside")

    began = time.monotonic()
    work = {"hangs": hang, "breaks": explode, "works": lambda: {"outcome": "ok", "text": "here"}}
    _reader.answer_all(work, 0.2, answers.__setitem__)
    assert time.monotonic() - began < 1
    forever.set()
    assert answers["works"] == {"outcome": "ok", "text": "here"}
    assert answers["breaks"] == {"outcome": "failed", "detail": "RuntimeError: inside"}


def test_the_child_answers_everything_it_is_asked(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    readings = _gather.read_in_child(
        {
            "one": {"file": str(tmp_path / "a")},
            "none": {"file": str(tmp_path / "b")},
            "all": {"files": [f"{tmp_path}/*"]},
            "disks": {"disks": {"tmpdir": str(tmp_path / "new" / "er")}},
        },
        5.0,
    )
    assert (readings["one"].outcome, readings["one"].text) == ("ok", "text")
    assert readings["none"].outcome == "absent"
    assert json.loads(readings["all"].text) == {f"{tmp_path}/a": "text"}
    disk = json.loads(readings["disks"].text)["tmpdir"]
    assert (disk["exists"], disk["writable"]) == (False, True)
    assert 0 < disk["free"] <= disk["total"]


HANGS_HALF_WAY = """
import time
print('["two", {"outcome": "absent"}]')
print('["thr', end="", flush=True)
time.sleep(60)
"""


def test_what_a_hanging_child_did_not_answer_is_timed_out_and_not_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_gather, "_READER", HANGS_HALF_WAY)
    monkeypatch.setattr(_gather, "_LEFT_BEHIND_S", 0.5)
    readings = _gather.read_in_child({key: {"file": "/x"} for key in ("one", "two", "three")}, 0.5)
    assert [readings[key].outcome for key in ("one", "two", "three")] == [
        "timed out",
        "absent",
        "timed out",
    ]


def test_a_child_that_cannot_start_its_work_says_why() -> None:
    reading = _gather.read_in_child({"one": {"no such look": None}}, 5.0)["one"]
    assert reading.outcome == "failed"
    assert "KeyError" in reading.detail
