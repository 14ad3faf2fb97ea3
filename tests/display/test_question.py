"""A question at a real terminal: piped output, no answer, and a process in the background."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.display.screen import Terminal

ROOT = Path(__file__).parents[2]
ASK = f"""import os, sys
sys.path.insert(0, {str(ROOT)!r})
from provision.display import question
from provision.errors import Failure
def outcome(patience_s):
    try:
        return repr(question.agreed("Go on?", patience_s))
    except Failure as failure:
        return f"{{failure.exit_code}}: {{failure.what}}"
"""


def asked(code: str, key: bytes = b"") -> list[str]:
    """Run a program on a terminal, and press a key when the question stands there."""
    terminal = Terminal([sys.executable, "-I", "-c", ASK + code], 80, os.environ)
    if key:
        terminal.until(lambda screen: any("Go on? [y/N]" in line for line in screen.lines))
        terminal.press(key)
    assert terminal.end() == 0
    return terminal.screen.lines


@pytest.mark.parametrize(
    ("key", "answer"), [(b"y\n", "True"), (b"Yes\n", "True"), (b"n\n", "False"), (b"\x04", "False")]
)
def test_it_is_asked_at_the_terminal_while_output_is_piped(
    tmp_path: Path, key: bytes, answer: str
) -> None:
    file = tmp_path / "log"
    piped = f"sys.stdout = sys.stderr = open({str(file)!r}, 'w'); print(outcome(60))"
    lines = asked(piped, key)
    assert lines[1].startswith("Go on? [y/N]")
    assert lines[-1] == "", "the prompt's line is ended"
    assert file.read_text() == f"{answer}\n"


def test_it_ends_without_an_answer() -> None:
    lines = asked("print(outcome(0.3))")
    assert lines[-2].endswith("130: no answer within 0.005 minutes")


def test_a_process_in_the_background_is_refused_and_never_stopped() -> None:
    """Without the handling the kernel stops it, and the shell waits for ever."""
    code = """
if not os.fork():
    os.setpgid(0, 0)
    os.write(1, outcome(60).encode() + b"\\n")
    os._exit(0)
os.waitpid(-1, 0)
"""
    assert asked(code)[0].startswith("2: nobody can answer a question of a process in the backgr")


def test_a_process_that_goes_to_the_background_meanwhile_is_not_stopped() -> None:
    code = """
import threading
child = os.fork()
if not child:
    os.setpgid(0, 0)
    os.read(go[0], 1)
    os.write(1, outcome(60).encode() + b"\\n")
    os._exit(0)
"""
    moved = f"""go = os.pipe()
import signal, time
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
{code}
os.setpgid(child, child)
os.tcsetpgrp(0, child)
os.write(go[1], b"x")
time.sleep(0.5)
os.tcsetpgrp(0, os.getpgrp())
_, status = os.waitpid(child, os.WUNTRACED)
print("stopped" if os.WIFSTOPPED(status) else "ended")
"""
    assert asked(moved, b"y\n")[-2] == "ended"
