"""Stored flash-attn wheels: which are offered, and the state after two runs or a killed one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from provision.catalog.rows import Catalogue
from provision.doors import files
from provision.engine import store
from provision.flash_attn import partial_build, wheel_store
from provision.flash_attn.wheel_store import Kept
from provision.plan._model import FlashAttn
from provision.steps import wheel_folder
from provision.steps.model import Lock
from tests.binary.tiny_wheel import MODULE, NAMED, module, wheel
from tests.engine.small_index import plan

H100 = Kept(
    file=NAMED,
    sha256="",
    size=0,
    version="2.8.3",
    torch="2.13",
    cuda="13.0",
    cpython="cp312",
    cxx11_abi=True,
    machine="x86_64",
    glibc="2.14",
    sm=("8.0", "9.0"),
    origin="built",
    made="2026-11-20T12:00:00Z",
)


def kept_one(prefix: Path, **changed: Any) -> Kept:
    made = msgspec.structs.replace(H100, **changed)
    (prefix / "made").mkdir(parents=True, exist_ok=True)
    return wheel_store.keep(prefix, wheel(prefix / "made", named=made.file), made)


def locked(prefix: Path, file: str) -> Lock:
    flash = FlashAttn(
        mode="wheel", flavour="2", arches=("9.0",), why="", wheel=file, origin="store"
    )
    return wheel_store.lock_kept_wheel(prefix, plan(flash_attn=flash), Lock(pins=()))


def test_what_is_kept_is_found_planned_with_and_locked(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    kept = kept_one(tmp_path)
    assert wheel_store.kept_wheels(tmp_path) == [kept]
    assert [row.file for row in wheel_store.catalogue(tmp_path, catalogue).flash_attn][:2] == [
        NAMED,
        "",
    ]
    (pin,) = locked(tmp_path, NAMED).pins
    assert (pin.wheel.file, pin.wheel.sha256) == (NAMED, kept.sha256)
    assert pin.requirement.startswith("flash-attn==2.8.3+cu13torch2.13cxx11abitrue ")


def test_how_it_came_is_said(tmp_path: Path) -> None:
    def stored(**changed: str) -> str:
        return kept_one(tmp_path, **changed).row.source

    assert stored() == "built here on 2026-11-20"
    assert stored(origin="fetched") == "fetched on 2026-11-20"
    assert stored(brought="2026-11-21T00:00:00Z") == "built elsewhere, imported on 2026-11-21"
    assert stored(origin="imported", brought="2026-11-21T00:00:00Z") == "imported on 2026-11-21"


def test_a_file_without_its_note_and_a_note_without_its_file_are_not_offered(
    tmp_path: Path,
) -> None:
    kept = kept_one(tmp_path)
    note = wheel_folder.note(wheel_store.path_of(tmp_path, kept.file))
    text = note.read_bytes()
    note.unlink()
    assert not wheel_store.kept_wheels(tmp_path)
    note.write_bytes(text)
    wheel_store.path_of(tmp_path, kept.file).unlink()
    assert not wheel_store.kept_wheels(tmp_path)
    assert not locked(tmp_path, NAMED).pins
    assert wheel_store.forget_damaged(tmp_path) == {NAMED}
    assert not note.exists()


def test_a_file_that_is_cut_short_or_damaged_is_not_taken_and_its_note_goes(tmp_path: Path) -> None:
    place = wheel_store.path_of(tmp_path, kept_one(tmp_path).file)
    whole = place.read_bytes()
    assert wheel_store.forget_damaged(tmp_path) == frozenset()
    place.write_bytes(whole[:-1])
    assert not wheel_store.kept_wheels(tmp_path)
    place.write_bytes(bytes([*whole[:-1], whole[-1] ^ 1]))
    assert wheel_store.kept_wheels(tmp_path), "of this size; its bytes are read where it is taken"
    assert not locked(tmp_path, NAMED).pins
    assert wheel_store.forget_damaged(tmp_path) == {NAMED}
    assert place.exists(), "it may be somebody's"
    assert not wheel_store.kept_wheels(tmp_path)


@pytest.mark.parametrize(
    "spoilt",
    [
        {"file": "flash_attn-../../x.whl"},
        {"file": "flash_attn-2.8.3-cp312-cp312-linux_aarch64.whl"},
        {"version": "of today"},
        {"torch": "newest"},
        {"sha256": "cafe"},
        {"machine": "riscv64"},
    ],
    ids=str,
)
def test_notes_that_make_no_sense_are_passed_over(tmp_path: Path, spoilt: dict[str, str]) -> None:
    kept = kept_one(tmp_path)
    note = wheel_folder.note(wheel_store.path_of(tmp_path, kept.file))
    note.write_bytes(msgspec.json.encode({**msgspec.to_builtins(kept), **spoilt}))
    assert wheel_store.kept_wheels(tmp_path) == []


def test_a_note_under_another_name_is_passed_over(tmp_path: Path) -> None:
    kept = kept_one(tmp_path)
    note = wheel_folder.note(wheel_store.path_of(tmp_path, kept.file))
    note.with_name("flash_attn-2.8.3-cp312-cp312-linux_x86_64.whl.json").write_bytes(
        note.read_bytes()
    )
    assert wheel_store.kept_wheels(tmp_path) == [kept]


@pytest.mark.parametrize("text", [b"", b"{}", b"\xff", b'{"file": "\xff"}'])
def test_notes_that_are_none_are_passed_over(tmp_path: Path, text: bytes) -> None:
    wheel_folder.note(wheel_store.path_of(tmp_path, kept_one(tmp_path).file)).write_bytes(text)
    assert wheel_store.kept_wheels(tmp_path) == []


def test_a_run_killed_while_it_puts_another_wheel_under_the_same_name_offers_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_one(tmp_path)
    (tmp_path / "another").mkdir()
    another = wheel(
        tmp_path / "another",
        {"flash_attn/__init__.py": b"", MODULE: module(defined=("PyInit_another",))},
    )

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            wheel_store.keep(tmp_path, another, H100)
    assert not list((tmp_path / "wheels").glob("*.json")), (
        "the first one's note is not about what lies there now"
    )
    assert wheel_store.kept_wheels(tmp_path) == []


@pytest.mark.parametrize("only", ["", "flash_fwd*"])
@pytest.mark.parametrize("switch", ["", "flash_fwd*", "flash_bwd*"])
def test_a_wheel_of_a_part_is_for_who_asks_for_that_part(
    tmp_path: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, only: str, switch: str
) -> None:
    kept_one(tmp_path, made_from={"only": only} if only else {})
    monkeypatch.setenv(partial_build.ONLY, switch)
    offered = [row for row in wheel_store.catalogue(tmp_path, catalogue).flash_attn if row.file]
    assert bool(offered) is bool(locked(tmp_path, NAMED).pins) is (only == switch)


def test_two_hosts_of_one_prefix_have_each_their_own(tmp_path: Path) -> None:
    old = NAMED.replace("13cxx11abiTRUE", "13.0.sm80")
    both = {kept_one(tmp_path).file, kept_one(tmp_path, file=old, sm=("8.0",)).file}
    assert {item.file for item in wheel_store.kept_wheels(tmp_path)} == both
    assert [pin.wheel.file for pin in locked(tmp_path, old).pins] == [old]


def test_prune_leaves_what_is_kept_and_takes_what_a_killed_import_has_left(tmp_path: Path) -> None:
    kept = kept_one(tmp_path)
    place, other = (
        wheel_store.path_of(tmp_path, kept.file),
        tmp_path / "wheels" / "einops-0.8-py3-none-any.whl",
    )
    aside = tmp_path / "wheels" / wheel_folder.ASIDE
    aside.mkdir()
    (aside / NAMED).touch()
    other.touch()
    store.prune(tmp_path, frozenset({place, other}))  # an environment had both, and is gone
    assert [path.name for path in sorted(place.parent.iterdir())] == [NAMED, f"{NAMED}.json"]
