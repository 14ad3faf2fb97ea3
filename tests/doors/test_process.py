"""Processes: their ends, deadlines, groups, output and error messages."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from provision.doors import interruption, pipes, process

PYTHON = sys.executable


def test_output_status_and_time_of_a_command() -> None:
    ended = process.run(
        [PYTHON, "-c", "import sys; print('out'); print('err', file=sys.stderr)"], deadline_s=20
    )
    assert (ended.status, ended.stdout, ended.stderr, ended.problem()) == (0, "out\n", "err\n", "")
    assert ended.ok
    assert 0 < ended.seconds < 20


def test_a_failure_shows_command_status_and_last_line() -> None:
    code = "import sys; print('first', file=sys.stderr); sys.exit('no such thing')"
    ended = process.run([PYTHON, "-c", code], deadline_s=20)
    assert ended.status == 1
    assert ended.problem() == f"{ended.command} ended with status 1: no such thing"


def test_the_command_can_be_pasted() -> None:
    ended = process.run(["true", "a b", "it's", "$HOME", ""], deadline_s=5)
    assert ended.command == """true 'a b' 'it'"'"'s' '$HOME' ''"""


def test_a_missing_command_is_told_from_a_failed_one() -> None:
    ended = process.run(["/no/such/command"], deadline_s=5)
    assert ended.missing
    assert ended.status is None
    assert ended.problem() == "/no/such/command was not found"


def test_a_missing_folder_is_not_a_missing_command(tmp_path: Path) -> None:
    ended = process.run(["true"], deadline_s=5, cwd=tmp_path / "gone")
    assert not ended.missing
    assert ended.status is None
    assert "gone" in ended.problem()


def test_a_file_that_may_not_be_executed_says_so(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    ended = process.run([tmp_path / "tool"], deadline_s=5)
    assert not ended.missing
    assert "could not be started" in ended.problem()
    assert "Permission denied" in ended.stderr


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_on_path_without_permission_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    def refuse(*_: object, **__: object) -> None:  # what the kernel answers in both cases
        raise PermissionError(13, "Permission denied", "some-tool")

    if there:
        (tmp_path / "some-tool").write_text("")
    monkeypatch.setattr("provision.doors.process.subprocess.Popen", refuse)
    monkeypatch.setenv("PATH", f"/no/entry:{tmp_path}")
    assert process.run(["some-tool"], deadline_s=5).missing is not there


def test_a_signal_is_named() -> None:
    ended = process.run(["sh", "-c", "kill -SEGV $$"], deadline_s=5)
    assert ended.signal == "SIGSEGV"
    assert ended.status == -signal.SIGSEGV
    assert ended.problem().endswith("was ended by SIGSEGV")


def test_a_hanging_command_ends_at_its_deadline_and_its_output_stays() -> None:
    ended = process.run(["sh", "-c", "echo started; sleep 60"], deadline_s=0.2)
    assert ended.timed_out
    assert not ended.ok
    assert ended.stdout == "started\n"
    assert ended.seconds < 2
    assert "did not end within" in ended.problem()


def test_a_command_that_ignores_sigterm_is_killed() -> None:
    ended = process.run(["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"], deadline_s=0.2)
    assert ended.timed_out
    assert ended.signal == "SIGKILL"
    assert ended.seconds < 3


def test_processes_of_a_command_end_with_it(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    process.run(["sh", "-c", f"sleep 60 & echo $! > '{note}'; wait"], deadline_s=0.3)
    assert ends(int(note.read_text()))


def test_a_background_process_that_keeps_the_output_open_does_not_delay_us(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    began = time.monotonic()
    ended = process.run(["sh", "-c", f"sleep 60 & echo $! > '{note}'; echo done"], deadline_s=0.3)
    assert (ended.status, ended.stdout, ended.timed_out) == (0, "done\n", False)
    assert time.monotonic() - began < 3
    assert ends(int(note.read_text()))


class Disturbed(subprocess.Popen[bytes]):
    """An interruption between fork and the return of Popen ends the child."""

    forked = 0

    def __init__(self, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        Disturbed.forked = self.pid
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0)  # here Python calls the handler


@pytest.mark.parametrize("ends_with_us", [False, True])
def test_an_interruption_during_the_start_of_a_child_ends_the_child(
    monkeypatch: pytest.MonkeyPatch, *, ends_with_us: bool
) -> None:
    monkeypatch.setattr(subprocess, "Popen", Disturbed)
    with interruption.as_keyboard_interrupt(), pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        process.run(["sleep", "60"], deadline_s=60, ends_with_us=ends_with_us)
    assert ends(Disturbed.forked)
    with interruption.as_keyboard_interrupt(), pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        os.kill(os.getpid(), signal.SIGTERM)


def test_input_reaches_the_command_and_may_be_ignored() -> None:
    assert process.run(["cat"], deadline_s=5, input="grüße\n").stdout == "grüße\n"
    assert process.run(["true"], deadline_s=5, input="x" * 1_000_000).ok


def test_output_is_bounded_and_never_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipes, "OUTPUT_LIMIT", 1000)
    ended = process.run([PYTHON, "-c", "print('x' * 3_000_000)"], deadline_s=20)
    assert ended.ok
    assert ended.stdout == "x" * 1000


def test_an_endless_line_is_cut_once() -> None:
    """A second cut could split a secret, and the filter would miss it."""
    heard: list[str] = []
    script = "print('x' * 200_000 + ' token=' + 'y' * 100_000); print('after'); print('z' * 70_000)"
    process.run([PYTHON, "-c", script], deadline_s=20, on_line=heard.append)
    assert [line[:5] for line in heard] == ["xxxxx", "after", "zzzzz"]
    assert "y" not in heard[0].replace("is line", "")
    assert heard[0].endswith("left out)")


def test_a_silent_command_is_ended() -> None:
    """Each line extends the deadline."""
    until = time.monotonic() + 5

    def more(_: str) -> None:
        nonlocal until
        until = time.monotonic() + 1.0

    script = "import time\nfor i in range(6): print(i, flush=True); time.sleep(0.4)\ntime.sleep(60)"
    result = process.run([PYTHON, "-c", script], deadline_s=0.1, until=lambda: until, on_line=more)
    assert result.timed_out
    assert result.stdout == "0\n1\n2\n3\n4\n5\n"
    assert result.seconds < 30


def test_an_error_of_the_listener_ends_the_command_and_is_raised() -> None:
    def refuse(line: str) -> None:
        raise ValueError(line)

    with pytest.raises(ValueError, match="first"):
        process.run(["sh", "-c", "echo first; sleep 300"], deadline_s=20, on_line=refuse)


def test_output_that_is_not_text_is_replaced() -> None:
    assert process.run(["printf", r"a\377b"], deadline_s=5).stdout == "a\ufffdb"


def test_environment_and_folder_are_as_requested(tmp_path: Path) -> None:
    ended = process.run(
        ["/bin/sh", "-c", 'echo "$ONLY-$HOME"; pwd -P'],
        deadline_s=5,
        env={"ONLY": "this"},
        cwd=tmp_path,
    )
    assert ended.stdout == f"this-\n{tmp_path.resolve()}\n"


def test_a_command_never_waits_for_our_terminal() -> None:
    assert process.run(["cat"], deadline_s=5).stdout == ""


def ends(pid: int) -> bool:
    for _ in range(50):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False
