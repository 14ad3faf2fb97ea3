"""The finder on 60 described torches: worked out by hand from the workflows at the tags and the lists that were read."""

from __future__ import annotations

import re

import msgspec
import pytest

from provision.catalog import rows
from provision.flash_attn.match import Target, WheelMatch, match
from provision.plan.versions import numbers

CATALOGUE = rows.load()
OUT = {"2.14": "2026-09-02", "2.15": "2026-10-28"}  # after the lists were read, on 2026-08-22 and 2026-08-29
X86, ARM = "x86_64", "aarch64"

# torch, CUDA, Python, ABI, machine: what the authors' lists that were read say (the release that fits, or a word of the
# reason against the newest for this torch), and what the third party's says, likewise. Nobody has read the list of
# 2.8.3.post2, which is unknown for all of them.
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
    fixed = {"torch_released": OUT.get(minor, "2026-01-01"), "glibc": "2.39", "capabilities": ("9.0",)} | more
    return Target(torch=torch, cuda=cuda, python=python, cxx11_abi=abi == "new", machine=machine, **fixed)  # type: ignore[arg-type]  # the fields of Target


def best(found: list[WheelMatch]) -> WheelMatch:
    """The first that fits, else the first that nobody knows of, else the first of a release for this torch."""
    for verdict in ("fits", "unknown"):
        if ours := [one for one in found if one.result == verdict]:
            return ours[0]
    return next((one for one in found if one.near), found[0])


def test_the_table_has_what_it_promises() -> None:
    columns = [line.split()[:5] for line in CASES]
    assert len({tuple(one) for one in columns}) == 60
    assert {one[0].rpartition(".")[0] for one in columns} == {f"2.{minor}" for minor in range(4, 16)}
    assert {"11.8", "12.9", "13.0", "13.2"} < {one[1] for one in columns}
    assert {one[2] for one in columns} == {f"3.{minor}" for minor in range(9, 15)}
    assert {one[3] for one in columns} == {"old", "new"}
    assert {one[4] for one in columns} == {X86, ARM}


@pytest.mark.parametrize("case", CASES)
def test_every_verdict_with_its_reason(case: str) -> None:
    said, _, others = case.partition("|")
    torch, cuda, python, abi, machine, expected, rest = said.split(maxsplit=6)
    other, other_rest = others.split(maxsplit=1)
    rest = rest.strip()
    found = match(CATALOGUE.flash_attn, target(torch, cuda, python, abi, machine))

    (newest,) = [one for one in found if one.row.version == "2.8.3.post2"]
    assert (newest.result, newest.reason) == ("unknown", "its release's list of files has not been read")

    read = best([one for one in found if one.origin == "authors" and one is not newest])
    assert read.result == expected
    assert rest == read.row.version if expected == "fits" else rest in read.reason

    third = best([one for one in found if one.origin == "third party"])
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
def test_files_are_named_as_their_release_names_them(described: tuple[str, ...], version: str, name: str) -> None:
    found = match(CATALOGUE.flash_attn, target(*described))
    assert name in [one.name for one in found if (one.row.version, one.origin) == (version, "authors")]


@pytest.mark.parametrize(
    ("described", "version", "reason"),
    [
        (("2.4.0", "11.8", "3.9", "old", ARM), "2.7.3", "for x86_64, not aarch64"),
        (("2.6.0", "11.8", "3.11", "old", X86), "2.7.3", "its wheels for torch 2.6 were linked with a preview of it"),
        (("2.9.1", "12.8", "3.13", "new", X86), "2.8.3", "for cp312, not Python 3.13"),
        (("2.9.1", "12.8", "3.12", "old", X86), "2.8.3", "none with the C++ ABI of this torch (old)"),
        (("2.10.0", "13.0", "3.12", "new", X86), "2.8.3.post1", "none for torch 2.10; the newest are for 2.9"),
        (("2.11.0", "13.0", "3.12", "new", X86), "2.8.3", "none for torch 2.11; the newest are for 2.10"),
    ],
)
def test_every_release_has_its_own_reason(described: tuple[str, ...], version: str, reason: str) -> None:
    found = match(CATALOGUE.flash_attn, target(*described))
    assert [one.reason for one in found if (one.row.version, one.origin) == (version, "authors")] == [reason]


