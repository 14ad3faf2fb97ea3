"""The log of one step: commands, their environment and their output, without secrets."""

from __future__ import annotations

import errno
import os
import re
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from provision.errors import NotWritable
from provision.host._scrub import HIDDEN, SECRET_NAME, hide_secrets

_LAST_LINES = 20
_MOST_TELLING, _LONGEST = 3, 300
_PROBLEM = re.compile(
    r"error|fail|exception|denied|cannot|not found|no space|killed|abort", re.IGNORECASE
)
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC


class StepLog:
    """A log file for its owner only; a full disk ends the log, never the logged command."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last: deque[str] = deque(maxlen=_LAST_LINES)
        self._lock = threading.Lock()  # stdout and stderr are read by two threads
        self.full = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(path, _APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            # A full disk must not end the installation; any other error is a wrong setting.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise NotWritable(
                    f"the log cannot be written: {error.strerror}",
                    where=str(path),
                    hint="name another folder: --set logs=DIR",
                ) from error
            self.full = True
            self._handle = os.open(os.devnull, _APPEND)

    def close(self) -> None:
        os.close(self._handle)

    def command(self, title: str, command: str, environment: Mapping[str, str]) -> None:
        """Log a command, and which variables differ from the environment of this process."""
        self.last.clear()
        changes = [
            f"{name}={HIDDEN if SECRET_NAME.fullmatch(name) else hide_secrets(value)}"
            for name, value in sorted(environment.items())
            if os.environ.get(name) != value
        ]
        if unset := sorted(os.environ.keys() - environment.keys()):
            changes.append(f"unset {' '.join(unset)}")
        lines = (f"# {title}", f"$ {hide_secrets(command)}", *changes)
        self._write("".join(f"{line}\n" for line in lines))

    def line(self, text: str) -> str:
        """Log one line of output and return it without secrets."""
        clean = hide_secrets(text)
        with self._lock:
            self.last.append(clean)
            self._write(f"{clean}\n")
        return clean

    @property
    def telling(self) -> tuple[str, ...]:
        """Return the last lines of the output that speak of a problem, or else its last lines."""
        lines = [line.strip()[:_LONGEST] for line in self.last if line.strip()]
        return tuple(([line for line in lines if _PROBLEM.search(line)] or lines)[-_MOST_TELLING:])

    def _write(self, text: str) -> None:
        try:
            os.write(self._handle, text.encode("utf-8", "replace"))
        except OSError:
            self.full = True
