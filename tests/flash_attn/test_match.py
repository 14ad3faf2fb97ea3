"""Matches for 60 torches, worked out by hand from the workflows at the tags and the lists read."""

from __future__ import annotations

import re

import msgspec
import pytest

from provision.catalog import rows
from provision.flash_attn.match import Target, WheelMatch, match
from provision.plan.versions import numbers

CATALOGUE = rows.load()
OUT = {
    "2.14": "2026-09-02",
    "2.15": "2026-10-28",
}  # after the lists were read, on 2026-08-22 and 2026-08-29
X86, ARM = "x86_64", "aarch64"

# torch, CUDA, Python, ABI, machine: the result of the authors' lists (the release that fits, or
# part of the reason against the newest for this torch), and the result of the third party's
# lists. The list of 2.8.3.post2 has not been read: it is unknown for every row.
TABLE = """
2.4.1   12.1  3.12  old  x86_64   fits 2.8.3.post1             | fits cu128torch2.4-cp312
2.4.1   11.8  3.11  old  x86_64   fits 2.7.3                   | fits flash_attn-2.7.4.post1+cu118torch2.4-cp311
2.4.0   12.4  3.9   new  x86_64   fits 2.8.3.post1             | unfit not Python 3.9
2.4.0   12.4  3.13  old  x86_64   unfit not Python 3.13        | unfit not Python 3.13
2.4.0   11.8  3.9   old  aarch64  unfit for CUDA 12, not 11.8  | unfit for CUDA 12, not 11.8
2.5.1   12.4  3.12  old  x86_64   fits 2.8.3.post1             | fits cu124torch2.5-cp312-cp312-linux_x86_64
2.5.1   12.1  3.13  old  x86_64   fits 2.8.3.post1             | fits cu128torch2.5-cp313
2.5.1   11.8  3.10  old  x86_64   fits 2.7.3                   | fits cu118torch2.5-cp310
2.5.1   11.8  3.13  old  x86_64   fits 2.7.3                   | unfit for CUDA 12
2.5.1   12.4  3.14  old  x86_64   unfit not Python 3.14        | unfit not Python 3.14
2.5.1   12.4  3.12  old  aarch64  unfit not aarch64            | fits cu124torch2.5-cp312-cp312-linux_aarch64
2.6.0   12.4  3.12  old  x86_64   fits 2.8.3.post1             | fits cu124torch2.6
2.6.0   12.6  3.12  new  x86_64   fits 2.8.3.post1             | fits cu126torch2.6
2.6.0   11.8  3.11  old  x86_64   unfit for CUDA 12, not 11.8  | fits cu118torch2.6-cp311
2.6.0   12.6  3.9   new  x86_64   fits 2.8.3.post1             | fits cu126torch2.6-cp39-cp39-linux_x86_64
2.6.0   12.6  3.13  new  x86_64   fits 2.8.3.post1             | fits cu126torch2.6
2.6.0   12.6  3.12  new  aarch64  unfit not aarch64            | fits cu128torch2.6-cp312-cp312-linux_aarch64
2.7.1   12.6  3.12  new  x86_64   fits 2.8.3.post1             | fits cu126torch2.7
2.7.1   12.8  3.9   new  x86_64   fits 2.8.3.post1             | fits cu126torch2.7-cp39-cp39-linux_x86_64
2.7.0   11.8  3.12  new  x86_64   unfit for CUDA 12            | fits cu118torch2.7-cp312
2.7.1   12.6  3.12  old  x86_64   fits 2.8.3.post1             | unfit C++ ABI of this torch (old)
2.7.1   12.8  3.14  new  x86_64   unfit not Python 3.14        | unfit not Python 3.14
2.7.1   12.8  3.12  new  aarch64  unfit not aarch64            | fits cu128torch2.7-cp312-cp312-linux_aarch64
2.8.0   12.8  3.12  new  x86_64   fits 2.8.3.post1             | fits cu128torch2.8
2.8.0   12.9  3.13  new  x86_64   fits 2.8.3.post1             | fits cu129torch2.8
2.8.0   12.6  3.9   new  x86_64   fits 2.8.3.post1             | fits cu126torch2.8
2.8.0   12.9  3.14  new  x86_64   unfit not Python 3.14        | unfit not Python 3.14
2.8.0   12.9  3.12  new  aarch64  unfit not aarch64            | unfit not aarch64
2.8.0   13.0  3.12  new  x86_64   unfit for CUDA 12, not 13.0  | unfit for CUDA 12, not 13.0
2.8.0   12.8  3.11  old  x86_64   fits 2.8.3.post1             | unfit C++ ABI of this torch (old)
2.9.0   12.8  3.12  new  x86_64   fits 2.8.3                   | fits cu128torch2.9
2.9.1   12.8  3.12  new  aarch64  fits 2.8.3                   | fits cu128torch2.9-cp312-cp312-manylinux_2_34_aarch64
2.9.1   13.0  3.12  new  x86_64   fits 2.8.3.post1             | fits cu130torch2.9
2.9.1   13.0  3.12  new  aarch64  fits 2.8.3.post1             | fits cu130torch2.9
2.9.1   13.0  3.11  new  x86_64   unfit not Python 3.11        | fits cu130torch2.9-cp311
2.9.1   12.8  3.13  new  x86_64   unfit for CUDA 13, not 12.8  | fits cu128torch2.9
2.9.0   12.6  3.10  new  x86_64   unfit for CUDA 13, not 12.6  | fits cu126torch2.9
2.9.1   12.8  3.12  old  x86_64   unfit for CUDA 13, not 12.8  | unfit C++ ABI
2.9.1   13.0  3.14  new  x86_64   unfit not Python 3.14        | fits cu130torch2.9-cp314
2.10.0  13.0  3.12  new  x86_64   fits 2.8.3                   | fits cu130torch2.10
2.10.0  13.0  3.12  new  aarch64  fits 2.8.3                   | fits cu130torch2.10
2.10.0  12.8  3.12  new  x86_64   unfit for CUDA 13, not 12.8  | fits cu128torch2.10
2.10.0  13.0  3.13  new  x86_64   unfit not Python 3.13        | fits cu130torch2.10
2.10.0  12.9  3.10  new  aarch64  unfit for CUDA 13, not 12.9  | fits cu128torch2.10-cp310-cp310-manylinux_2_34_aarch64
2.10.0  13.0  3.9   new  x86_64   unfit not Python 3.9         | unfit not Python 3.9
2.11.0  13.0  3.12  new  x86_64   unfit none for torch 2.11    | fits cu130torch2.11
2.11.0  12.9  3.12  new  x86_64   unfit none for torch 2.11    | fits cu128torch2.11
2.11.0  13.0  3.14  new  aarch64  unfit none for torch 2.11    | fits cu130torch2.11
2.12.1  13.2  3.12  new  x86_64   unfit none for torch 2.12    | fits cu132torch2.12
2.12.0  12.6  3.11  new  aarch64  unfit none for torch 2.12    | fits cu126torch2.12
2.12.1  13.0  3.13  new  x86_64   unfit none for torch 2.12    | fits cu130torch2.12
2.13.0  13.0  3.12  new  x86_64   unfit none for torch 2.13    | fits cu130torch2.13
2.13.0  12.9  3.11  new  x86_64   unfit none for torch 2.13    | fits cu126torch2.13
2.13.0  13.2  3.14  new  aarch64  unfit none for torch 2.13    | fits cu132torch2.13
2.13.0  13.0  3.12  old  x86_64   unfit none for torch 2.13    | unfit C++ ABI
2.14.0  13.0  3.12  new  x86_64   unknown before torch 2.14    | unknown has not been read
2.14.1  12.6  3.12  new  x86_64   unknown before torch 2.14    | unknown before torch 2.14
2.14.0  13.2  3.13  new  aarch64  unknown before torch 2.14    | unknown before torch 2.14
2.15.0  13.2  3.12  new  x86_64   unknown before torch 2.15    | unknown before torch 2.15
2.15.0  13.0  3.14  new  aarch64  unknown before torch 2.15    | unknown before torch 2.15
"""
CASES = TABLE.strip().splitlines()


