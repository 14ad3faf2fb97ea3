"""The readers of compiled files beside those of provision, which use pyelftools; damaged files."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from checks import _elf, _fatbin
from provision.binary import elf, fatbin
from tests.binary.tiny_elf import fat_binary, fat_section, shared_object
from tests.checks.environments import some_extension

TINY = shared_object(
    needed=("libc10.so", "libtorch.so"),
    undefined=("_ZN2at3addEv", "_ZN3c104listEv"),
    defined=("PyInit__C",),
    fatbin=fat_section("sm75 sm80 ptx80", "sm90"),
)


def written(folder: Path, data: bytes) -> Path:
    path = folder / "_C.abi3.so"
    path.write_bytes(data)
    return path


def of_this_system() -> list[Path]:
    mapped = {
        line.split()[-1]
        for line in Path("/proc/self/maps").read_text().splitlines()
        if ".so" in line
    }
    return [some_extension(), *sorted(Path(path) for path in mapped if Path(path).is_file())[:12]]


@pytest.mark.parametrize("path", of_this_system(), ids=lambda path: path.name)
def test_real_libraries_read_alike(path: Path) -> None:
    ours, theirs = _elf.ElfFile(path), elf.SharedObject.mapped(path)
    assert ours.needed == frozenset(theirs.needed)
    assert ours.undefined == theirs.unversioned
    assert ours.defined == theirs.defined


def test_a_small_one(tmp_path: Path) -> None:
    read = _elf.ElfFile(written(tmp_path, TINY))
    assert read.needed == {"libc10.so", "libtorch.so"}
    assert read.undefined == {"_ZN2at3addEv", "_ZN3c104listEv"}
    assert read.defined == {"PyInit__C"}
    assert _fatbin.containers(read.fatbin) == [
        _fatbin.GpuCode(frozenset({75, 80}), frozenset({80})),
        _fatbin.GpuCode(frozenset({90}), frozenset()),
    ]


@pytest.mark.parametrize(
    "kept", [0, 3, 63, 64, 200, len(TINY) // 2, len(TINY) - 700, len(TINY) - 1]
)
def test_a_truncated_file_is_reported(tmp_path: Path, kept: int) -> None:
    with pytest.raises(
        ValueError, match=r"_C\.abi3\.so (is cut off|is no shared object|cannot be read)"
    ):
        _elf.ElfFile(written(tmp_path, TINY[:kept]))


@pytest.mark.parametrize(
    ("more", "says"), [(1, ".dynsym ends within an entry"), (len(TINY), "lies beyond its end")]
)
def test_a_section_of_another_size(tmp_path: Path, more: int, says: str) -> None:
    where = (
        struct.unpack_from("<Q", TINY, 40)[0] + 2 * 64 + 32
    )  # of the second section, after none and .rodata
    size = struct.unpack_from("<Q", TINY, where)[0]
    path = written(tmp_path, TINY[:where] + struct.pack("<Q", size + more) + TINY[where + 8 :])
    with pytest.raises(ValueError, match=says):
        assert _elf.ElfFile(path).undefined


@pytest.mark.parametrize("byte", [b"\0", b"\1", b"\xff"])
def test_damage_anywhere_ends_in_a_sentence_or_nothing(tmp_path: Path, byte: bytes) -> None:
    for at in range(0, len(TINY) - 1, 3):
        damaged = TINY[:at] + byte * 2 + TINY[at + 2 :]
        try:
            read = _elf.ElfFile(written(tmp_path, damaged))
            assert isinstance(read.needed | read.undefined | read.defined, frozenset)
            _fatbin.general(read.fatbin)
        except ValueError as error:
            assert str(error)  # noqa: PT017 - any sentence will do


@pytest.mark.parametrize(
    "texts",
    [
        ("sm75 sm80 sm86", "sm90", "ptx52 sm52"),
        ("sm80 ptx80", "sm80 ptx80", "sm80"),
        ("ptx80",),
        ("sm90 sm100", "sm80 sm90"),
        (),
    ],
)
def test_fat_binaries_mean_the_same(texts: tuple[str, ...]) -> None:
    section = fat_section(*texts)
    ours, theirs = (
        _fatbin.general(memoryview(section)),
        fatbin.common_code(fatbin.fat_binaries(section)),
    )
    assert ours == (theirs.sm, theirs.ptx)


@pytest.mark.parametrize("cut", [8, 20, 60, 100])
def test_a_fat_binary_that_is_cut_off(cut: int) -> None:
    with pytest.raises(ValueError, match="cut off"):
        _fatbin.containers(memoryview(fat_binary(("sm", 90))[:-cut]))


@pytest.mark.parametrize(
    ("text", "architecture", "code"),
    [
        ("sm80", 80, "native"),
        ("sm80", 86, "native"),
        ("sm86", 80, "none"),
        ("sm80", 90, "none"),
        ("sm100", 103, "native"),
        ("sm80 ptx80", 90, "ptx-jit"),
        ("sm80 ptx90", 89, "native"),
        ("sm75 ptx90", 80, "none"),
        ("sm80 ptx80", 87, "none"),
        ("sm87", 87, "native"),
        ("", 80, "none"),
    ],
)
def test_code_runs_on_the_right_architectures(text: str, architecture: int, code: str) -> None:
    assert (
        _fatbin.general(memoryview(fat_section(*([text] if text else [])))).on(architecture) == code
    )


def test_the_output_of_a_real_compiler_can_be_read(tmp_path: Path) -> None:
    nvcc, compiler = shutil.which("nvcc"), shutil.which("g++")
    if not (nvcc and compiler):
        pytest.skip("no nvcc or no g++")
    (tmp_path / "k.cu").write_text(
        "__global__ void k(float *x) { *x = 1; }\nvoid call(float *x) { k<<<1, 1>>>(x); }\n"
    )
    argv = [nvcc, "-c", "-Xcompiler", "-fPIC", "--cudart", "none", "k.cu", "-o", "k.o"]
    argv += [
        "-gencode",
        "arch=compute_80,code=sm_80",
        "-gencode",
        "arch=compute_90,code=[sm_90,compute_90]",
    ]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this nvcc compiles nothing: {done.stderr.strip().splitlines()[-1]}")
    subprocess.run([compiler, "-shared", "k.o", "-o", "k.so"], cwd=tmp_path, check=True)
    code = _fatbin.general(_elf.ElfFile(tmp_path / "k.so").fatbin)
    assert code == _fatbin.GpuCode(frozenset({80, 90}), frozenset({90}))
    assert [code.on(item) for item in (75, 80, 86, 90, 100)] == [
        "none",
        "native",
        "native",
        "native",
        "ptx-jit",
    ]
