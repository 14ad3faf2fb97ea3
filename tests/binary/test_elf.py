"""Shared objects: reading them; damage always ends in a ValueError with the file's name."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.binary.elf import SharedObject
from tests.binary.tiny_elf import fat_section, shared_object

WHOLE = shared_object(
    needed=("libcudart.so.13", "libc.so.6"),
    versions={
        "libc.so.6": ("GLIBC_2.2.5", "GLIBC_2.14", "GLIBC_2.9"),
        "libstdc++.so.6": ("GLIBCXX_3.4.21",),
    },
    undefined=("_ZN3c105ErrorC1ENS_14SourceLocationENSt7__cxx1112basic_stringIcEE",),
    defined=("PyInit__C",),
    fatbin=fat_section("sm80", "sm90"),
)
PROPERTIES = ("machine", "needed", "versions", "undefined", "defined", "fatbin")


def test_reads_what_the_loader_will_ask_for() -> None:
    read = SharedObject(WHOLE, "_C.abi3.so")
    assert read.machine == "x86_64"
    assert read.needed == ("libcudart.so.13", "libc.so.6")
    assert read.highest("GLIBC") == "2.14"
    assert read.highest("GLIBCXX") == "3.4.21"
    assert read.highest("CXXABI") is None
    assert read.undefined == {"_ZN3c105ErrorC1ENS_14SourceLocationENSt7__cxx1112basic_stringIcEE"}
    assert read.defined == {"PyInit__C"}
    assert read.fatbin == fat_section("sm80", "sm90")


@pytest.mark.skipif(not shutil.which("gcc"), reason="no C compiler here")
def test_what_a_linker_writes(tmp_path: Path) -> None:
    source, library = tmp_path / "x.c", tmp_path / "libx.so"
    source.write_text(
        "#include <stdio.h>\nvoid other(void); void maybe(void) __attribute__((weak));\n"
        'int one(void) { other(); if (maybe) maybe(); return puts("x"); }\n'
    )
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    for read in (SharedObject.mapped(library), SharedObject(library.read_bytes(), "libx.so")):
        assert read.undefined == {"other", "puts"}, "a weak symbol may stay away"
        assert read.unversioned == {"other"}, "libc says which version of its symbol is meant"
        assert "one" in read.defined


def test_a_private_version_is_no_number() -> None:
    read = SharedObject(
        shared_object(versions={"libc.so.6": ("GLIBC_PRIVATE", "GLIBC_2.17")}), "x.so"
    )
    assert read.highest("GLIBC") == "2.17"


def test_a_file_without_code_for_gpus() -> None:
    assert SharedObject(shared_object(machine="aarch64"), "x.so").fatbin == b""
    assert SharedObject(shared_object(machine="aarch64"), "x.so").machine == "aarch64"


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"#!/bin/sh\n", b"PK\x03\x04" + bytes(100)])
def test_no_elf_file_is_named(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"broken\.so: not a readable ELF file"):
        SharedObject(data, "broken.so")


def complaint(data: bytes) -> str | None:
    """Read every property and return the text of the ValueError; any other error is a bug."""
    try:
        read = SharedObject(data, "broken.so")
        for name in PROPERTIES:
            getattr(read, name)
    except ValueError as error:
        return str(error)
    return None


@settings(deadline=None)  # the first reading loads the parser
@given(st.integers(0, len(WHOLE)))
def test_a_cut_file_is_read_or_refused(length: int) -> None:
    message = complaint(WHOLE[:length])
    assert message is None or message.startswith("broken.so: not a readable ELF file: ")


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=4)
)
def test_changed_bytes_are_read_or_refused(changes: list[tuple[int, int]]) -> None:
    data = bytearray(WHOLE)
    for at, value in changes:
        data[at] = value
    message = complaint(bytes(data))
    assert message is None or message.startswith("broken.so: not a readable ELF file: ")
