"""Fat binaries: their contents, the kernels that count as general, and damage."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.binary.elf import SharedObject
from provision.binary.fatbin import FatBinary, capabilities, common_code, fat_binaries
from tests.binary.tiny_elf import fat_binary, fat_section

if TYPE_CHECKING:
    from pathlib import Path

REAL_SHAPE = fat_section("sm75 sm80 ptx80", "sm90", "ptx52 sm52")


def made_of(counts: dict[str, int]) -> list[FatBinary]:
    return fat_binaries(
        fat_section(*(text for text, count in counts.items() for _ in range(count)))
    )


def test_reads_every_container_with_its_kinds() -> None:
    result = fat_binaries(REAL_SHAPE)
    assert result == [
        FatBinary(sm=frozenset({75, 80}), ptx=frozenset({80})),
        FatBinary(sm=frozenset({90})),
        FatBinary(sm=frozenset({52}), ptx=frozenset({52})),
    ]


def test_a_magic_number_inside_code_is_code() -> None:
    inner = fat_binary(("sm", 120))
    outer = bytearray(fat_binary(("sm", 90), payload=256))
    outer[100 : 100 + len(inner)] = inner
    assert fat_binaries(bytes(outer)) == [FatBinary(sm=frozenset({90}))]


def test_intermediate_code_is_no_architecture() -> None:
    assert fat_binaries(fat_binary(("nvvm", 100), ("sm", 90))) == [FatBinary(sm=frozenset({90}))]


def test_nothing_in_an_empty_section() -> None:
    assert fat_binaries(b"") == []
    assert common_code([]) == FatBinary()


@pytest.mark.parametrize(
    ("counts", "sm", "ptx"),
    [
        pytest.param(
            {"sm75 sm80 sm86 sm89 sm90 sm100 sm120": 50, "sm90": 9, "sm100": 10, "ptx80 sm80 sm120": 7, "sm75": 7},
            "7.5 8.0 8.6 8.9 9.0 10.0 12.0",
            "",
            id="0.33.0 core",
        ),
        pytest.param(
            {"sm100 sm120 sm87 sm89 sm90": 28, "sm90": 19, "ptx80 sm80": 11, "ptx80 ptx90 sm80 sm90": 8, "sm87 sm89": 2},
            "8.7 8.9 9.0 10.0 12.0",
            "",
            id="0.19.1 aarch64: 8.0 is in special kernels only",
        ),
        pytest.param(
            {"sm70 sm75 sm80 sm89 sm90 sm100": 31, "ptx90 sm80 sm87 sm90": 16, "sm90": 16, "ptx52 sm52": 1},
            "7.0 7.5 8.0 8.9 9.0 10.0",
            "",
            id="0.9.1: 8.7 in a sixth of the kernels serves no Orin",
        ),
        pytest.param(
            {"ptx80 sm80": 14, "sm75": 7, "sm70 sm75 sm80 sm89 sm90 sm100 sm120": 6, "sm89 sm120": 5},
            "7.0 7.5 8.0 8.9 9.0 10.0 12.0",
            "",
            id="0.14.0 moe: the general kernels are not the commonest",
        ),
        pytest.param({"ptx90 sm70 sm75 sm80 sm86 sm89 sm90": 61}, "7.0 7.5 8.0 8.6 8.9 9.0", "9.0", id="0.6.0 core"),
        pytest.param({"ptx80 sm80": 76}, "8.0", "8.0", id="0.33.0 fa2"),
        pytest.param({"sm80 sm90": 5, "ptx80 sm80 sm90": 1}, "8.0 9.0", "", id="PTX in one kernel is not general"),
    ],
)  # fmt: skip
def test_general_kernels_of_published_wheels(counts: dict[str, int], sm: str, ptx: str) -> None:
    kernels = common_code(made_of(counts))
    assert capabilities(kernels.sm) == tuple(sm.split())
    assert capabilities(kernels.ptx) == tuple(ptx.split())


def test_equally_wide_sets_are_decided_by_number() -> None:
    assert common_code(made_of({"sm80": 2, "sm90": 3})).sm == {90}


def test_capabilities_are_ordered_as_numbers() -> None:
    assert capabilities(frozenset({120, 90, 103, 75})) == ("7.5", "9.0", "10.3", "12.0")


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 1 << 40), id="payload beyond the end"),
        pytest.param(struct.pack("<IHHQ", 0xBA55ED50, 1, 0, 0) + bytes(64), id="header of no size"),
        pytest.param(
            struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 64) + bytes(64), id="entry of no size"
        ),
        pytest.param(struct.pack("<I", 0xBA55ED50), id="a magic number alone"),
    ],
)
def test_damage_is_a_value_error(broken: bytes) -> None:
    with pytest.raises(ValueError, match="cut off"):
        fat_binaries(broken)


@given(st.integers(0, len(REAL_SHAPE)))
def test_a_cut_file_is_never_read_as_more_than_it_holds(length: int) -> None:
    try:
        result = fat_binaries(REAL_SHAPE[:length])
    except ValueError:
        return
    assert result == fat_binaries(REAL_SHAPE)[: len(result)]


def read_or_refused(section: bytes) -> int | str:
    """How many containers there are, or the complaint; nothing but a ValueError may come."""
    try:
        return len(fat_binaries(section))
    except ValueError as error:
        return str(error)


@given(
    st.lists(
        st.one_of(st.binary(max_size=40), st.just(REAL_SHAPE[:4]), st.just(REAL_SHAPE[:200])),
        max_size=8,
    )
)
def test_any_bytes_are_read_or_refused(parts: list[bytes]) -> None:
    answer = read_or_refused(b"".join(parts))
    assert isinstance(answer, int) or "cut off" in answer


@given(st.integers(0, len(REAL_SHAPE) - 1), st.integers(0, 255))
def test_one_changed_byte_is_read_or_refused(at: int, value: int) -> None:
    changed = bytearray(REAL_SHAPE)
    changed[at] = value
    answer = read_or_refused(bytes(changed))
    assert answer in range(4) or "cut off" in str(answer)


@pytest.mark.skipif(not shutil.which("nvcc"), reason="no nvcc on PATH to compile with")
def test_a_compiled_file_reads_as_it_was_compiled(tmp_path: Path) -> None:
    source, library = tmp_path / "two.cu", tmp_path / "libtwo.so"
    source.write_text("__global__ void twice(float *x) { x[threadIdx.x] *= 2; }\n")
    targets = (
        "-gencode=arch=compute_80,code=sm_80",
        "-gencode=arch=compute_90,code=[sm_90,compute_90]",
    )
    command = (
        "nvcc",
        "-shared",
        "-Xcompiler",
        "-fPIC",
        "-cudart",
        "none",
        *targets,
        "-o",
        library,
        source,
    )
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        pytest.skip(f"nvcc cannot compile here: {done.stderr.strip().splitlines()[:1]}")
    result = fat_binaries(SharedObject(library.read_bytes(), "libtwo.so").fatbin)
    assert common_code(result) == FatBinary(sm=frozenset({80, 90}), ptx=frozenset({90}))
    if shutil.which("cuobjdump"):
        for option, kind in (("--list-elf", "sm"), ("--list-ptx", "ptx")):
            listed = subprocess.run(
                ("cuobjdump", option, library),
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            theirs = Counter(int(number) for number in re.findall(r"\.sm_(\d+)\.", listed.stdout))
            assert theirs == Counter(
                arch for container in result for arch in getattr(container, kind)
            )