def target(torch: str, cuda: str, python: str, abi: str, machine: str, **more: object) -> Target:
    minor = torch.rpartition(".")[0]
    fixed = {
        "torch_released": OUT.get(minor, "2026-01-01"),
        "glibc": "2.39",
        "capabilities": ("9.0",),
    } | more
    return Target(
        torch=torch,
        cuda=cuda,
        python=python,
        cxx11_abi=abi == "new",
        machine=machine,
        **fixed,  # type: ignore[arg-type]  # the fields of Target
    )


def best(matches: list[WheelMatch]) -> WheelMatch:
    """Return the first that fits, else the first unknown one, else the first of a near release."""
    for result in ("fits", "unknown"):
        if first := next((wheel for wheel in matches if wheel.result == result), None):
            return first
    return next((wheel for wheel in matches if wheel.near), matches[0])


def test_table_covers_all_torches_pythons_and_machines() -> None:
    columns = [line.split()[:5] for line in CASES]
    assert len({tuple(row) for row in columns}) == 60
    assert {row[0].rpartition(".")[0] for row in columns} == {
        f"2.{minor}" for minor in range(4, 16)
    }
    assert {"11.8", "12.9", "13.0", "13.2"} < {row[1] for row in columns}
    assert {row[2] for row in columns} == {f"3.{minor}" for minor in range(9, 15)}
    assert {row[3] for row in columns} == {"old", "new"}
    assert {row[4] for row in columns} == {X86, ARM}