@pytest.mark.parametrize("torch", [f"2.{minor}.0" for minor in range(4, 16)])
@pytest.mark.parametrize("cuda", ["11.8", "12.8", "13.0"])
def test_no_release_is_said_to_lack_what_it_has(torch: str, cuda: str) -> None:
    of: dict[tuple[str, bool], set[str]] = {}
    for row in CATALOGUE.flash_attn:
        if row.flavour == "2":
            of.setdefault((row.version, row.third_party), set()).update(row.torch)
    for one in match(CATALOGUE.flash_attn, target(torch, cuda, "3.12", "new", X86)):
        said = re.fullmatch(r"none for torch (\S+); the newest are for (\S+)", one.reason)
        its = of[one.row.version, one.row.third_party]
        assert not said or (said[1] not in its and said[2] == max(its, key=numbers))


def test_a_preview_of_torch_is_not_that_torch() -> None:
    found = match(CATALOGUE.flash_attn, target("2.4.0", "12.1", "3.12", "old", X86))
    against = {one.row.version: one.reason for one in found}
    assert against["2.6.3"] == ""
    assert against["2.6.2"] == "its wheels for torch 2.4 were linked with a preview of it"


def test_a_third_partys_wheel_for_an_older_system_goes_first() -> None:
    for machine, tag, least in (
        (X86, "manylinux_2_24_x86_64.manylinux_2_28_x86_64", "2.28"),
        (ARM, "manylinux_2_34", "2.34"),
    ):
        made = target("2.13.0", "13.0", "3.12", "new", machine, glibc=least)
        third = next(one for one in match(CATALOGUE.flash_attn, made) if one.origin == "third party")
        assert third.result == "fits"
        assert tag in third.name
        older = msgspec.structs.replace(made, glibc="2.27")
        third = next(one for one in match(CATALOGUE.flash_attn, older) if one.origin == "third party")
        assert (third.result, third.reason) == ("unfit", f"it needs glibc {least}, and this host has 2.27")


def test_a_host_that_cannot_take_it_is_no_unknown() -> None:
    made = target("2.15.0", "13.0", "3.12", "new", X86, glibc="2.31")
    assert {one.result for one in match(CATALOGUE.flash_attn, made) if one.origin == "authors"} == {"unfit"}
    thor = target("2.15.0", "13.0", "3.12", "new", ARM, capabilities=("11.0",))
    (newest,) = [one for one in match(CATALOGUE.flash_attn, thor) if one.row.version == "2.8.3.post2"]
    assert (newest.result, newest.reason[:28]) == ("unfit", "no machine code for 11.0 (it")


def test_an_abi_that_nobody_knows_is_not_guessed() -> None:
    made = msgspec.structs.replace(target("2.8.0", "12.8", "3.12", "new", X86), cxx11_abi=None)
    first = next(one for one in match(CATALOGUE.flash_attn, made) if one.row.version == "2.8.3.post1")
    assert (first.result, first.reason) == ("unknown", "the C++ ABI of this torch is not known")


def test_the_newest_first_and_one_verdict_a_release() -> None:
    found = match(CATALOGUE.flash_attn, target("2.5.1", "12.4", "3.12", "old", X86))
    authors = [one.row.version for one in found if one.origin == "authors"]
    assert authors[:4] == ["2.8.3.post2", "2.8.3.post1", "2.8.3", "2.8.2"]
    assert len(authors) == len({*authors})
    assert [one.origin for one in found] == ["authors"] * len(authors) + ["third party"] * 3


def test_flavours_from_an_index() -> None:
    made = target("2.13.0", "13.0", "3.12", "new", X86)
    (three,) = match(CATALOGUE.flash_attn, made, "3")
    assert (three.result, three.name) == ("unknown", "flash_attn_3==3.0.0")
    (four,) = match(CATALOGUE.flash_attn, made, "4")
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
def test_a_wheel_in_our_store_is_for_the_torch_that_it_was_linked_with(changed: dict[str, object], reason: str) -> None:
    made = msgspec.structs.replace(target("2.13.0", "13.0", "3.12", "new", X86), **changed)
    (ours, *_) = match((*CATALOGUE.flash_attn, BUILT), made)
    assert (ours.name, ours.origin, ours.reason) == (BUILT.file, "store", reason)
    assert ours.result == ("unfit" if reason else "fits")


def test_an_imported_wheel_may_name_only_the_minor_of_torch() -> None:
    imported = msgspec.structs.replace(BUILT, torch=("2.13",))
    made = target("2.13.1", "13.0", "3.12", "new", X86)
    assert match((imported,), made)[0].result == "fits"
