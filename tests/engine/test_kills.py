"""Killed anywhere: what was current stays current and whole, and the same command heals what was begun."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from provision.engine import environments
from provision.engine.integrity import repair
from provision.engine.journal import Entry, Journal
from provision.errors import StepFailed
from tests.engine import kills, synthetic
from tests.engine.synthetic import World
from tests.patience import until

pytestmark = pytest.mark.environment


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 6))]


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_random_while_fresh(world: World, seed: int) -> None:
    seconds = kills.clean_seconds(world, "1.0")
    for after in kills.moments(seconds, 5, seed):
        shutil.rmtree(world.prefix, ignore_errors=True)
        outcome = kills.kill(world, "1.0", after=after)
        assert (outcome.after_kill, outcome.after_again, outcome.again) == ([], [], ""), f"killed after {after:.3f} s"


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_random_while_upgrading(world: World, seed: int) -> None:
    kills.clean_seconds(world, "1.0")
    before = environments.current(world.prefix)
    seconds = kills.upgrade_seconds(world, before, "2.0")
    for after in kills.moments(seconds, 5, seed):
        kills.back_to(world, before)
        outcome = kills.kill(world, "2.0", after=after, standing=synthetic.lock(world.wheels, "1.0"))
        assert (outcome.after_kill, outcome.after_again, outcome.again) == ([], [], ""), f"killed after {after:.3f} s"


@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.long)])
def test_killed_before_every_rename_link_and_sync(world: World, step: int) -> None:
    """Upwards until a build gets through with no kill left to come; in steps where time is short."""
    kills.clean_seconds(world, "1.0")
    before = environments.current(world.prefix)
    for nth in range(1, 200, step):
        outcome = kills.kill(world, "2.0", die_at=nth, standing=synthetic.lock(world.wheels, "1.0"))
        assert (outcome.after_kill, outcome.after_again, outcome.again) == ([], [], ""), f"killed before call {nth}"
        if not outcome.reached:
            break
        kills.back_to(world, before)
    assert 20 < nth < 199, "more often than this a build renames, links and syncs, and in the end it gets through"


@pytest.mark.parametrize("step", [67, pytest.param(23, marks=pytest.mark.long)])
def test_killed_while_repairing(world: World, step: int) -> None:
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
def test_a_polite_end_takes_the_children_along(world: World, number: signal.Signals) -> None:
    child = synthetic.start(world, "1.0")
    until(lambda: list(world.prefix.glob("*/.vllm-ready/journal.jsonl")))
    os.kill(child.pid, number)
    child.communicate(timeout=20)
    assert child.returncode == 130
    (place,) = environments.found(world.prefix)
    assert not place.complete
    assert environments.in_use(Path(place.path)) == []
    synthetic.provision(world, "1.0")
    assert synthetic.differences(world.current, synthetic.lock(world.wheels, "1.0")) == []


def test_without_healing_killed_builds_stay_unfinished(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof that the kills tear something: with the healing taken out the same command does not mend it all."""
    monkeypatch.setattr(repair, "take_out", lambda *_: None)
    lock = synthetic.lock(world.wheels, "1.0")
    for _ in range(60):
        shutil.rmtree(world.prefix, ignore_errors=True)
        child = synthetic.start(world, "1.0")
        until(lambda: list(world.prefix.glob("*/lib/python*/site-packages/toy*")))  # they come in milliseconds
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        try:
            synthetic.provision(world, "1.0")
        except StepFailed:
            assert not os.path.lexists(world.prefix / "current"), "what is torn never becomes current"
            return
        assert synthetic.differences(world.current, lock) == []
    pytest.fail("no kill tore anything: the kill tests prove nothing here")


def test_the_journal_ignores_a_torn_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    entry = Entry(what="started", step="30-python", fingerprint="a", when="now")
    journal.append(entry)
    journal.append(Entry(what="done", step="30-python", fingerprint="a", when="now"))
    with (tmp_path / "journal.jsonl").open("a") as stream:
        stream.write('{"what":"started","st')
    assert journal.done() == {"30-python": "a"}
    journal.append(entry)
    assert journal.done() == {}, "what came after the torn line counts"


def test_disk_full(world: World) -> None:
    """In a mount namespace of its own with a small disk; the same command heals once there is space."""
    script = (
        f'mount -t tmpfs -o size=1500k none "{world.prefix}" || exit 77; "$@"; first=$?; '
        f'mount -o remount,size=200m "{world.prefix}" || exit 77; "$@" || exit 1; [ $first -eq 4 ] || exit $((50+first))'
    )
    world.prefix.mkdir(parents=True)
    child = synthetic.start(world, "1.0")
    argv = [*child.args]  # type: ignore[misc]  # a list, as it was given
    child.kill()
    child.communicate()
    subprocess.run(["rm", "-rf", str(world.prefix)], check=True)
    world.prefix.mkdir(parents=True)
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", *argv],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert "No space left" in done.stderr or "no space" in done.stderr
