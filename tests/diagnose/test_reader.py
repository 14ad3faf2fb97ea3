"""The reader takes any size, encoding and compression, and echoes no secret."""

from __future__ import annotations

import gzip
import io
import random
import shutil
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.diagnose import catalogue, diagnose, lines, reader
from provision.doors import log_stream
from provision.errors import UnreadableInput
from tests.diagnose import texts

ERROR = "ImportError: libcudart.so.13: cannot open shared object file: No such file or directory\n"
CAUSE = "vllm-wheel-cuda-major-mismatch"


def cause_of(path: Path) -> str:
    return texts.first(diagnose.of_log(log_stream.chunks(str(path))))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "log"
    path.write_bytes(("INFO one\r\n" * 30 + ERROR).encode(encoding))
    assert cause_of(path) == CAUSE


def test_gzip_and_a_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(ERROR.encode()))
    assert cause_of(path) == CAUSE
    path.write_bytes(gzip.compress(ERROR.encode() * 1000)[:60])
    with pytest.raises(UnreadableInput):
        cause_of(path)


def test_gzip_stops_at_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_stream, "MOST_UNPACKED", 5_000_000)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"0" * 50_000_000))
    assert sum(len(chunk) for chunk in log_stream.chunks(str(path))) == 5_000_000


def test_zstd_without_package_and_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    path = tmp_path / "log.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd rest")
    with pytest.raises(UnreadableInput, match="neither the Python package zstandard nor"):
        cause_of(path)


def test_zstd_by_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for zstd: it drops the magic number."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    program = tmp_path / "zstd"
    program.write_text("#!/bin/sh\ntail -c +5\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    path = tmp_path / "log.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + ERROR.encode() * 100_000)
    assert cause_of(path) == CAUSE
    program.write_text("#!/bin/sh\necho damaged >&2; exit 1\n")
    with pytest.raises(UnreadableInput, match="damaged"):
        cause_of(path)


def test_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(ERROR.encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert texts.first(diagnose.of_log(log_stream.chunks("-"))) == CAUSE


def test_binary_is_refused_and_an_empty_file_has_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(random.Random(1).randbytes(100_000))
    with pytest.raises(UnreadableInput, match="is not text"):
        cause_of(path)
    path.write_bytes(b"")
    assert cause_of(path) == ""
    with pytest.raises(UnreadableInput, match="cannot be read"):
        cause_of(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        f"\x1b[31m{ERROR[:30]}\x1b[0m{ERROR[30:]}",
        f"\r 10%|#  | 1/9\r 20%|## | 2/9\r{ERROR}",
        f"vllm-1  | (Worker_TP1 pid=77) ERROR 11-18 18:07:28 [core.py:9] {ERROR}",
        f"[pod/vllm-0/main] 2026-01-01T00:00:00.123Z {ERROR}",
        f'{{"log": "a\\nb\\n{ERROR.strip()}\\n", "stream": "stderr"}}',
        "x" * 3_000_000 + f" {ERROR}",
        "ImportError: libcudart.so.13: cannot open\n  shared object file: No such file\n",
        "\uff29mport\uff25rror: libcudart.so.13: cannot open shared object file\n",
        "ImportError: libcudart.so.13: 无法打开共享对象文件: 没有那个文件或目录\n",
    ],
    ids=["ansi", "progress", "compose", "kubectl", "json", "long", "wrapped", "wide", "chinese"],
)
def test_odd_lines(text: str) -> None:
    assert texts.first(texts.diagnosed(text)) == CAUSE


def test_ranks_are_folded_and_lines_are_counted() -> None:
    text = "INFO\n" * 41 + "".join(f"(Worker_TP{i} pid={i}) {ERROR}" for i in range(8))
    (finding,) = texts.diagnosed(text).findings
    assert [line.line for line in finding.evidence] == [42]


def test_secrets_and_control_characters_are_not_echoed() -> None:
    token = "hf_" + "a" * 30
    text = f"token={token} api_key=12ab34cd56ef Bearer {token} \x1b]0;title\x07\x9b {ERROR}"
    told = texts.diagnosed(text)
    shown = str(told)
    assert told.findings
    assert token not in shown
    assert "12ab34cd56ef" not in shown
    assert all(line.text.isprintable() for line in told.findings[0].evidence)


def test_memory_is_bounded() -> None:
    block = "".join(f"request {i:x} of user {i * 7919:x} took {i} ms\n" for i in range(20_000))

    def chunks() -> Iterator[bytes]:
        yield from [block.encode()] * 20
        yield ERROR.encode()

    catalogue.load()
    tracemalloc.start()
    found = reader.scan(chunks(), catalogue.load())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.bytes > 15_000_000
    assert found.signals
    assert peak < 20_000_000


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("ERROR 11-18 18:07:28 engine.py:366] boom", "boom"),
        ("(EngineCore_DP0 pid=12) INFO 01-01 00:00:00 [a.py:1] boom", "boom"),
        ("[rank3]: boom", "boom"),
        ("    │ boom", "boom"),
        ("  \u00d7 boom", "boom"),
        ("#12 34.5 boom", "boom"),
    ],
)
def test_prefixes_are_removed(text: str, plain: str) -> None:
    assert lines.cleaned(text) == plain
