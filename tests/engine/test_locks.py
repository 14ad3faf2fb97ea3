"""Locks last until the last command of a run ends, and name their owner."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.engine import locks
from provision.errors import UNSUPPORTED, Locked, UnusablePrefix

RUN = """
import sys; from pathlib import Path; from provision.engine import locks; from provision.doors import process
with locks.hold(Path(sys.argv[1]), 'up') as handle:
    process.run(['sh', '-c', sys.argv[2]], deadline_s=60, ends_with_us=True, keep_open=(handle,))
"""


def begin(prefix: Path, script: str) -> tuple[subprocess.Popen[bytes], list[int]]:
    """Start a run whose command writes the pids of its processes."""
    pids = prefix.parent / "pids"
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, str(prefix), script.format(pids=pids)],
        cwd=Path(__file__).parents[2],
    )
    while not (pids.exists() and pids.read_text().endswith(".\n")):
        time.sleep(0.01)
    return run, [int(word) for word in pids.read_text().split() if word.isdigit()]


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_command_ends_with_its_killed_run(tmp_path: Path) -> None:
    run, (command,) = begin(tmp_path / "envs", 'echo $$ . > "{pids}"; exec sleep 60')
    run.kill()
    run.wait()
    with locks.hold(tmp_path / "envs", "provision"):
        assert not alive(command)


def test_the_last_command_of_a_killed_run_is_awaited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOLCK, "this file system does not support locks"),
        (errno.EIO, "cannot be locked: Input/output error"),
    ],
)
def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, text: str
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(UnusablePrefix, match=text), locks.hold(tmp_path, "provision"):
        pass
    assert not locks.supported(tmp_path)


def test_a_lock_file_that_cannot_be_written_still_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ftruncate(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "ftruncate", ftruncate)
    with locks.hold(tmp_path, "prune"), pytest.raises(Locked), locks.hold(tmp_path, "up"):
        pass


def test_a_prefix_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UnusablePrefix, match="Not a directory") as refused,
        locks.hold(tmp_path / "file" / "envs", "provision"),
    ):
        pass
    assert refused.value.exit_code == UNSUPPORTED


@pytest.fixture
def anothers() -> Iterator[Path]:
    """Make a prefix of root for a run as another user."""
    with tempfile.TemporaryDirectory() as folder:
        if os.geteuid() == 0:
            prefix = Path(folder) / "envs"
            subprocess.run(
                [sys.executable, "-c", RUN, str(prefix), ":"],
                cwd=Path(__file__).parents[2],
                check=True,
            )
            prefix.parent.chmod(0o755)
            os.seteuid(65534)
            yield prefix
            os.seteuid(0)
        else:
            yield Path("/proc/envs")


def test_a_prefix_of_another_user_names_its_owner(anothers: Path) -> None:
    with (
        pytest.raises(UnusablePrefix, match="belongs to root") as refused,
        locks.hold(anothers, "up"),
    ):
        pass
    assert "run it as root" in refused.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="needs two users")
def test_a_reader_without_write_permission_is_locked_out_too(
    anothers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_LEFTOVER_S", 0.1)
    with (
        locks.hold(anothers, "check", only_look=True),
        locks.hold(anothers, "check", only_look=True),
    ):
        os.seteuid(0)
        with pytest.raises(Locked, match="or another user's check"), locks.hold(anothers, "up"):
            pass
    with locks.hold(anothers, "up"):
        os.seteuid(65534)
        with (
            pytest.raises(Locked, match="another run works here: `up`"),
            locks.hold(anothers, "check", only_look=True),
        ):
            pass
