"""A seekable remote file that fetches only the parts that are read: enough to read an archive."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from provision.doors.remote_file import RemoteFile

_READ_AHEAD = 64 * 1024


class RangeFile(io.RawIOBase):
    """A file in memory of which the end and one window are kept."""

    def __init__(self, remote: RemoteFile) -> None:
        super().__init__()
        self._remote = remote
        self._position = 0
        # The directory of an archive is at its end: one request brings it and tells the size.
        tail = self._fetch(-_READ_AHEAD, None)
        self.size = remote.size
        self._tail = (self.size - len(tail), tail)
        self._window = self._tail

    @property
    def fetched(self) -> int:
        """Return how many bytes have travelled so far."""
        return self._remote.fetched

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self.size - self._position))
        if count:
            view[:count] = self._bytes(self._position, count)
            self._position += count
        return count

    def close(self) -> None:
        self._remote.close()
        super().close()

    def _bytes(self, start: int, count: int) -> bytes:
        for first, content in (self._window, self._tail):
            if first <= start and start + count <= first + len(content):
                return content[start - first : start - first + count]
        # zipfile reads headers of a few bytes: without reading ahead, each would be a request.
        self._window = (start, self._fetch(start, min(self.size, start + max(count, _READ_AHEAD))))
        return self._window[1][:count]

    def _fetch(self, start: int, end: int | None) -> bytes:
        return b"".join(piece or b"" for piece in self._remote.pieces(start, end))