@pytest.mark.parametrize("case", CASES)
def test_result_and_reason_of_each_row(case: str) -> None:
    authors, _, others = case.partition("|")
    torch, cuda, python, abi, machine, expected, rest = authors.split(maxsplit=6)
    other, other_rest = others.split(maxsplit=1)
    rest = rest.strip()
    matches = match(CATALOGUE.flash_attn, target(torch, cuda, python, abi, machine))

    (newest,) = [wheel for wheel in matches if wheel.row.version == "2.8.3.post2"]
    assert (newest.result, newest.reason) == (
        "unknown",
        "its release's list of files has not been read",
    )

    read = best([wheel for wheel in matches if wheel.origin == "authors" and wheel is not newest])
    assert read.result == expected
    assert rest == read.row.version if expected == "fits" else rest in read.reason

    third = best([wheel for wheel in matches if wheel.origin == "third party"])
    assert third.result == other
    assert other_rest in (third.name if other == "fits" else third.reason)


@pytest.mark.parametrize(
    ("described", "version", "name"),
    [
        (
            ("2.8.0", "12.8", "3.12", "new", X86),
            "2.8.3.post1",
            "flash_attn-2.8.3.post1+cu12torch2.8cxx11abiTRUE-cp312-cp312-linux_x86_64.whl",
        ),
        (  # the release is 2.8.3.post1, its file is named 2.8.3
            ("2.9.1", "13.0", "3.12", "new", ARM),
            "2.8.3.post1",
            "flash_attn-2.8.3+cu13torch2.9cxx11abiTRUE-cp312-cp312-linux_aarch64.whl",
        ),
        (
            ("2.6.0", "12.4", "3.10", "old", X86),
            "2.7.4.post1",
            "flash_attn-2.7.4.post1+cu12torch2.6cxx11abiFALSE-cp310-cp310-linux_x86_64.whl",
        ),
        (
            ("2.4.0", "11.8", "3.8", "old", X86),
            "2.6.3",
            "flash_attn-2.6.3+cu118torch2.4cxx11abiFALSE-cp38-cp38-linux_x86_64.whl",
        ),
        (
            ("2.4.0", "12.1", "3.8", "new", X86),
            "2.6.3",
            "flash_attn-2.6.3+cu123torch2.4cxx11abiTRUE-cp38-cp38-linux_x86_64.whl",
        ),
        (
            ("2.14.0", "13.0", "3.12", "new", X86),
            "2.8.3.post2",
            "flash_attn-2.8.3.post2+cu13torch2.14cxx11abiTRUE-cp312-cp312-linux_x86_64.whl",
        ),
        (
            ("2.14.0", "12.6", "3.12", "new", X86),
            "2.8.3.post1",
            "flash_attn-2.8.3.post1+cu12torch2.14cxx11abiTRUE-cp312-cp312-linux_x86_64.whl",
        ),
    ],
)
def test_file_names_follow_the_rule_of_their_release(
    described: tuple[str, ...], version: str, name: str
) -> None:
    matches = match(CATALOGUE.flash_attn, target(*described))
    assert name in [
        wheel.name for wheel in matches if (wheel.row.version, wheel.origin) == (version, "authors")
    ]


