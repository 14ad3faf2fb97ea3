"""A seekable file over byte ranges that keeps the end and one window: what reading an archive needs."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_READ_AHEAD = 64 * 1024


class ByteRanges(Protocol):
    """Where the bytes come from; `size` is known once the end was asked for."""

    size: int
    fetched: int

    def last(self, count: int) -> bytes: ...
    def between(self, start: int, end: int) -> bytes: ...
    def close(self) -> None: ...


class RangeFile(io.RawIOBase):
    """A file of which only the parts that are read are fetched."""

    def __init__(self, ranges: ByteRanges) -> None:
        super().__init__()
        self._ranges = ranges
        self._at = 0
        # An archive's directory is at its end: the first request brings the end, and with it the size.
        tail = ranges.last(_READ_AHEAD)
        self.size = ranges.size
        self._tail = (self.size - len(tail), tail)
        self._window = self._tail

    @property
    def fetched(self) -> int:
        """How many bytes have travelled so far."""
        return self._ranges.fetched

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self.size - self._at))
        if count:
            view[:count] = self._bytes(self._at, count)
            self._at += count
        return count

    def close(self) -> None:
        self._ranges.close()
        super().close()

    def _bytes(self, start: int, count: int) -> bytes:
        for held_from, held in (self._window, self._tail):
            if held_from <= start and start + count <= held_from + len(held):
                return held[start - held_from : start - held_from + count]
        end = min(self.size, start + max(count, _READ_AHEAD))
        self._window = (start, self._ranges.between(start, end))
        return self._window[1][:count]
