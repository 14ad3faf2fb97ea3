"""Builds: new, repeated, upgraded, partial, refused. Finished work stays; a failure has a hint."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from provision.doors import parts
from provision.engine import apply, discover_steps, environments, fingerprint, locks, needs, store
from provision.engine.integrity import manifest
from provision.errors import Locked, StepFailed, WrongUsage
from provision.events import CommandStarted, Event, Line, StepDone, StepResult, StepStarted
from provision.plan._model import Package
from provision.steps import step_20_toolchain
from provision.steps.model import Action, Lock, Need, Run, Step
from tests.engine import synthetic
from tests.engine.synthetic import World

HOLDER = """
import sys; from pathlib import Path; from provision.engine import locks
with locks.hold(Path(sys.argv[1]), 'up'):
    print('held', flush=True); sys.stdin.read()
"""


def outcomes(results: list[StepResult]) -> list[str]:
    return [result.outcome for result in results]


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_ino)
        for path in sorted(folder.rglob("*"))
    }


def test_fresh_noop_upgrade_and_back(world: World) -> None:
    heard: list[Event] = []
    assert outcomes(synthetic.provision(world, "1.0", heard.append)) == ["done"] * 4
    first = world.current
    assert synthetic.differences(first, synthetic.lock(world.wheels, "1.0")) == []
    assert [type(event) for event in heard if not isinstance(event, Line)][:3] == [
        StepStarted,
        CommandStarted,
        StepDone,
    ]

    before, lock_file = snapshot(world.prefix), world.prefix / ".lock"
    assert outcomes(synthetic.provision(world, "1.0")) == ["kept"] * 4
    after = snapshot(world.prefix)
    assert before.pop(str(lock_file)) != after.pop(str(lock_file)), "the lock names its owner"
    assert after == before, "a run with nothing to do writes nothing"

    assert outcomes(synthetic.provision(world, "2.0")) == ["done"] * 4
    assert world.current != first
    assert synthetic.differences(first, synthetic.lock(world.wheels, "1.0")) == []
    assert [generation.current for generation in environments.list_environments(world.prefix)] == [
        False,
        True,
    ]
    assert outcomes(synthetic.provision(world, "1.0")) == ["kept"] * 4, (
        "what stands already is only switched to"
    )
    assert world.current == first


def test_contents_are_never_shared(world: World) -> None:
    synthetic.provision(world, "1.0")
    assert {path.stat().st_nlink for path in world.packages().rglob("*") if path.is_file()} == {1}


def test_hard_links_of_others_are_cut(
    world: World, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edit of a backup made with `cp -l` would edit the environment too."""
    synthetic.provision(world, "1.0")
    victim = world.packages() / "toy03" / "part03.py"
    (place / "backup.py").hardlink_to(victim)
    monkeypatch.setattr(manifest, "boot_id", lambda: "another")
    synthetic.provision(world, "1.0")
    assert victim.stat().st_nlink == 1


def test_the_log_is_its_owners_and_hides_secrets(world: World) -> None:
    step = Step(
        number=30,
        name="talk",
        title="Talk",
        why="",
        actions=lambda *_: (
            Run(
                title="talk",
                argv=("sh", "-c", "echo fetching https://me:hunter2@mirror/x; echo $HF_TOKEN"),
                env={"HF_TOKEN": "hf_abcdefghijklmnop"},
            ),
        ),
    )
    _build_only(world, [step])
    log = world.logs / "30-talk.log"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert "hunter2" not in log.read_text()
    assert "hf_abc" not in log.read_text()
    assert "HF_TOKEN=***" in log.read_text()


@pytest.mark.parametrize(
    ("script", "message"),
    [("echo why; exit 7", "ended with status 7"), ("kill -SEGV $$", "was ended by SIGSEGV")],
)
def test_a_failing_command_says_how_to_go_on(world: World, script: str, message: str) -> None:
    step = Step(
        number=30,
        name="bad",
        title="Bad",
        why="",
        actions=lambda *_: (Run(title="try", argv=("sh", "-c", script)),),
    )
    with pytest.raises(StepFailed) as caught:
        _build_only(world, [step])
    text = str(caught.value)
    assert caught.value.exit_code == 4
    for part in (
        "step 30-bad",
        message,
        f"sh -c '{script}'",
        str(world.logs / "30-bad.log"),
        "the same command resumes",
    ):
        assert part in text
    if "why" in script:
        assert "    why" in text


