"""The processor, from the part of collect_env that is `lscpu`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from provision.host import cpu
from provision.host._model import Found

if TYPE_CHECKING:
    from provision.host.from_paste._paste import Paste


def read(paste: Paste) -> Found | None:
    lines: list[int] = []

    def text(title: str) -> str | None:
        for value in paste.values(title):
            lines.append(value.number)
            return value.text
        return None

    def number(title: str) -> int | None:
        stated = re.match(r"\d{1,5}\b", text(title) or "")
        return int(stated[0]) if stated else None

    flags = text("flags")
    sockets, cores_per_socket = number("socket(s)"), number("core(s) per socket")
    processor = cpu.Cpu(
        model=text("model name"),
        cores=sockets * cores_per_socket if sockets and cores_per_socket else None,
        flags=cpu.known_flags(flags) if flags else None,
        numa_nodes=number("numa node(s)"),
    )
    return Found(processor, tuple(sorted(lines))) if processor != cpu.Cpu() else None
