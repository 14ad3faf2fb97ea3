"""A terminal for tests: it knows the few codes of a live display and refuses all others."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping

from tests.patience import SECONDS

_CODE = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])|([\r\n])|(.)", re.DOTALL)


class Screen:
    """A screen of fixed width and any height; no program moves above its first line."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.rows: list[list[str]] = [[]]
        self.row = self.column = 0
        self.cursor_is_shown = True
        self.codes = 0

    def feed(self, text: str) -> None:
        for private, number, what, move, letter in _CODE.findall(text):
            if letter:
                assert letter.isprintable(), f"sent {letter!r}"
                self._put(letter)
            elif move == "\r":
                self.column = 0
            elif move == "\n":
                self._down()
            else:
                self.codes += 1
                self._code(private + number + what)

    def _code(self, code: str) -> None:
        if code in ("?25h", "?25l"):
            self.cursor_is_shown = code == "?25h"
        elif code == "2K":
            self.rows[self.row] = []
        elif code == "1A":
            assert self.row > 0
            self.row -= 1
        else:
            assert code.endswith("m"), code

    def _put(self, letter: str) -> None:
        if self.column == self.columns:
            self._down()
            self.column = 0
        row = self.rows[self.row]
        row.extend(" " * (self.column + 1 - len(row)))
        row[self.column] = letter
        self.column += 1

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append([])

    @property
    def lines(self) -> list[str]:
        return ["".join(row).rstrip() for row in self.rows]


class Terminal:
    """A command on its own terminal, with screen and keyboard."""

    def __init__(self, argv: list[str], columns: int, env: Mapping[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        # only a terminal that controls the session turns ^C into a signal
        take = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", take, *argv],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=dict(env),
            start_new_session=True,
        )
        os.close(theirs)
        self.screen = Screen(columns)
        self._rest = b""

    def until(self, condition: Callable[[Screen], bool]) -> None:
        """Read until the screen fulfils a condition."""
        until = time.monotonic() + SECONDS
        while not condition(self.screen):
            assert time.monotonic() < until, self.screen.lines
            assert self._watch(), self.screen.lines

    def press(self, key: bytes) -> None:
        os.write(self._ours, key)

    def end(self) -> int:
        """Read to the end and return the exit status."""
        until = time.monotonic() + SECONDS
        while self._watch():
            assert time.monotonic() < until, self.screen.lines
        os.close(self._ours)
        return self._process.wait(SECONDS)

    def _watch(self) -> bool:
        part = b""
        assert select.select([self._ours], [], [], SECONDS)[0], self.screen.lines
        with contextlib.suppress(OSError):  # Linux reports a closed terminal like this
            part = os.read(self._ours, 65536)
        *whole, self._rest = (
            re.split(rb"(?=\x1b)", self._rest + part) if part else [self._rest, b""]
        )
        self.screen.feed(b"".join(whole).decode())
        if not self._rest.startswith(b"\x1b") or re.match(rb"\x1b\[[?\d;]*[A-Za-z]", self._rest):
            with contextlib.suppress(UnicodeDecodeError):  # the rest of a letter follows
                self.screen.feed(self._rest.decode())
                self._rest = b""
        return bool(part)
