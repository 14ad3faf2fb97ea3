"""All that is printed: tables for the width at hand, one JSON document, notes on stderr; readers may go away."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # start-up is half imports
if TYPE_CHECKING:
    from typing import TextIO

_PLAIN = str.maketrans({"•": "*", "\u2013": "-", "…": "..."})  # for a terminal that does not know them
_PIPED = 120  # columns of a page that no terminal measures


def show(what: object) -> None:
    """To a terminal with colour and its width; to a file or pipe plainly. No line ends in blanks."""
    import io
    import re

    from rich.console import Console

    is_terminal = sys.stdout.isatty()
    page = io.StringIO()
    Console(
        file=page,
        force_terminal=is_terminal,
        width=_columns() if is_terminal else _PIPED,
        height=25,  # without it rich takes a dumb terminal to be 80 wide
        highlight=False,
        emoji=False,
        markup=False,
    ).print(what)
    trailing = re.compile(r"(?:\x1b\[[\d;]*m| )+$", re.MULTILINE)  # colours end behind the blanks that they pad
    write(trailing.sub(lambda found: found[0].replace(" ", ""), page.getvalue()))


def _columns() -> int:
    """Asked of the terminal itself; one that does not know is 80 wide."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except OSError:
        return 80


def document(data: object) -> None:
    """One JSON document on stdout."""
    import msgspec

    out(msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n")


def line(text: str) -> None:
    """One line, as wide as it is."""
    write(f"{text}\n")


def note(text: str) -> None:
    """What goes on, for a person; never on stdout. Where nobody can read it (any more), the work goes on."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:
        _forget(sys.stderr)


def write(text: str) -> None:
    """Text in the letters that the terminal knows."""
    encoding = sys.stdout.encoding
    try:
        out(text.encode(encoding))
    except UnicodeEncodeError:
        out(text.translate(_PLAIN).encode(encoding, "replace"))


def out(data: bytes) -> None:
    """Everything for stdout, and what others have left in its buffer."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has had enough (| head)
        _forget(sys.stdout)
    except OSError as error:
        from provision.errors import NotWritable

        _forget(sys.stdout)
        raise NotWritable(f"cannot be written: {error.strerror}", where="standard output") from None


def _forget(stream: TextIO) -> None:
    """What is left in its buffer goes nowhere; otherwise the interpreter complains of it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
