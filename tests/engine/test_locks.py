"""The lock lasts as long as anything of its run does, names who that is, and says where there can be none."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provision.engine import locks
from provision.errors import Locked, NoLocks, NotWritable

RUN = """
import sys; from pathlib import Path; from provision.engine import locks; from provision.doors import process
with locks.hold(Path(sys.argv[1]), 'up') as handle:
    process.run(['sh', '-c', sys.argv[2]], deadline_s=60, ends_with_us=True, keep_open=(handle,))
"""


def begin(prefix: Path, script: str) -> tuple[subprocess.Popen[bytes], list[int]]:
    """A run whose command has written the numbers of its processes."""
    said = prefix.parent / "pids"
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, str(prefix), script.format(pids=said)], cwd=Path(__file__).parents[2]
    )
    while not (said.exists() and said.read_text().endswith(".\n")):
        time.sleep(0.01)
    return run, [int(word) for word in said.read_text().split() if word.isdigit()]


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_command_goes_with_its_killed_run(tmp_path: Path) -> None:
    run, (command,) = begin(tmp_path / "envs", 'echo $$ . > "{pids}"; exec sleep 60')
    run.kill()
    run.wait()
    with locks.hold(tmp_path / "envs", "provision"):
        assert not alive(command)


def test_what_a_killed_run_left_behind_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_LEFTOVER_S", 0.3)
    run, (left,) = begin(tmp_path / "envs", 'sleep 60 & echo $! . > "{pids}"; wait')
    run.kill()
    run.wait()
    with (
        pytest.raises(Locked, match="was killed, but a command that it started still runs"),
        locks.hold(tmp_path / "envs", "provision"),
    ):
        pass
    os.kill(left, signal.SIGKILL)
    with locks.hold(tmp_path / "envs", "provision"):
        pass


def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(NoLocks, match="has no locks"), locks.hold(tmp_path, "provision"):
        pass
    assert not locks.supported(tmp_path)


def test_a_prefix_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritable, match="Not a directory"), locks.hold(tmp_path / "file" / "envs", "provision"):
        pass
