"""What a terminal shows after what it was sent; knows the few codes that a live display needs and refuses all others."""

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
    """As wide as it is, and as high as needed; no program here moves above its first line."""

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
    """A command on a terminal of its own, its screen, and its keyboard."""

    def __init__(self, argv: list[str], columns: int, env: Mapping[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        # a terminal that controls the session is what makes a signal of ^C
        take = (
            "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
        )
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

    def until(self, seen: Callable[[Screen], bool]) -> None:
        """Watch until the screen shows what is waited for."""
        until = time.monotonic() + SECONDS
        while not seen(self.screen):
            assert time.monotonic() < until, self.screen.lines
            assert self._watch(), self.screen.lines

    def press(self, key: bytes) -> None:
        os.write(self._ours, key)

    def end(self) -> int:
        """Watch to the end."""
        until = time.monotonic() + SECONDS
        while self._watch():
            assert time.monotonic() < until, self.screen.lines
        os.close(self._ours)
        return self._process.wait(SECONDS)

    def _watch(self) -> bool:
        part = b""
        assert select.select([self._ours], [], [], SECONDS)[0], self.screen.lines
        with contextlib.suppress(OSError):  # how a terminal says that the other end has gone
            part = os.read(self._ours, 65536)
        *whole, self._rest = re.split(rb"(?=\x1b)", self._rest + part) if part else [self._rest, b""]
        self.screen.feed(b"".join(whole).decode())
        if not self._rest.startswith(b"\x1b") or re.match(rb"\x1b\[[?\d;]*[A-Za-z]", self._rest):
            with contextlib.suppress(UnicodeDecodeError):  # the rest of a letter comes with the next part
                self.screen.feed(self._rest.decode())
                self._rest = b""
        return bool(part)
