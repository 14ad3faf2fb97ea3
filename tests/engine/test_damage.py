"""Silent damage is found and repaired, and files of others are not touched."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from provision.doors import files
from provision.engine import environments, journal
from provision.engine.integrity import manifest, repair, wrong_records
from provision.errors import StepFailed
from provision.events import Event, Note
from tests.engine import synthetic
from tests.engine.synthetic import World
from tests.engine.test_build import snapshot

pytestmark = pytest.mark.environment


def delete(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def edit(path: Path) -> None:
    """Change the content, but not the size."""
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


def edit_and_hide(path: Path) -> None:
    """Change the content and restore the time: only reading the file shows it."""
    status = path.stat()
    edit(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def files_of(site: Path, number: int) -> list[Path]:
    return sorted(
        path for path in site.glob(f"toy{number:02}*/*") if path.is_file() and path.stat().st_size
    )


@pytest.fixture
def two(world: World) -> World:
    synthetic.provision(world, "2.0")
    synthetic.provision(world, "1.0")
    return world


@pytest.mark.parametrize("times", [1, pytest.param(5, marks=pytest.mark.long)])
def test_damage_is_found_and_repaired(two: World, times: int) -> None:
    lock, chance = synthetic.lock(two.wheels, "1.0"), random.Random(3)
    other = next(
        Path(environment.path)
        for environment in environments.list_environments(two.prefix)
        if not environment.current
    )
    before, stored = snapshot(other), contents(two)
    for number, damage in enumerate([delete, truncate, edit] * times):
        victim = chance.choice(files_of(two.packages(), number + 1))
        damage(victim)
        assert synthetic.differences(two.current, lock) or victim.name == "RECORD"
        synthetic.provision(two, "1.0")
        assert synthetic.differences(two.current, lock) == [], f"{damage.__name__} {victim}"
        assert [step.outcome for step in synthetic.provision(two, "1.0")] == ["kept"] * 4
    assert snapshot(other) == before
    assert contents(two) == stored


def contents(world: World) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(world.site().wheels).iterdir()}


def test_a_hidden_edit_is_found_after_a_reboot(two: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = synthetic.lock(two.wheels, "1.0")
    edit_and_hide(two.packages() / "toy07" / "part03.py")
    synthetic.provision(two, "1.0")
    assert synthetic.differences(two.current, lock), "stat shows no change"
    monkeypatch.setattr(manifest, "boot_id", lambda: "another")
    synthetic.provision(two, "1.0")
    assert synthetic.differences(two.current, lock) == [], "everything is read after a reboot"
    assert [step.outcome for step in synthetic.provision(two, "1.0")] == ["kept"] * 4


def test_a_repair_is_on_the_disk_before_it_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut after a repair must not empty the repaired files."""
    synthetic.provision(world, "1.0")
    delete(world.packages() / "toy07" / "part03.py")
    complete_at_sync = []

    def note_sync(folder: Path) -> None:
        mark = world.current / environments.STATE / environments.COMPLETE
        complete_at_sync.append((folder, mark.exists()))

    monkeypatch.setattr(files, "sync_file_system", note_sync)
    synthetic.provision(world, "1.0")
    assert complete_at_sync == [(world.current, False)]


