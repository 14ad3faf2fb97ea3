"""A build killed anywhere leaves the current environment intact, and the same command resumes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from provision.engine import environments
from provision.engine.integrity import repair
from provision.engine.journal import Journal, JournalEntry
from provision.errors import StepFailed
from tests.engine import kills, synthetic
from tests.engine.synthetic import World
from tests.patience import until

pytestmark = pytest.mark.environment


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 6))]


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_random_during_a_first_build(world: World, seed: int) -> None:
    seconds = kills.clean_seconds(world, "1.0")
    for after in kills.moments(seconds, 5, seed):
        shutil.rmtree(world.prefix, ignore_errors=True)
        kill = kills.kill(world, "1.0", after=after)
        assert (kill.after_kill, kill.after_retry, kill.failure) == ([], [], ""), (
            f"killed after {after:.3f} s"
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_random_during_an_upgrade(world: World, seed: int) -> None:
    kills.clean_seconds(world, "1.0")
    before = environments.current_id(world.prefix)
    seconds = kills.upgrade_seconds(world, before, "2.0")
    for after in kills.moments(seconds, 5, seed):
        kills.back_to(world, before)
        kill = kills.kill(world, "2.0", after=after, standing=synthetic.lock(world.wheels, "1.0"))
        assert (kill.after_kill, kill.after_retry, kill.failure) == ([], [], ""), (
            f"killed after {after:.3f} s"
        )


@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.long)])
def test_killed_before_every_rename_link_and_sync(world: World, step: int) -> None:
    """Kill at later and later calls, in steps, until a build ends before its kill."""
    kills.clean_seconds(world, "1.0")
    before = environments.current_id(world.prefix)
    for nth in range(1, 200, step):
        kill = kills.kill(world, "2.0", die_at=nth, standing=synthetic.lock(world.wheels, "1.0"))
        assert (kill.after_kill, kill.after_retry, kill.failure) == ([], [], ""), (
            f"killed before call {nth}"
        )
        if not kill.reached:
            break
        kills.back_to(world, before)
    assert 20 < nth < 199, "the number of renames, links and syncs of a build"


@pytest.mark.parametrize("step", [67, pytest.param(23, marks=pytest.mark.long)])
def test_killed_during_a_repair(world: World, step: int) -> None:
    lock = synthetic.lock(world.wheels, "1.0")
    kills.clean_seconds(world, "1.0")
    for nth in range(1, 400, step):
        for part in range(0, 20, 5):
            (world.packages() / f"toy{nth % 30:02}" / f"part{part:02}.py").write_text("other")
        child = synthetic.start(world, "1.0", -nth)
        child.communicate(timeout=60)
        synthetic.provision(world, "1.0")
        assert synthetic.differences(world.current, lock) == [], f"killed before call {nth}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_child_processes_as_well(world: World, number: signal.Signals) -> None:
    child = synthetic.start(world, "1.0")
    until(lambda: list(world.prefix.glob("*/.vllm-ready/journal.jsonl")))
    os.kill(child.pid, number)
    child.communicate(timeout=20)
    assert child.returncode == 130
    (environment,) = environments.list_environments(world.prefix)
    assert not environment.complete
    assert environments.processes_using(Path(environment.path)) == []
    synthetic.provision(world, "1.0")
    assert synthetic.differences(world.current, synthetic.lock(world.wheels, "1.0")) == []


def test_without_repair_killed_builds_stay_damaged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prove that these kills damage something: without the repair the same command fails."""
    monkeypatch.setattr(repair, repair.remove_distribution.__name__, lambda *_: None)
    lock = synthetic.lock(world.wheels, "1.0")
    for _ in range(60):
        shutil.rmtree(world.prefix, ignore_errors=True)
        child = synthetic.start(world, "1.0")
        until(
            lambda: list(world.prefix.glob("*/lib/python*/site-packages/toy*"))
        )  # uv installs within milliseconds
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        try:
            synthetic.provision(world, "1.0")
        except StepFailed:
            assert not os.path.lexists(world.prefix / "current"), (
                "a damaged environment never becomes current"
            )
            return
        assert synthetic.differences(world.current, lock) == []
    pytest.fail("no kill damaged anything: the tests of kills prove nothing here")


def test_the_journal_ignores_a_line_cut_short(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    entry = JournalEntry(what="started", step="30-python", fingerprint="a", when="now")
    journal.append(entry)
    journal.append(JournalEntry(what="done", step="30-python", fingerprint="a", when="now"))
    with (tmp_path / "journal.jsonl").open("a") as stream:
        stream.write('{"what":"started","st')
    assert journal.done_fingerprints() == {"30-python": "a"}
    journal.append(entry)
    assert journal.done_fingerprints() == {}, "entries after the line cut short count"


def test_disk_full(world: World) -> None:
    """Build on a small disk in a mount namespace; the same command resumes once there is space."""
    script = (
        f'mount -t tmpfs -o size=1500k none "{world.prefix}" || exit 77; "$@"; first=$?; '
        f'mount -o remount,size=200m "{world.prefix}" || exit 77; "$@" || exit 1; [ $first -eq 4 ] || exit $((50+first))'
    )
    world.prefix.mkdir(parents=True)
    child = synthetic.start(world, "1.0")
    argv = [*child.args]  # type: ignore[misc]  # a list, as passed
    child.kill()
    child.communicate()
    subprocess.run(["rm", "-rf", str(world.prefix)], check=True)
    world.prefix.mkdir(parents=True)
    finished = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", *argv],
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode == 77 or "unshare failed" in finished.stderr:
        pytest.skip(f"no disk can be mounted here: {finished.stderr.strip()}")
    assert finished.returncode == 0, finished.stderr
    assert "No space left" in finished.stderr or "no space" in finished.stderr
