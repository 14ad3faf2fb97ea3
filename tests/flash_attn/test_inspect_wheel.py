"""Inspecting imported wheels: published names, names that say nothing, names and notes that lie."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from provision.binary.wheel import read
from provision.flash_attn.inspect_wheel import StatedTarget, inspect, inspect_with_note
from provision.flash_attn.wheel_store import Kept
from tests.binary.tiny_elf import fat_section
from tests.binary.tiny_wheel import MODULE, NAMED, module, wheel

BARE = "flash_attn-2.8.3-cp312-cp312-linux_x86_64.whl"


def inspected(
    folder: Path, local: str, statement: StatedTarget | None = None, **changed: object
) -> Kept:
    """Inspect a wheel with this local version and a changed extension."""
    named = BARE.replace("2.8.3-", f"2.8.3+{local}-") if local else BARE
    files = {"flash_attn/__init__.py": b"", MODULE: module(**changed)}
    return inspect(read(wheel(folder, files, named=named)), statement or StatedTarget())


def cudart(major: int) -> tuple[str, ...]:
    return ("libc10.so", f"libcudart.so.{major}", "libc.so.6")


@pytest.mark.parametrize(
    ("local", "cuda", "expected"),
    [
        ("cu12torch2.8cxx11abiTRUE", 12, ("2.8", "12")),
        ("cu122torch2.2cxx11abiTRUE", 12, ("2.2", "12.2")),
        ("cu130torch2.11", 13, ("2.11", "13.0")),
        ("cu126torch2.10", 12, ("2.10", "12.6")),
        ("cu130.torch2.13.0.sm80.sm90.k0123abcd", 13, ("2.13.0", "13.0")),
    ],
)
def test_published_names(tmp_path: Path, local: str, cuda: int, expected: tuple[str, str]) -> None:
    entry = inspected(tmp_path, local, needed=cudart(cuda))
    assert (entry.torch, entry.cuda) == expected
    assert (entry.version, entry.cpython, entry.machine, entry.cxx11_abi) == (
        "2.8.3",
        "cp312",
        "x86_64",
        True,
    )
    assert (entry.sm, entry.glibc, entry.origin, entry.third_party) == (
        ("8.0", "9.0"),
        "2.14",
        "imported",
        False,
    )


def test_options_supply_what_the_name_lacks(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"add --torch 2\.13\.0"):
        inspected(tmp_path, "")
    entry = inspected(tmp_path, "", StatedTarget(torch="2.13.0"))
    assert (entry.torch, entry.cuda) == ("2.13.0", "13"), (
        "its code is linked with the runtime of CUDA 13"
    )
    with pytest.raises(ValueError, match=r"add --cuda 13\.0"):
        inspected(tmp_path, "", StatedTarget(torch="2.13.0"), needed=("libc10.so",))
    assert (
        inspected(
            tmp_path, "", StatedTarget(torch="2.13.0", cuda="13.0"), needed=("libc10.so",)
        ).cuda
        == "13.0"
    )
    assert inspected(tmp_path, "cu13torch2.13", StatedTarget(torch="2.13.0")).torch == "2.13.0", (
        "more precisely"
    )


@pytest.mark.parametrize(
    ("local", "statement", "changed", "why"),
    [
        (
            "cu13torch2.13",
            StatedTarget(torch="2.12.0"),
            {},
            "its name says torch 2.13, and the command line 2.12.0",
        ),
        (
            "cu13torch2.1",
            StatedTarget(torch="2.13.0"),
            {},
            "its name says torch 2.1, and the command line 2.13.0",
        ),
        ("cu12torch2.13", StatedTarget(), {}, "its name says CUDA 12, and its code CUDA 13"),
        (
            "cu13torch2.13",
            StatedTarget(cuda="12.9"),
            {},
            "the command line says CUDA 12.9, and its name CUDA 13",
        ),
        (
            "cu13torch2.13cxx11abiFALSE",
            StatedTarget(),
            {},
            "says the old C.. ABI, and its code has the new one",
        ),
        (
            "cu12torch2.6",
            StatedTarget(),
            {"undefined": (), "needed": cudart(12)},
            "says which C.. ABI it has",
        ),
        ("cu13torch2.13", StatedTarget(), {"fatbin": b""}, "machine code for no GPU"),
        (
            "cu13torch2.13",
            StatedTarget(),
            {"fatbin": fat_section("ptx90")},
            "machine code for no GPU",
        ),
    ],
)
def test_contradictions_are_refused(
    tmp_path: Path, local: str, statement: StatedTarget, changed: dict[str, object], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        inspected(tmp_path, local, statement, **changed)


def test_the_new_abi_is_assumed_if_every_torch_has_it(tmp_path: Path) -> None:
    assert inspected(tmp_path, "cu13torch2.13", undefined=()).cxx11_abi


def test_other_packages_and_names_are_refused(tmp_path: Path) -> None:
    other = wheel(
        tmp_path, named="einops-0.8-cp312-cp312-linux_x86_64.whl", name="einops", version="0.8"
    )
    with pytest.raises(ValueError, match="it is einops; only flash-attn wheels are imported"):
        inspect(read(other), StatedTarget())
    with pytest.raises(ValueError, match="rename it"):
        inspect(
            read(wheel(tmp_path, named=f"Flash_Attn{NAMED.removeprefix('flash_attn')}")),
            StatedTarget(),
        )
    many = wheel(
        tmp_path, named=NAMED.replace("cp312-cp312", "cp39-abi3"), tag="cp39-abi3-linux_x86_64"
    )
    with pytest.raises(ValueError, match="not for one Python"):
        inspect(read(many), StatedTarget())


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        ({"sm": ("9.0", "10.0")}, "its note says sm 9.0 10.0, and it has 8.0 9.0"),
        ({"glibc": "2.5"}, "its note says glibc 2.5, and it has 2.14"),
        ({"cpython": "cp313"}, "cpython cp313"),
        ({"cxx11_abi": False}, "cxx11_abi False"),
        ({"machine": "aarch64"}, "machine aarch64"),
        ({"version": "2.8.4"}, "version 2.8.4"),
        ({"torch": "2.12.0"}, "its name says torch 2.13, and its note 2.12.0"),
        ({"cuda": "12.9"}, "its note says CUDA 12.9"),
    ],
    ids=str,
)
def test_a_note_that_contradicts_the_file_is_refused(
    tmp_path: Path, lie: dict[str, str], why: str
) -> None:
    truth = read(wheel(tmp_path))
    true = msgspec.structs.replace(
        inspect(truth, StatedTarget()), torch="2.13.0", origin="built", brought=""
    )
    entry = inspect_with_note(truth, true)
    assert (entry.torch, entry.origin, bool(entry.brought)) == ("2.13.0", "built", True)
    with pytest.raises(ValueError, match=why):
        inspect_with_note(truth, msgspec.structs.replace(true, **lie))
