"""Progress on terminals of every width and kind, and in a log."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from provision.display.plain import Plain
from provision.events import CommandStarted, Event, Line, Progress, StepDone, StepResult
from tests.display.screen import Screen, Terminal

pytestmark = pytest.mark.environment

RUN = str(Path(__file__).with_name("pretended_run.py"))
ENV = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "PYTHONUTF8": "1"}


def on_a_terminal(columns: int, end: str = "fail", **more: str) -> Terminal:
    return Terminal([sys.executable, RUN, end], columns, {**ENV, **more})


def runs(screen: Screen, what: str) -> bool:
    return any(what in line for line in screen.lines[screen.row - 3 :])


@pytest.mark.parametrize(
    ("columns", "more"),
    [
        *((columns, {}) for columns in (40, 80, 200)),
        *(
            (40, more)
            for more in ({"NO_COLOR": "1"}, {"COLUMNS": "300"}, {"PYTHONIOENCODING": "ascii"})
        ),
    ],
    ids=str,
)
def test_the_running_command_stands_below_the_permanent_lines(
    columns: int, more: dict[str, str]
) -> None:
    terminal = on_a_terminal(columns, **more)
    terminal.until(lambda screen: runs(screen, "of 10.0 GB"))
    assert not terminal.screen.cursor_is_shown
    assert any(line.startswith("     Downloading t") for line in terminal.screen.lines), (
        "the last line of output"
    )
    assert all(len(line) <= columns - 4 for line in terminal.screen.lines[-4:]), "no line wraps"
    assert terminal.end() == 0
    screen = terminal.screen
    assert screen.cursor_is_shown
    text = " ".join(" ".join(screen.lines).split())
    assert "40 torch done 1.0 s numpy is torn" in text
    assert "record_whole pass" in text
    assert ("... word word" if "PYTHONIOENCODING" in more else "… word word") in text
    assert screen.lines[-4].split() == ["50", "vllm", "failed", "0.0", "s"]
    assert screen.lines[-3:] == ["error: no", " hint: again", ""]
    assert "install" not in text.replace("installed", ""), "the live part is gone"


def test_a_failure_removes_the_live_part() -> None:
    terminal = on_a_terminal(80, end="raise")
    assert terminal.end() == 0
    assert terminal.screen.cursor_is_shown
    assert terminal.screen.lines[-3:] == ["error: no", " hint: again", ""]
    assert "install vLLM" not in "".join(terminal.screen.lines)


def test_an_interruption_restores_the_terminal() -> None:
    terminal = on_a_terminal(80, end="hang")
    terminal.until(lambda screen: runs(screen, "install vLLM"))
    terminal.press(b"\x03")
    assert terminal.end() != 0
    assert terminal.screen.cursor_is_shown
    assert "install vLLM" not in "".join(terminal.screen.lines)
    assert terminal.screen.lines[-2] == "KeyboardInterrupt", "the traceback is complete"


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_dumb_terminal_gets_no_codes(term: str) -> None:
    terminal = on_a_terminal(40, TERM=term)
    assert terminal.end() == 0
    assert terminal.screen.codes == 0
    assert "     install vLLM ..." in terminal.screen.lines


def test_a_log_gets_no_codes_and_shows_what_begins() -> None:
    done = subprocess.run(
        [sys.executable, RUN, "fail"], env=ENV, capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert "\x1b" not in done.stderr
    assert "\r" not in done.stderr
    lines = done.stderr.splitlines()
    assert lines.index("     install vLLM ...") < lines.index(
        "  50 vllm                      failed    0.0 s"
    )
    assert "     record_whole ..." in lines
    assert sum(line.startswith("     download") for line in lines) == 2, "the first and the last"
    assert "Downloading" not in done.stderr, "the output of commands is in their logs"


def test_a_log_needs_no_rich() -> None:
    code = "import runpy, sys; runpy.run_path(sys.argv.pop(), run_name='__main__'); print('rich' in sys.modules)"
    argv = [sys.executable, "-c", code, "fail", RUN]
    assert (
        subprocess.run(argv, env=ENV, capture_output=True, text=True, check=True).stdout
        == "False\n"
    )


def test_a_closed_log_ends_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    assert (
        subprocess.run(
            [sys.executable, RUN, "fail"], env=ENV, stderr=writing, check=False
        ).returncode
        == 0
    )
    os.close(writing)


def log_of(*events: tuple[float, Event]) -> list[str]:
    """Return the lines of a log for events at these times."""
    written: list[str] = []
    now = 0.0
    plain = Plain(written.append, None, lambda: now)
    for now, event in events:  # noqa: B007 - the clock reads it
        plain(event)
    return [line.strip() for line in written]


def bar(done: int, total: int = 1000, title: str = "wheels", unit: str = "files") -> Progress:
    return Progress(title=title, done=done, total=total, unit=unit)


def test_a_log_shows_the_first_and_last_event_of_a_bar_and_few_between() -> None:
    lines = log_of(
        (0, CommandStarted(title="fetch", command="", log="")),
        *((at / 10, bar(at)) for at in range(1000)),
        (100, bar(1000)),
        (101, bar(1000)),
    )
    assert lines[:2] == ["fetch ...", "wheels: 0 of 1000 files"]
    assert [line.split(",")[0] for line in lines[2:-1]] == [
        f"wheels: {done} of 1000 files" for done in (300, 600, 900)
    ]
    assert lines[2].endswith(" files, 1 min 10 s left")
    assert lines[-1] == "wheels: 1000 files in 1 min 40 s"


def test_bars_of_bytes_of_unknown_total_and_of_a_resumed_download() -> None:
    lines = log_of(
        (0, bar(4_000_000_000, 5_400_000_000, unit="bytes")),
        (40, bar(4_400_000_000, 5_400_000_000, unit="bytes")),
        (50, bar(5_400_000_000, 5_400_000_000, unit="bytes")),
        (50, StepDone(result=StepResult(number=1, name="a", outcome="kept"))),
        (60, bar(0, 0, "who knows", "bytes")),
        (91, bar(3_100_000, 0, "who knows", "bytes")),
        (92, Line(text="not here")),
    )
    assert lines[:3] == [
        "wheels: 4.0 of 5.4 GB",
        "wheels: 4.4 of 5.4 GB, 10.0 MB/s, 1 min 40 s left",
        "wheels: 5.4 GB",  # most of it came before: nobody knows how fast
    ]
    assert lines[-1].startswith("who knows: 3.1 MB, ")
