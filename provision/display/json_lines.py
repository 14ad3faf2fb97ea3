"""Events for a program: JSON lines on stdout."""

from __future__ import annotations

import threading
from datetime import datetime, timezone

import msgspec

from provision.display import terminal
from provision.errors import NotWritable


class JsonLines:
    """A writer of one JSON object a line, from any thread; nothing follows the last line."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._over = False
        self.failure: NotWritable | None = None

    def __call__(self, event: msgspec.Struct, *, last: bool = False) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        fields = msgspec.to_builtins(event)
        stamped = {"type": fields.pop("type"), "at": now.replace("+00:00", "Z"), **fields}
        with self._lock:
            if self._over or self.failure:
                return
            self._over = last
            try:
                terminal.out(msgspec.json.encode(stamped) + b"\n")
            except NotWritable as failure:
                # Also in threads of downloads: a closed stdout must not end what is being built.
                self.failure = failure