@pytest.mark.parametrize(
    ("described", "version", "reason"),
    [
        (("2.4.0", "11.8", "3.9", "old", ARM), "2.7.3", "for x86_64, not aarch64"),
        (
            ("2.6.0", "11.8", "3.11", "old", X86),
            "2.7.3",
            "its wheels for torch 2.6 were linked with a preview of it",
        ),
        (("2.9.1", "12.8", "3.13", "new", X86), "2.8.3", "for cp312, not Python 3.13"),
        (
            ("2.9.1", "12.8", "3.12", "old", X86),
            "2.8.3",
            "none with the C++ ABI of this torch (old)",
        ),
        (
            ("2.10.0", "13.0", "3.12", "new", X86),
            "2.8.3.post1",
            "none for torch 2.10; the newest are for 2.9",
        ),
        (
            ("2.11.0", "13.0", "3.12", "new", X86),
            "2.8.3",
            "none for torch 2.11; the newest are for 2.10",
        ),
    ],
)
def test_reason_of_a_release(described: tuple[str, ...], version: str, reason: str) -> None:
    matches = match(CATALOGUE.flash_attn, target(*described))
    assert [
        wheel.reason
        for wheel in matches
        if (wheel.row.version, wheel.origin) == (version, "authors")
    ] == [reason]


@pytest.mark.parametrize("torch", [f"2.{minor}.0" for minor in range(4, 16)])
@pytest.mark.parametrize("cuda", ["11.8", "12.8", "13.0"])
def test_no_reason_denies_a_wheel_that_the_release_has(torch: str, cuda: str) -> None:
    known: dict[tuple[str, bool], set[str]] = {}
    for row in CATALOGUE.flash_attn:
        if row.flavour == "2":
            known.setdefault((row.version, row.third_party), set()).update(row.torch)
    for wheel in match(CATALOGUE.flash_attn, target(torch, cuda, "3.12", "new", X86)):
        denied = re.fullmatch(r"none for torch (\S+); the newest are for (\S+)", wheel.reason)
        torches = known[wheel.row.version, wheel.row.third_party]
        assert not denied or (denied[1] not in torches and denied[2] == max(torches, key=numbers))


def test_a_preview_of_torch_is_not_that_torch() -> None:
    matches = match(CATALOGUE.flash_attn, target("2.4.0", "12.1", "3.12", "old", X86))
    reasons = {wheel.row.version: wheel.reason for wheel in matches}
    assert reasons["2.6.3"] == ""
    assert reasons["2.6.2"] == "its wheels for torch 2.4 were linked with a preview of it"


def test_wheel_for_older_systems_is_preferred() -> None:
    for machine, tag, least in (
        (X86, "manylinux_2_24_x86_64.manylinux_2_28_x86_64", "2.28"),
        (ARM, "manylinux_2_34", "2.34"),
    ):
        goal = target("2.13.0", "13.0", "3.12", "new", machine, glibc=least)
        third = next(
            wheel for wheel in match(CATALOGUE.flash_attn, goal) if wheel.origin == "third party"
        )
        assert third.result == "fits"
        assert tag in third.name
        older = msgspec.structs.replace(goal, glibc="2.27")
        third = next(
            wheel for wheel in match(CATALOGUE.flash_attn, older) if wheel.origin == "third party"
        )
        assert (third.result, third.reason) == (
            "unfit",
            f"it needs glibc {least}, and this host has 2.27",
        )


