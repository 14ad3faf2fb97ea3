"""Printing at every width and on every kind of terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
import termios
from pathlib import Path

import pytest

from provision.display import terminal
from tests.test_cli import H100, LAUNCH, P100, at_hand, ended, start


@pytest.mark.parametrize(
    "argv",
    [["plan", "--host", H100], ["plan", "--host", P100], ["host"], ["catalog", "show", "rules"]],
)
def test_no_line_ends_with_blanks(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    _, out, _ = at_hand(capsys, *argv)
    assert out
    assert all(line == line.rstrip() for line in out.splitlines())


def on_a_terminal(columns: int, *argv: str, **more: str) -> str:
    """Return the bytes that a terminal of this width receives, as text."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", **more}
    with start(*argv, stdout=theirs, env=env) as child:
        os.close(theirs)
        sent = b""
        with contextlib.suppress(OSError):  # Linux reports a closed terminal like this
            while part := os.read(ours, 65536):
                sent += part
    os.close(ours)
    assert child.returncode == 0
    return sent.decode()


@pytest.mark.parametrize("columns", [40, 80, 120])
@pytest.mark.parametrize(
    "more", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}, {"LC_ALL": "C"}], ids=str
)
def test_a_terminal_of_any_width(columns: int, more: dict[str, str]) -> None:
    sent = on_a_terminal(columns, "plan", "--host", H100, **more)
    plain = re.sub(r"\x1b\[[\d;]*m", "", sent).replace("\r", "")
    lines = plain.splitlines()
    assert max(map(len, lines)) <= columns
    assert all(line == line.rstrip() for line in lines)
    assert ("vllm  0.32.0+cu129" in lines) == (columns < 70)
    assert ("\x1b" in sent) == (more.get("TERM") != "dumb")


def test_a_terminal_without_bullets() -> None:
    plain = LAUNCH.replace("raise", "sys.stdout.reconfigure(encoding='ascii'); raise")
    code, out, err = ended("plan", "--host", H100, code=plain)
    assert (code, err) == (0, "")
    assert re.search(r"^ \* .*would allow vLLM", out, re.MULTILINE)
    assert out.isascii()


def test_a_note_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.note("ä\x1b]0;owned\x07\r\n\t\x9b2J \u202e \udcff")
    assert capsys.readouterr().err == "ä\\x1b]0;owned\\x07\\r\n\t\\x9b2J \\u202e \\udcff\n"


def test_an_error_does_not_steer_the_terminal(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text('"\\e[2J\\e]0;owned\\a": 1\n')
    code, _, err = ended("plan", "--config", str(config))
    assert (code, "\x1b" in err, "\\x1b" in err) == (2, False, True), err
