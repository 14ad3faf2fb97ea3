"""All printing: tables and JSON documents on stdout, notes on stderr; both may close early."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # `from typing import` would cost a tenth of the time of `--help`
if TYPE_CHECKING:
    from typing import TextIO

# Replacements for terminals with an encoding that lacks these letters.
_PLAIN = str.maketrans({"•": "*", "\u2013": "-", "…": "..."})
_PIPED = 120  # columns of a file or pipe, which have no width


def show(renderable: object) -> None:
    """Print a rich renderable: with colours on a terminal, as plain text to a file or pipe."""
    import io
    import re

    from rich.console import Console

    is_terminal = sys.stdout.isatty()
    page = io.StringIO()
    Console(
        file=page,
        force_terminal=is_terminal,
        width=columns(sys.stdout) if is_terminal else _PIPED,
        height=25,  # without a height, rich assumes that a dumb terminal has 80 columns
        highlight=False,
        emoji=False,
        markup=False,
    ).print(renderable)
    # Padding blanks are removed; the colour codes between them must stay.
    trailing = re.compile(r"(?:\x1b\[[\d;]*m| )+$", re.MULTILINE)
    write(trailing.sub(lambda match: match[0].replace(" ", ""), page.getvalue()))


def is_shown() -> bool:
    """Return whether a person reads stdout on a terminal."""
    return sys.stdout.isatty()


def columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80


def document(data: object) -> None:
    import msgspec

    out(msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n")


def line(text: str) -> None:
    write(f"{text}\n")


def note(text: str) -> None:
    """Print a line for a person on stderr; a closed stderr never ends the work."""
    try:
        sys.stderr.write(f"{legible(harmless(text), sys.stderr)}\n")
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


def ignore(_: str) -> None:
    """Print nothing: the `note` of --quiet and --json."""


def can_redraw() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def write(text: str) -> None:
    out(legible(text, sys.stdout).encode(sys.stdout.encoding))


def harmless(text: str) -> str:
    """Return the text with what steers a terminal or reverses letters written out: `\\x1b`."""
    return "".join(
        letter
        if letter.isprintable() or letter in "\n\t"
        else letter.encode("unicode_escape").decode()
        for letter in text
    )


def legible(text: str, stream: TextIO) -> str:
    try:
        text.encode(stream.encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode(stream.encoding, "replace").decode(stream.encoding)
    return text


def out(data: bytes) -> None:
    """Write bytes to stdout and flush it, with what argparse left in its buffer."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader ended early, such as `| head`
        _discard(sys.stdout)
    except OSError as error:
        from provision.errors import NotWritable

        _discard(sys.stdout)
        raise NotWritable(f"cannot be written: {error.strerror}", where="standard output") from None


def _discard(stream: TextIO) -> None:
    """Send the rest of a stream to /dev/null: Python would report a failing flush at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
