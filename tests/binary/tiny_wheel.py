"""Writes small wheels of a compiled package by hand, true or lying in one respect."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

from provision.binary.record import encode_digest
from tests.binary.tiny_elf import fat_section, shared_object

MODULE = "flash_attn_2_cuda.cpython-312-x86_64-linux-gnu.so"
# What torch's c10 offers, and what a copy that was built for another one asks for.
OF_C10 = "_ZN3c105ErrorC2ENS_14SourceLocationENSt7__cxx1112basic_stringIcEE"
NAMED = "flash_attn-2.8.3+cu13torch2.13cxx11abiTRUE-cp312-cp312-linux_x86_64.whl"


def module(**changed: object) -> bytes:
    """Return an extension like flash-attn's: linked with torch and CUDA, for two architectures."""
    parts: dict[str, object] = {
        "needed": ("libc10.so", "libcudart.so.13", "libc.so.6"),
        "versions": {
            "libc.so.6": ("GLIBC_2.14", "GLIBC_2.9"),
            "libcudart.so.13": ("libcudart.so.13",),
        },
        "undefined": (OF_C10, "PyModule_Create2"),
        "defined": ("PyInit_flash_attn_2_cuda",),
        "fatbin": fat_section("sm80 sm90"),
    }
    return shared_object(**{**parts, **changed})  # type: ignore[arg-type]  # the caller's own parts


def wheel(
    folder: Path,
    files: Mapping[str, bytes] | None = None,
    *,
    named: str = NAMED,
    name: str = "flash_attn",
    version: str = "2.8.3",
    tag: str = "cp312-cp312-linux_x86_64",
    record: Mapping[str, str | None] | None = None,
    compressed: bool = False,
) -> Path:
    """`record` changes lines of RECORD: another text, or None for none."""
    info = f"{name}-{version}.dist-info"
    members = {
        **({"flash_attn/__init__.py": b"", MODULE: module()} if files is None else files),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(),
    }
    lines: dict[str, str | None] = {
        path: f"{path},sha256={encode_digest(hashlib.sha256(data).digest())},{len(data)}"
        for path, data in members.items()
    }
    lines |= {f"{info}/RECORD": f"{info}/RECORD,,", **(record or {})}
    members[f"{info}/RECORD"] = "".join(f"{line}\n" for line in lines.values() if line).encode()
    path = folder / named
    with zipfile.ZipFile(
        path, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    ) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return path
