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
        width=columns(sys.stdout) if is_terminal else _PIPED,
        height=25,  # without it rich takes a dumb terminal to be 80 wide
        highlight=False,
        emoji=False,
        markup=False,
    ).print(what)
    trailing = re.compile(r"(?:\x1b\[[\d;]*m| )+$", re.MULTILINE)  # colours end behind the blanks that they pad
    write(trailing.sub(lambda found: found[0].replace(" ", ""), page.getvalue()))


def columns(stream: TextIO) -> int:
    """Asked of the terminal itself; one that does not know is 80 wide."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
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
        sys.stderr.write(f"{legible(text, sys.stderr)}\n")
        sys.stderr.flush()
    except OSError:
        _forget(sys.stderr)


def unheard(_: str) -> None:
    """In the place of `note` where nobody wants to hear what goes on."""


def can_redraw() -> bool:
    """Whether notes go to a terminal that can take back what it shows."""
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def write(text: str) -> None:
    """Text for stdout."""
    out(legible(text, sys.stdout).encode(sys.stdout.encoding))


def legible(text: str, stream: TextIO) -> str:
    """Text in the letters that a stream knows."""
    try:
        text.encode(stream.encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode(stream.encoding, "replace").decode(stream.encoding)
    return text


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
