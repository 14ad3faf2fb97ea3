"""Silent damage is found and repaired; nobody else's files are touched; a store that was damaged is not believed."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from provision.engine import environments
from provision.engine.events import Event, Note
from provision.engine.integrity import manifest, repair, wrong_records
from provision.errors import StepFailed
from tests.engine import synthetic
from tests.engine.synthetic import World
from tests.engine.test_build import snapshot


def delete(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def edit(path: Path) -> None:
    """The same size, another content."""
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


def edit_and_hide(path: Path) -> None:
    """As an edit whose time was set back: only reading the file shows it."""
    status = path.stat()
    edit(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def files_of(site: Path, number: int) -> list[Path]:
    return sorted(path for path in site.glob(f"toy{number:02}*/*") if path.is_file() and path.stat().st_size)


@pytest.fixture
def two(world: World) -> World:
    synthetic.provision(world, "2.0")
    synthetic.provision(world, "1.0")
    return world


def test_damage_is_found_and_repaired(two: World) -> None:
    lock, chance = synthetic.lock(two.wheels, "1.0"), random.Random(3)
    other = next(Path(each.path) for each in environments.found(two.prefix) if not each.current)
    before, stored = snapshot(other), contents(two)
    for number, damage in enumerate([delete, truncate, edit] * 5):
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


def test_an_edit_that_hides_is_found_by_reading(two: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = synthetic.lock(two.wheels, "1.0")
    edit_and_hide(two.packages() / "toy07" / "part03.py")
    synthetic.provision(two, "1.0")
    assert synthetic.differences(two.current, lock), "stat shows nothing"
    monkeypatch.setattr(manifest, "_boot", lambda: "another")
    synthetic.provision(two, "1.0")
    assert synthetic.differences(two.current, lock) == [], "after a start of the host everything is read"
    assert [step.outcome for step in synthetic.provision(two, "1.0")] == ["kept"] * 4


def test_a_touched_file_is_no_damage(two: World) -> None:
    (two.packages() / "toy07" / "part03.py").touch()
    assert [step.outcome for step in synthetic.provision(two, "1.0")] == ["kept"] * 4


@pytest.mark.parametrize("damage", [edit, truncate, delete])
def test_a_damaged_store_is_not_believed(world: World, damage: Callable[[Path], None]) -> None:
    synthetic.provision(world, "1.0")
    damage(Path(world.site().wheels) / "toy07-1.0-py3-none-any.whl")
    for path in (world.packages() / "toy07").glob("part0*"):
        path.unlink()
    synthetic.provision(world, "1.0")
    assert synthetic.differences(world.current, synthetic.lock(world.wheels, "1.0")) == []


def test_only_what_is_lacking_is_fetched_again(world: World) -> None:
    synthetic.provision(world, "1.0")
    store = Path(world.site().wheels)
    shutil.rmtree(store)
    (world.packages() / "toy07" / "part03.py").unlink()
    synthetic.provision(world, "1.0")
    assert synthetic.differences(world.current, synthetic.lock(world.wheels, "1.0")) == []
    assert [path.name for path in store.iterdir()] == ["toy07-1.0-py3-none-any.whl"]


@pytest.mark.parametrize("lost", ["bin/python", "bin/activate", "pyvenv.cfg"])
def test_the_environment_itself_is_repaired(world: World, lost: str) -> None:
    synthetic.provision(world, "1.0")
    (world.current / lost).unlink()
    synthetic.provision(world, "1.0")
    assert (world.current / lost).exists()
    assert synthetic.differences(world.current, synthetic.lock(world.wheels, "1.0")) == []


def test_what_a_step_wrote_is_written_again(world: World) -> None:
    synthetic.provision(world, "1.0")
    (world.current / "bin" / "toy00").write_text("other\n")
    results = synthetic.provision(world, "1.0")
    assert (world.current / "bin" / "toy00").read_text() == "#!/bin/sh\n"
    assert results[-1].outcome == "done"


def test_a_version_replaced_by_hand_is_named_and_put_back(world: World) -> None:
    synthetic.provision(world, "1.0")
    site = world.packages()
    (site / "toy05-1.0.dist-info").rename(site / "toy05-2.0.dist-info")
    heard: list[Event] = []
    synthetic.provision(world, "1.0", heard.append)
    assert any("version 2.0 is installed, 1.0 is locked" in event.text for event in heard if isinstance(event, Note))
    assert synthetic.differences(world.current, synthetic.lock(world.wheels, "1.0")) == []
    assert not (site / "toy05-2.0.dist-info").exists()


def test_what_a_record_lists_elsewhere_is_not_removed(world: World, place: Path) -> None:
    synthetic.provision(world, "1.0")
    precious = place / "precious"
    precious.write_text("mine")
    site = world.packages()
    record = site / "toy05-1.0.dist-info" / "RECORD"
    record.write_text(f"{os.path.relpath(precious, site)},,\n{record.read_text()}")
    synthetic.provision(world, "1.0")
    assert precious.read_text() == "mine"
    assert synthetic.differences(world.current, synthetic.lock(world.wheels, "1.0")) == []


def test_without_healing_nothing_torn_becomes_complete(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof that these tests see the healing: take it out, and the damage stays, named."""
    synthetic.provision(world, "1.0")
    take_out: Callable[..., None] = lambda *_: None  # noqa: E731 - one line says it
    monkeypatch.setattr(repair, "take_out", take_out)
    (world.packages() / "toy07" / "part03.py").unlink()
    with pytest.raises(StepFailed, match="toy07 does not become whole"):
        synthetic.provision(world, "1.0")
    assert not any(generation.complete for generation in environments.found(world.prefix))


