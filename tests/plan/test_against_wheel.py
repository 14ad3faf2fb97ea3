"""Wheels that must not be installed: the reasons name the value here and the one needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from provision.binary import libraries
from provision.binary.libraries import Libraries
from provision.binary.wheel import read
from provision.plan.against_wheel import reasons_against
from tests.binary.tiny_wheel import MODULE, OF_C10, module, wheel

TORCH = Libraries(defined=frozenset({OF_C10}), names=frozenset({"libc10.so", "libcudart.so.13"}))
HERE: dict[str, Any] = {
    "distribution": "flash_attn",
    "version": "2.8.3",
    "python": "3.12",
    "machine": "x86_64",
    "glibc": "2.28",
    "capabilities": ("8.6", "9.0"),
    "torch": TORCH,
    "torch_version": "2.13.0",
}
OLD = "_ZN3c105ErrorC2ENS_14SourceLocationESs"


def test_one_that_fits(tmp_path: Path) -> None:
    assert reasons_against(read(wheel(tmp_path)), **HERE) == []
    assert (
        reasons_against(
            read(wheel(tmp_path)), **{**HERE, "version": "2.8.3+cu13torch2.13cxx11abiTRUE"}
        )
        == []
    )


@pytest.mark.parametrize(
    ("here", "reason"),
    [
        ({"distribution": "flash-attn-3"}, "it is flash-attn, not flash-attn-3"),
        ({"version": "2.8.3.post1"}, "it is version 2.8.3, not 2.8.3.post1"),
        ({"python": "3.13"}, "it is for cp312-cp312-linux_x86_64, not for Python 3.13"),
        ({"machine": "aarch64"}, "it is compiled for x86_64, not for aarch64"),
        ({"glibc": "2.9"}, "it needs glibc 2.14; this host has 2.9"),
        (
            {"capabilities": ("7.5", "8.0", "10.0")},
            "it has no machine code for 7.5, 10.0: it carries machine code for 8.0 9.0",
        ),
        (
            {
                "torch": Libraries(
                    defined=frozenset({OF_C10}), names=frozenset({"libc10.so", "libcudart.so.12"})
                )
            },
            "it needs libcudart.so.13, which torch 2.13.0 does not bring",
        ),
        (
            {"torch": Libraries(defined=frozenset(), names=TORCH.names), "torch_version": "2.12.0"},
            f"it needs {OF_C10}, which torch 2.12.0 here does not have",
        ),
    ],
)
def test_another_place(tmp_path: Path, here: dict[str, Any], reason: str) -> None:
    assert reasons_against(read(wheel(tmp_path)), **{**HERE, **here}) == [reason]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"flash_attn/__init__.py": b""}, "it contains no compiled file: it was built without its kernels"),
        ({MODULE: module(fatbin=b"")}, "it has no machine code for 8.6, 9.0: it carries no machine code at all"),
        ({MODULE: module(undefined=(OLD, f"{OLD}2"))}, f"it needs {OLD} and 1 more, which torch 2.13.0 here does not have: it was built for the old C++ ABI"),
        ({MODULE: module(), "other.py": b"", "../a": b"", "../b": b"", "../c": b"", "../d": b""}, "and 1 more such lies"),
    ],
)  # fmt: skip
def test_another_wheel(tmp_path: Path, files: dict[str, bytes], reason: str) -> None:
    reasons = reasons_against(read(wheel(tmp_path, files)), **HERE)
    assert reasons[-1] == reason


def test_lies_come_first(tmp_path: Path) -> None:
    reasons = reasons_against(read(wheel(tmp_path, version="2.8.2")), **HERE)
    assert reasons == [
        "its file is named 2.8.3+cu13torch2.13cxx11abitrue but its version is 2.8.2",
        "it is version 2.8.2, not 2.8.3",
    ]


def test_the_driver_and_python_bring_theirs(tmp_path: Path) -> None:
    with_driver = module(
        needed=("libcuda.so.1",), undefined=("cuLaunchKernel", "PyList_New", "_Py_Dealloc")
    )
    assert reasons_against(read(wheel(tmp_path, {MODULE: with_driver})), **HERE) == []
    without = module(undefined=("cuLaunchKernel",))
    assert "cuLaunchKernel" in reasons_against(read(wheel(tmp_path, {MODULE: without})), **HERE)[0]


def test_a_pure_wheel_needs_no_code(tmp_path: Path) -> None:
    path = wheel(
        tmp_path,
        {"flash_attn/__init__.py": b""},
        named="flash_attn-2.8.3-py3-none-any.whl",
        tag="py3-none-any",
    )
    assert reasons_against(read(path), **{**HERE, "capabilities": ()}) == []


def test_libraries_as_they_lie(tmp_path: Path) -> None:
    (tmp_path / "libc10.so").write_bytes(module(defined=(OF_C10,), undefined=()))
    assert (
        reasons_against(read(wheel(tmp_path)), **{**HERE, "torch": libraries.read(tmp_path)}) == []
    )
