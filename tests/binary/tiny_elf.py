"""Writes small shared objects and fat binaries by hand, so that no test needs a compiler."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MACHINES = {"x86_64": 62, "aarch64": 183}
KINDS = {"ptx": 1, "sm": 2, "nvvm": 8}


def fat_binary(*entries: tuple[str, int], payload: int = 64) -> bytes:
    """One container: ("sm", 90) is machine code for 9.0, ("ptx", 90) the text for it."""
    body = b"".join(
        struct.pack("<HHIQ", KINDS[kind], 0x101, 64, payload)
        + b"\0" * 12
        + struct.pack("<I", arch).ljust(36, b"\0")
        + b"\xab" * payload
        for kind, arch in entries
    )
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


def fat_section(*containers: str) -> bytes:
    """Containers as text: "sm75 sm80 ptx80"; between them lies padding, as linkers leave it."""
    made = []
    for text in containers:
        entries = [
            ("ptx", int(w[3:])) if w.startswith("ptx") else ("sm", int(w[2:])) for w in text.split()
        ]
        made.append(fat_binary(*entries) + b"\0" * 8)
    return b"".join(made)


def shared_object(
    *,
    machine: str = "x86_64",
    needed: Sequence[str] = (),
    versions: Mapping[str, Sequence[str]] | None = None,
    undefined: Sequence[str] = (),
    defined: Sequence[str] = (),
    fatbin: bytes = b"",
    text: bytes = b"",
) -> bytes:
    """An ELF64 file with the sections that a loader and we read."""
    names = _Strings()
    dynamic = b"".join(struct.pack("<QQ", 1, names.add(name)) for name in needed) + struct.pack(
        "<QQ", 0, 0
    )
    symbols = bytes(24) + b"".join(
        struct.pack("<IBBHQQ", names.add(name), 0x12, 0, section, 0, 0)
        for section, group in ((0, undefined), (1, defined))
        for name in group
    )
    verneed, count = _version_needs(versions or {}, names)
    sections = [
        (".rodata", 1, text, 0, 0, 0),
        (".dynsym", 11, symbols, 3, 1, 24),
        (".dynstr", 3, names.data, 0, 0, 0),
        (".gnu.version_r", 0x6FFFFFFE, verneed, 3, count, 0),
        (".dynamic", 6, dynamic, 3, 0, 16),
        (".nv_fatbin", 1, fatbin, 0, 0, 0),
    ]
    return _assemble(MACHINES[machine], sections)


class _Strings:
    def __init__(self) -> None:
        self.data = b"\0"

    def add(self, name: str) -> int:
        at = len(self.data)
        self.data += name.encode() + b"\0"
        return at


def _version_needs(versions: Mapping[str, Sequence[str]], names: _Strings) -> tuple[bytes, int]:
    data = b""
    for number, (library, wanted) in enumerate(versions.items(), 1):
        entries = b"".join(
            struct.pack("<IHHII", 0, 0, 2, names.add(name), 16 if index < len(wanted) else 0)
            for index, name in enumerate(wanted, 1)
        )
        after = 16 + len(entries) if number < len(versions) else 0
        data += struct.pack("<HHIII", 1, len(wanted), names.add(library), 16, after) + entries
    return data, len(versions)


def _assemble(machine: int, sections: list[tuple[str, int, bytes, int, int, int]]) -> bytes:
    names = _Strings()
    headers, body, at = [bytes(64)], b"", 64
    for name, kind, data, link, info, size in [*sections, (".shstrtab", 3, b"", 0, 0, 0)]:
        where = names.add(name)
        content = names.data if name == ".shstrtab" else data
        headers.append(
            struct.pack(
                "<IIQQQQIIQQ", where, kind, 0, 0, at + len(body), len(content), link, info, 8, size
            )
        )
        body += content + bytes(-len(content) % 8)
    start = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",
        3,
        machine,
        1,
        0,
        0,
        64 + len(body),
        0,
        64,
        0,
        0,
        64,
        len(headers),
        len(headers) - 1,
    )
    return start + body + b"".join(headers)