def with_wheels_of_its_own(world: World, place: Path) -> World:
    return msgspec.structs.replace(world, wheels=Path(shutil.copytree(world.wheels, place / "wheels")))


def test_a_wheel_whose_own_record_is_wrong_is_held_to_what_it_brings(world: World, place: Path) -> None:
    world = with_wheels_of_its_own(world, place)
    lying = "toy05/big.bin"
    synthetic.make_wheel(world.wheels, "toy05", "1.0", lies=lying)
    heard: list[Event] = []
    synthetic.provision(world, "1.0", heard.append)
    assert f"the wheel of toy05 has a wrong RECORD: {lying}" in [each.text for each in heard if isinstance(each, Note)]
    assert list(wrong_records.true_digests(world.current / environments.STATE)) == [lying]
    assert [step.outcome for step in synthetic.provision(world, "1.0")] == ["kept"] * 4
    truth = (world.packages() / lying).read_bytes()
    edit(world.packages() / lying)
    synthetic.provision(world, "1.0")
    assert (world.packages() / lying).read_bytes() == truth
    assert [step.outcome for step in synthetic.provision(world, "1.0")] == ["kept"] * 4


def test_a_file_that_two_wheels_bring_may_be_as_either_says(world: World, place: Path) -> None:
    world = with_wheels_of_its_own(world, place)
    for name in ("toy05", "toy25"):
        synthetic.make_wheel(world.wheels, name, "1.0", more={"shared/__init__.py": f"# by {name}\n"})
    heard: list[Event] = []
    synthetic.provision(world, "1.0", heard.append)
    assert not [each.text for each in heard if isinstance(each, Note)], "nothing of it is torn"
    assert [step.outcome for step in synthetic.provision(world, "1.0")] == ["kept"] * 4
    shared = world.packages() / "shared" / "__init__.py"
    shared.write_text("# by nobody\n")
    synthetic.provision(world, "1.0")
    assert shared.read_text() in {"# by toy05\n", "# by toy25\n"}
    assert [step.outcome for step in synthetic.provision(world, "1.0")] == ["kept"] * 4
