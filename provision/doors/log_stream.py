"""Read a log of any size in chunks of UTF-8: plain, UTF-16, gzip or zstd, from a file or stdin."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import itertools
import shutil
import sys
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from provision.errors import UnreadableInput

CHUNK = 1024 * 1024
MOST_UNPACKED = 2 * 1024**3
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_MOST_CONTROLS = 0.1  # of the first chunk; more is no text
_CONTROLS = bytes({*range(32)} - {*b"\t\n\r\f\b\x1b"})


def chunks(name: str) -> Iterator[bytes]:
    """Yield the text of a file, or of stdin for `-`; raise UnreadableInput if it is none."""
    where = "standard input" if name == "-" else name
    try:
        with _opened(name) as stream:
            yield from _decoded(_unpacked(_raw(stream), where), where)
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableInput(
            f"cannot be read: {getattr(error, 'strerror', None) or error}",
            where=where,
            hint="name a log file that exists and that you may read, or - for stdin",
        ) from error


def _opened(name: str) -> contextlib.AbstractContextManager[BinaryIO]:
    if name == "-":
        return contextlib.nullcontext(sys.stdin.buffer if sys.stdin else io.BytesIO())
    return open(name, "rb")


def _raw(stream: Any) -> Iterator[bytes]:  # noqa: ANN401 - files, gzip and zstd share no type
    read = getattr(stream, "read1", stream.read)
    while chunk := read(CHUNK):
        yield chunk


def _unpacked(raw: Iterator[bytes], where: str) -> Iterator[bytes]:
    head = b""
    while len(head) < len(_ZSTD) and (chunk := next(raw, b"")):
        head += chunk
    whole = itertools.chain([head], raw)
    if head.startswith(_GZIP):
        return _limited(_raw(gzip.GzipFile(fileobj=io.BufferedReader(_Joined(whole)))))
    if head.startswith(_ZSTD):
        return _limited(_from_zstd(whole, where))
    return whole


def _limited(unpacked: Iterator[bytes]) -> Iterator[bytes]:
    """Stop at 2 GB: a small file can unpack to any size."""
    left = MOST_UNPACKED
    for chunk in unpacked:
        yield chunk[:left]
        left -= len(chunk)
        if left <= 0:
            return


class _Joined(io.RawIOBase):
    """A stream made of chunks, for readers that want one."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts, self._rest = iter(parts), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - a writable buffer has no type
        self._rest = self._rest or next(self._parts, b"")
        part = self._rest[: len(buffer)]
        buffer[: len(part)] = part
        self._rest = self._rest[len(part) :]
        return len(part)


def _from_zstd(packed: Iterable[bytes], where: str) -> Iterator[bytes]:
    try:
        import zstandard  # an optional package, not one of ours
    except ImportError:
        return _from_zstd_program(packed, where)
    reader = zstandard.ZstdDecompressor().stream_reader(
        io.BufferedReader(_Joined(packed)), read_across_frames=True
    )
    return _zstd_chunks(reader, zstandard.ZstdError, where)


def _zstd_chunks(reader: Any, error: type[Exception], where: str) -> Iterator[bytes]:  # noqa: ANN401 - untyped package
    try:
        yield from _raw(reader)
    except error as damage:
        raise UnreadableInput(
            f"is damaged: {damage}", where=where, hint="compress the log again"
        ) from None


def _from_zstd_program(packed: Iterable[bytes], where: str) -> Iterator[bytes]:
    from provision.doors import process

    if shutil.which("zstd") is None:
        raise UnreadableInput(
            "is compressed with zstd, and neither the Python package zstandard nor the program "
            "zstd is here",
            where=where,
            hint=f"install zstd, or unpack it elsewhere: zstd -dc {where} | ./setup.sh diagnose -",
        )
    return process.filtered(["zstd", "-dcq"], packed, where=where)


def _decoded(raw: Iterator[bytes], where: str) -> Iterator[bytes]:
    head = next(raw, b"")
    while 0 < len(head) < 4 and (more := next(raw, b"")):
        head += more
    if encoding := _utf_16(head):
        decoder = codecs.getincrementaldecoder(encoding)("replace")
        for chunk in itertools.chain([head], raw):
            yield decoder.decode(chunk).encode()
        return
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if controls > _MOST_CONTROLS * len(head):
        raise UnreadableInput("is not text", where=where, hint="check that this is the right file")
    yield from itertools.chain([head], raw)


def _utf_16(head: bytes) -> str:
    """Return the UTF-16 encoding of a text, which may lack the byte order mark; "" for UTF-8."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = head[:4096:2].count(0), head[1:4096:2].count(0)
    half = min(len(head), 4096) // 2
    if half >= 8 and odd > 0.7 * half and even < 0.1 * half:
        return "utf-16-le"
    return "utf-16-be" if half >= 8 and even > 0.7 * half and odd < 0.1 * half else ""