@pytest.mark.parametrize("cause", ["power cut", "failed install"])
def test_an_emptied_unpacked_wheel_is_not_installed(
    world: World, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    synthetic.provision(world, "1.0", only=30)
    synthetic.provision(world, "1.0", only=40)
    unpacked = next(world.prefix.glob(f"*/{environments.STATE}/unpacked"))
    for path in unpacked.rglob("toy*/*"):
        if path.is_file():
            truncate(path)
    if cause == "power cut":
        monkeypatch.setattr(journal, "boot_id", lambda: "another")
    else:
        with pytest.raises(StepFailed):
            synthetic.provision(world, "1.0")
    synthetic.provision(world, "1.0")
    assert synthetic.differences(world.current, synthetic.lock(world.wheels, "1.0")) == []


@pytest.mark.parametrize(
    "name",
    [environments.MADE, environments.COMPLETE, journal.FILE, manifest.FILE],
)
def test_a_flipped_bit_in_a_state_file_heals(world: World, name: str) -> None:
    synthetic.provision(world, "1.0")
    path = world.current / environments.STATE / name
    content = bytearray(path.read_bytes())
    content[content.index(b'"', 12) - 1] |= 0x80  # no UTF-8 any more
    path.write_bytes(content)
    synthetic.provision(world, "1.0")
    assert synthetic.differences(world.current, synthetic.lock(world.wheels, "1.0")) == []
    assert environments.list_environments(world.prefix)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
@pytest.mark.parametrize(
    "name",
    [
        *(f"{environments.STATE}/{name}" for name in (environments.COMPLETE, journal.FILE)),
        f"{environments.STATE}/{manifest.FILE}",
        "bin/toy00",
        "lib/python*/site-packages/toy07/part03.py",
    ],
)
def test_a_pipe_or_folder_in_the_place_of_a_file_heals(
    world: World, name: str, make: Callable[[Path], None]
) -> None:
    synthetic.provision(world, "1.0")
    (path,) = world.current.glob(name)
    path.unlink()
    make(path)
    delete(world.packages() / "toy03" / "part04.py")  # so that there is something to do
    synthetic.provision(world, "1.0")
    assert path.is_file()
    assert synthetic.differences(world.current, synthetic.lock(world.wheels, "1.0")) == []


def test_what_a_killed_writer_left_is_removed(world: World) -> None:
    synthetic.provision(world, "1.0")
    leftover = world.current / environments.STATE / ".manifest.json.ab12.unfinished"
    leftover.touch()
    delete(world.packages() / "toy07" / "part03.py")
    synthetic.provision(world, "1.0")
    assert not leftover.exists()


def test_a_file_with_a_new_time_is_not_damaged(two: World) -> None:
    (two.packages() / "toy07" / "part03.py").touch()
    assert [step.outcome for step in synthetic.provision(two, "1.0")] == ["kept"] * 4


@pytest.mark.parametrize("damage", [edit, truncate, delete])
def test_a_damaged_wheel_in_the_store_is_not_used(
    world: World, damage: Callable[[Path], None]
) -> None:
    synthetic.provision(world, "1.0")
    damage(Path(world.site().wheels) / "toy07-1.0-py3-none-any.whl")
    for path in (world.packages() / "toy07").glob("part0*"):
        path.unlink()
    synthetic.provision(world, "1.0")
    assert synthetic.differences(world.current, synthetic.lock(world.wheels, "1.0")) == []


def test_only_missing_wheels_are_downloaded_again(world: World) -> None:
    synthetic.provision(world, "1.0")
    store = Path(world.site().wheels)
    shutil.rmtree(store)
    (world.packages() / "toy07" / "part03.py").unlink()
    synthetic.provision(world, "1.0")
    assert synthetic.differences(world.current, synthetic.lock(world.wheels, "1.0")) == []
    assert [path.name for path in store.iterdir()] == ["toy07-1.0-py3-none-any.whl"]


@pytest.mark.parametrize("lost", ["bin/python", "bin/activate", "pyvenv.cfg"])
def test_files_of_no_distribution_are_repaired(world: World, lost: str) -> None:
    synthetic.provision(world, "1.0")
    (world.current / lost).unlink()
    synthetic.provision(world, "1.0")
    assert (world.current / lost).exists()
    assert synthetic.differences(world.current, synthetic.lock(world.wheels, "1.0")) == []


def test_a_file_of_a_step_is_written_again(world: World) -> None:
    synthetic.provision(world, "1.0")
    (world.current / "bin" / "toy00").write_text("other\n")
    results = synthetic.provision(world, "1.0")
    assert (world.current / "bin" / "toy00").read_text() == "#!/bin/sh\n"
    assert results[-1].outcome == "done"


def test_a_version_replaced_by_hand_is_reported_and_reinstalled(world: World) -> None:
    synthetic.provision(world, "1.0")
    site = world.packages()
    (site / "toy05-1.0.dist-info").rename(site / "toy05-2.0.dist-info")
    events: list[Event] = []
    synthetic.provision(world, "1.0", events.append)
    assert any("version 2.0 is installed, 1.0 is locked" in text for text in notes(events))
    assert synthetic.differences(world.current, synthetic.lock(world.wheels, "1.0")) == []
    assert not (site / "toy05-2.0.dist-info").exists()


def test_a_file_outside_that_a_record_lists_is_not_removed(world: World, place: Path) -> None:
    synthetic.provision(world, "1.0")
    precious = place / "precious"
    precious.write_text("mine")
    site = world.packages()
    record = site / "toy05-1.0.dist-info" / "RECORD"
    record.write_text(f"{os.path.relpath(precious, site)},,\n{record.read_text()}")
    synthetic.provision(world, "1.0")
    assert precious.read_text() == "mine"
    assert synthetic.differences(world.current, synthetic.lock(world.wheels, "1.0")) == []


def test_without_repair_a_damaged_environment_does_not_become_complete(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prove that these tests depend on the repair: without it the damage stays and is reported."""
    synthetic.provision(world, "1.0")
    monkeypatch.setattr(repair, repair.remove_distribution.__name__, lambda *_: None)
    (world.packages() / "toy07" / "part03.py").unlink()
    with pytest.raises(StepFailed, match="toy07 stays damaged"):
        synthetic.provision(world, "1.0")
    assert not any(
        environment.complete for environment in environments.list_environments(world.prefix)
    )


def notes(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Note)]


def with_wheels_of_its_own(world: World, place: Path) -> World:
    return msgspec.structs.replace(
        world, wheels=Path(shutil.copytree(world.wheels, place / "wheels"))
    )


def test_a_wheel_with_a_wrong_record_is_compared_with_its_true_content(
    world: World, place: Path
) -> None:
    world = with_wheels_of_its_own(world, place)
    lying = "toy05/big.bin"
    synthetic.make_wheel(world.wheels, "toy05", "1.0", lies=lying)
    events: list[Event] = []
    synthetic.provision(world, "1.0", events.append)
    assert f"the wheel of toy05 has a wrong RECORD: {lying}" in notes(events)
    assert list(wrong_records.read_true_digests(world.current / environments.STATE)) == [lying]
    assert [step.outcome for step in synthetic.provision(world, "1.0")] == ["kept"] * 4
    truth = (world.packages() / lying).read_bytes()
    edit(world.packages() / lying)
    synthetic.provision(world, "1.0")
    assert (world.packages() / lying).read_bytes() == truth
    assert [step.outcome for step in synthetic.provision(world, "1.0")] == ["kept"] * 4


def test_a_file_of_two_wheels_may_be_that_of_either(world: World, place: Path) -> None:
    world = with_wheels_of_its_own(world, place)
    for name in ("toy05", "toy25"):
        synthetic.make_wheel(
            world.wheels, name, "1.0", more={"shared/__init__.py": f"# by {name}\n"}
        )
    events: list[Event] = []
    synthetic.provision(world, "1.0", events.append)
    assert not notes(events), "it is not damaged"
    assert [step.outcome for step in synthetic.provision(world, "1.0")] == ["kept"] * 4
    shared = world.packages() / "shared" / "__init__.py"
    shared.write_text("# by neither\n")
    synthetic.provision(world, "1.0")
    assert shared.read_text() in {"# by toy05\n", "# by toy25\n"}
    assert [step.outcome for step in synthetic.provision(world, "1.0")] == ["kept"] * 4