def test_a_host_that_cannot_run_a_wheel_makes_it_unfit_not_unknown() -> None:
    goal = target("2.15.0", "13.0", "3.12", "new", X86, glibc="2.31")
    assert {
        wheel.result for wheel in match(CATALOGUE.flash_attn, goal) if wheel.origin == "authors"
    } == {"unfit"}
    thor = target("2.15.0", "13.0", "3.12", "new", ARM, capabilities=("11.0",))
    (newest,) = [
        wheel for wheel in match(CATALOGUE.flash_attn, thor) if wheel.row.version == "2.8.3.post2"
    ]
    assert (newest.result, newest.reason[:28]) == ("unfit", "no machine code for 11.0 (it")


def test_an_unknown_abi_is_not_guessed() -> None:
    goal = msgspec.structs.replace(target("2.8.0", "12.8", "3.12", "new", X86), cxx11_abi=None)
    first = next(
        wheel for wheel in match(CATALOGUE.flash_attn, goal) if wheel.row.version == "2.8.3.post1"
    )
    assert (first.result, first.reason) == ("unknown", "the C++ ABI of this torch is not known")


def test_newest_first_and_one_match_per_release() -> None:
    matches = match(CATALOGUE.flash_attn, target("2.5.1", "12.4", "3.12", "old", X86))
    authors = [wheel.row.version for wheel in matches if wheel.origin == "authors"]
    assert authors[:4] == ["2.8.3.post2", "2.8.3.post1", "2.8.3", "2.8.2"]
    assert len(authors) == len({*authors})
    assert [wheel.origin for wheel in matches] == ["authors"] * len(authors) + ["third party"] * 3


def test_flavours_from_an_index() -> None:
    goal = target("2.13.0", "13.0", "3.12", "new", X86)
    (three,) = match(CATALOGUE.flash_attn, goal, "3")
    assert (three.result, three.name) == ("unknown", "flash_attn_3==3.0.0")
    (four,) = match(CATALOGUE.flash_attn, goal, "4")
    assert (four.result, four.name) == ("fits", "flash-attn-4==4.0.0b36")
    (old,) = match(CATALOGUE.flash_attn, target("2.8.0", "12.8", "3.12", "new", X86), "3")
    assert (old.result, old.reason) == ("unfit", "none for torch 2.8; the newest are for 2.15")


BUILT = rows.FlashAttnWheels(
    source="built here on 2026-11-20",
    read="2026-11-20",
    version="2.8.3.post2",
    named="2.8.3.post2",
    toolkit="cu13",
    cuda="13.0",
    torch=("2.13.0",),
    cxx11_abi=(True,),
    cpython=("cp312",),
    machines=("x86_64",),
    sm=("9.0",),
    glibc="2.34",
    basis="read",
    file="flash_attn-2.8.3.post2-cp312-cp312-linux_x86_64.whl",
    sha256="0" * 64,
    size=1,
)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, ""),
        ({"torch": "2.13.1"}, "for torch 2.13.0, not 2.13.1"),
        ({"torch": "2.14.0"}, "for torch 2.13.0, not 2.14.0"),
        ({"cuda": "13.2"}, ""),
        ({"cuda": "12.9"}, "for CUDA 13, not 12.9"),
        ({"python": "3.11"}, "for cp312, not Python 3.11"),
        ({"cxx11_abi": False}, "none with the C++ ABI of this torch (old)"),
        ({"machine": ARM}, "for x86_64, not aarch64"),
        ({"glibc": "2.31"}, "it needs glibc 2.34, and this host has 2.31"),
        ({"capabilities": ("8.0", "9.0")}, "no machine code for 8.0 (it carries 9.0)"),
    ],
)
def test_a_stored_wheel_fits_only_the_torch_it_was_linked_with(
    changed: dict[str, object], reason: str
) -> None:
    goal = msgspec.structs.replace(target("2.13.0", "13.0", "3.12", "new", X86), **changed)
    (stored, *_) = match((*CATALOGUE.flash_attn, BUILT), goal)
    assert (stored.name, stored.origin, stored.reason) == (BUILT.file, "store", reason)
    assert stored.result == ("unfit" if reason else "fits")


def test_an_imported_wheel_may_name_only_the_minor_of_torch() -> None:
    imported = msgspec.structs.replace(BUILT, torch=("2.13",))
    goal = target("2.13.1", "13.0", "3.12", "new", X86)
    assert match((imported,), goal)[0].result == "fits"
