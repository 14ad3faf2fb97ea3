"""Translate `uname -a`, `lsb_release -a`, os-release, `ldd --version` and `nvcc -V`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from provision.host.from_paste._lines import Line

if TYPE_CHECKING:
    from collections.abc import Iterator

_MACHINES: Final = r"x86_64|aarch64|ppc64le|s390x|riscv64"
_PATTERNS: Final = (
    (re.compile(rf"Linux \S+ \d+\.\d+\S* .*\b({_MACHINES})\b"), "Architecture: {}"),
    (re.compile(r"PRETTY_NAME\s*=\s*[\"']?([^\"']+)"), "OS: {}"),
    (
        re.compile(r"Description:\s+((?:Ubuntu|Debian|Rocky|Red Hat|CentOS|Fedora|SUSE)\b.*)"),
        "OS: {}",
    ),
    (
        re.compile(r"ldd \((?:GNU libc|Ubuntu GLIBC|Debian GLIBC)[^)]*\) (\d+\.\d+)"),
        "Libc version: glibc-{}",
    ),
    (
        re.compile(r"Cuda compilation tools, release [\d.]+, V(\d[\d.]+)"),
        "CUDA runtime version: {}",
    ),
    (
        re.compile(r"NVCC\s*:\s*Cuda compilation tools, release [\d.]+, V(\d[\d.]+)"),
        "CUDA runtime version: {}",
    ),
    (re.compile(r"Python (3\.\d{1,2}\.\d{1,2})$"), "Python version: {}"),
)


def translate(lines: list[Line]) -> Iterator[Line]:
    for line in lines:
        for pattern, words in _PATTERNS:
            if match := pattern.match(line.text):
                yield Line(line.number, words.format(match[1].strip()))