def test_wheels_come_while_a_command_runs_and_never_before(world: World) -> None:
    lock, (first, *others) = synthetic.lock(world.wheels, "1.0"), synthetic.steps()
    wheels = Path(world.site().wheels)
    last = wheels / lock.pins[synthetic.WHEELS // 2 - 1].wheel.file

    def waiting(*given: Any) -> tuple[Action, ...]:
        wait = ("sh", "-c", f"until [ -e '{last}' ]; do sleep 0.05; done")
        return *first.actions(*given), Run(
            title="wait for the next step's wheels", argv=wait, deadline_s=60
        )

    refused = Need(title="room", kind="free space", path=str(world.prefix), mb=10**9)
    preflight = Step(
        number=10, name="preflight", title="Preflight", why="", actions=lambda *_: (refused,)
    )
    with pytest.raises(StepFailed, match="room"):
        _build_only(world, [preflight, first, *others], lock)
    assert not wheels.exists(), "what cannot end does not begin"
    _build_only(world, [msgspec.structs.replace(first, actions=waiting), *others], lock)
    assert synthetic.differences(world.prefix / "g", lock) == []


def _build_only(world: World, steps: list[Step], lock: Lock = Lock(pins=())) -> None:  # noqa: B008 - it is frozen
    site = world.site("g")
    apply.build(
        synthetic.PLAN, lock, site, steps, log_folder=world.logs, environment=world.environment
    )


def test_commands_do_not_see_what_reaches_in(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("LD_PRELOAD", "")
    step = Step(
        number=30,
        name="look",
        title="Look",
        why="",
        actions=lambda *_: (Run(title="look", argv=("env",)),),
    )
    apply.build(synthetic.PLAN, Lock(pins=()), world.site("g"), [step], log_folder=world.logs)
    lines = (world.logs / "30-look.log").read_text().splitlines()
    assert not [line for line in lines if line.startswith(("PYTHONPATH=", "LD_PRELOAD="))]


def test_steps_by_number(world: World) -> None:
    with pytest.raises(WrongUsage, match="builds on step 30-python"):
        synthetic.provision(world, "1.0", only=50)
    with pytest.raises(WrongUsage, match="there is no step 55"):
        synthetic.provision(world, "1.0", only=55)
    assert outcomes(synthetic.provision(world, "1.0", only=30)) == ["done"]
    assert not (world.prefix / "current").exists(), "a part is no environment"
    assert outcomes(synthetic.provision(world, "1.0", start=40)) == ["done"] * 3
    assert synthetic.differences(world.current, synthetic.lock(world.wheels, "1.0")) == []


def test_fingerprints_chain(world: World) -> None:
    lock, steps = synthetic.lock(world.wheels, "1.0"), synthetic.steps()
    chain = fingerprint.chain(synthetic.PLAN, lock, world.site("a"), steps)
    assert chain == fingerprint.chain(synthetic.PLAN, lock, world.site("b"), steps)
    other = [steps[0], msgspec.structs.replace(steps[1], actions=lambda *_: ()), *steps[2:]]
    changed = fingerprint.chain(synthetic.PLAN, lock, world.site("a"), other)
    assert [item == two for item, two in zip(chain, changed, strict=True)] == [
        True,
        False,
        False,
        False,
    ]


def test_fingerprints_are_the_same_from_another_checkout(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, steps, site = (
        synthetic.lock(world.wheels, "1.0"),
        discover_steps.discover(),
        world.site("a"),
    )
    plan = msgspec.structs.replace(
        synthetic.PLAN,
        packages={
            "vllm": Package(version="1", source="pypi"),
            "torch": Package(version="1", source="pypi"),
        },
    )
    chain = fingerprint.chain(plan, lock, site, steps)
    elsewhere = Path("/elsewhere/provision")
    monkeypatch.setattr(step_20_toolchain, "LOOK", elsewhere / step_20_toolchain.LOOK.name)
    monkeypatch.setattr(fingerprint, "_OURS", f"{elsewhere}/")
    theirs = msgspec.structs.replace(site, uv="/elsewhere/.venv/bin/uv")
    there = fingerprint.chain(plan, lock, theirs, [step for step in steps if step.number <= 20])
    assert there == chain[: len(there)]
    other = msgspec.structs.replace(site, host_python="/opt/python3.11")
    assert fingerprint.chain(plan, lock, other, steps) != chain, (
        "another Python makes another environment"
    )


def test_needs_refuse_with_numbers(world: World) -> None:
    short = needs.measure(
        Need(title="", kind="free space", path=str(world.prefix / "not yet"), mb=10**9)
    )
    assert not short.met
    assert "1000000000 MB of disk space are needed" in short.text
    assert "MB are free on" in short.text
    assert needs.measure(Need(title="", kind="free space", path="/", mb=1)).met
    memory = needs.measure(Need(title="", kind="memory", mb=10**9))
    assert (memory.met, "memory" in memory.text) == (False, True)
    assert needs.measure(Need(title="", kind="locks", path=str(world.prefix))).met
    assert needs.measure(Need(title="", kind="glibc", version="2.17")).met
    newer = needs.measure(Need(title="", kind="glibc", version="2.999"))
    assert not newer.met
    assert newer.text.startswith("glibc 2.999 or newer is needed, this host has 2.")


def test_a_library_of_the_system_is_looked_for_as_the_linker_does() -> None:
    assert needs.measure(Need(title="", kind="library", path="libc.so.6")).met
    lacking = needs.measure(Need(title="", kind="library", path="libnothing.so.1"))
    assert (lacking.text, lacking.met) == ("libnothing.so.1 cannot be loaded", False)


def test_what_the_processes_of_vllm_need_is_tried(tmp_path: Path) -> None:
    assert needs.measure(Need(title="", kind="shared memory", path="/dev/shm")).met
    assert needs.measure(Need(title="", kind="readable", path="/sys/devices/system/cpu")).met
    assert needs.measure(Need(title="", kind="loopback")).met
    assert needs.measure(Need(title="", kind="readable", path=str(tmp_path))).text.endswith(
        "is empty"
    )
    shm = needs.measure(Need(title="", kind="shared memory", path="/proc"))
    assert not shm.met
    assert shm.text.startswith("/proc: ")


def test_another_disk_is_looked_at_and_the_same_one_only_once(world: World) -> None:
    def need(path: str) -> Need:
        return Need(title="", kind="free space", path=path, mb=10**9, beside=str(world.prefix))

    assert needs.measure(need(str(world.prefix.parent / "cache"))).met
    assert not needs.measure(need("/proc")).met


def test_prune_is_named_where_it_would_remove_something(world: World) -> None:
    room = Need(
        title="room",
        kind="free space",
        path=str(world.prefix),
        mb=10**9,
        hint="free some space there",
    )
    built = world.prefix / "none"
    assert needs.hint_for(room, built) == room.hint
    for version in ("1.0", "2.0"):
        synthetic.provision(world, version)
    assert needs.hint_for(room, built).startswith("./setup.sh prune --set keep=1")


def test_needs_are_logged_with_what_is_there(world: World) -> None:
    need = Need(title="room for it", kind="free space", path=str(world.prefix), mb=1)
    _build_only(
        world, [Step(number=10, name="look", title="Look", why="", actions=lambda *_: (need,))]
    )
    assert (
        "room for it: 1 MB of disk space are needed, " in (world.logs / "10-look.log").read_text()
    )


def test_a_generation_that_was_only_begun_on_paper_is_taken_away(world: World) -> None:
    place = environments.find_or_begin(world.prefix, "target", "20260101T000000Z-0000")
    assert environments.remove_if_unbegun(Path(place.path), "run")
    assert environments.list_environments(world.prefix) == []
    synthetic.provision(world, "1.0", only=30)
    (begun,) = environments.list_environments(world.prefix)
    assert not environments.remove_if_unbegun(Path(begun.path), "run")


def test_a_second_run_names_the_first(world: World) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            HOLDER,
            str(world.prefix),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(Locked) as caught, locks.hold(world.prefix, "provision"):
        pass
    assert caught.value.exit_code == 6
    assert f"`up`, pid {holder.pid}, since " in str(caught.value)
    holder.kill()
    holder.communicate()
    with locks.hold(world.prefix, "provision"):
        pass


def test_rollback_and_prune(world: World) -> None:
    for version in ("1.0", "2.0"):
        synthetic.provision(world, version)
    first, second = environments.list_environments(world.prefix)
    runs = subprocess.Popen(
        [f"{second.path}/bin/python", "-c", "print('up', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert runs.stdout is not None
    runs.stdout.readline()
    went, users = environments.rollback(world.prefix)
    assert went == first.id
    assert runs.pid in [pid for pid, _ in users]
    assert environments.current_id(world.prefix) == first.id
    assert environments.rollback(world.prefix)[0] == second.id, "the one in use before"
    assert environments.rollback(world.prefix)[0] == first.id
    assert environments.prune(world.prefix, keep=0) == [], "one is current, the other in use"
    runs.communicate(b"\n")
    begun = environments.find_or_begin(world.prefix, "abandoned", environments.new_id())
    later = environments.find_or_begin(world.prefix, "later", environments.new_id())
    assert environments.prune(world.prefix, keep=1, keep_begun=True) == [begun.id]
    assert environments.prune(world.prefix, keep=1) == [later.id]
    assert environments.prune(world.prefix, keep=0) == [second.id]
    assert sorted(path.name for path in world.prefix.iterdir()) == [
        ".lock",
        first.id,
        "current",
        "wheels",
    ]


def test_the_store_keeps_what_an_environment_is_made_of(world: World) -> None:
    wheels = Path(world.site().wheels)
    for version in ("1.0", "2.0"):
        synthetic.provision(world, version)
    old, new = (synthetic.lock(world.wheels, version) for version in ("1.0", "2.0"))
    begun = parts.partial_path(wheels / old.pins[0].wheel.file, old.pins[0].wheel.sha256)
    begun.write_text("of a killed run")
    (wheels / "theirs-1.0-py3-none-any.whl").write_text("somebody's own")
    before = store.referenced(world.prefix)
    environments.prune(world.prefix, keep=1)
    store.prune(world.prefix, before)
    kept = {pin.wheel.file for pin in new.pins} | {"theirs-1.0-py3-none-any.whl"}
    assert {path.name for path in wheels.iterdir()} == kept


def test_a_store_behind_a_link_is_not_pruned(world: World) -> None:
    """Another prefix may use it, and its environments need their wheels for a repair."""
    shared = world.prefix.parent / "shared"
    shared.mkdir()
    world.prefix.mkdir(exist_ok=True)
    (world.prefix / "wheels").symlink_to(shared)
    synthetic.provision(world, "1.0")
    stored = {path.name for path in shared.iterdir()}
    synthetic.provision(world, "2.0")
    before = store.referenced(world.prefix)
    environments.prune(world.prefix, keep=1)
    store.prune(world.prefix, before)
    assert stored <= {path.name for path in shared.iterdir()}


def test_only_complete_generations_become_current(world: World) -> None:
    place = environments.find_or_begin(world.prefix, "begun", "20260101T000000Z-0000")
    with pytest.raises(WrongUsage, match="is not complete"):
        environments.switch(world.prefix, place.id)
    assert not os.path.lexists(world.prefix / "current")


def test_who_was_started_in_an_activated_shell_uses_its_environment(world: World) -> None:
    """Nothing but its PATH says where this `python` is from."""
    synthetic.provision(world, "1.0")
    argv = [
        "sh",
        "-c",
        'PATH=$1:$PATH; exec python -c "print(1, flush=True); input()"',
        "-",
        str(world.current / "bin"),
    ]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/") as runs:
        assert runs.stdout
        runs.stdout.readline()
        assert [pid for pid, _ in environments.processes_using(world.current)] == [runs.pid]
        synthetic.provision(world, "2.0")
        first = environments.list_environments(world.prefix)[0]
        assert environments.prune(world.prefix, keep=0) == []
        assert Path(first.path).exists()


@pytest.mark.parametrize("name", ["{prefix}/current/bin/python", "current/bin/python"])
def test_who_was_started_by_way_of_current_uses_what_it_points_at(world: World, name: str) -> None:
    """The process maps no file of the environment; only its command line names it."""
    synthetic.provision(world, "1.0")
    argv = [name.format(prefix=world.prefix), "-c", "print('up', flush=True); input()"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(argv, cwd=world.prefix, **pipes) as runs:  # type: ignore[call-overload]  # two pipes
        runs.stdout.readline()
        assert runs.pid in [pid for pid, _ in environments.processes_using(world.current)]
        synthetic.provision(world, "2.0")
        first, second = environments.list_environments(world.prefix)
        assert runs.pid in [pid for pid, _ in environments.processes_using(Path(second.path))], (
            "as far as anybody can tell"
        )
        went, users = environments.rollback(world.prefix, first.id)
        assert (went, runs.pid in [pid for pid, _ in users]) == (first.id, True)
        runs.communicate(b"\n")


def test_a_generation_reached_by_a_link_is_seen_in_use(tmp_path: Path) -> None:
    (tmp_path / "disk" / "one").mkdir(parents=True)
    (tmp_path / "envs").symlink_to("disk")
    runs = subprocess.Popen(["sleep", "60"], cwd=tmp_path / "disk" / "one")
    try:
        assert environments.processes_using(tmp_path / "envs" / "one") == [(runs.pid, "sleep")]
    finally:
        runs.kill()
        runs.wait()


def test_a_clock_that_goes_backwards(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environments are ordered by a number, not by the clock."""
    synthetic.provision(world, "1.0")
    real = time.gmtime
    monkeypatch.setattr(time, "gmtime", lambda *_: real(0))
    synthetic.provision(world, "2.0")
    older, newer = environments.list_environments(world.prefix)
    assert newer.id < older.id
    assert newer.current
    assert [item.outcome for item in synthetic.provision(world, "2.0")] == ["kept"] * 4
    assert environments.rollback(world.prefix)[0] == older.id
    environments.switch(world.prefix, newer.id)
    assert environments.prune(world.prefix, keep=1) == [older.id]
