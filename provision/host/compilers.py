"""The C and C++ compilers of this host. nvcc and extension builds accept only some versions."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from provision.host._model import Fact, Probe, Readings

_COMPILERS = Probe("compilers")


class Compiler(msgspec.Struct, frozen=True, kw_only=True):
    """One compiler. `family` is what it really is: cc and c++ may be either."""

    name: str
    path: str
    family: Literal["gcc", "clang"]
    language: Literal["c", "c++"]
    version: str


class _Answer(msgspec.Struct, frozen=True):
    path: str
    says: str


def parse(readings: Readings) -> tuple[Compiler, ...]:
    compilers = [
        compiler
        for answer in msgspec.json.decode(readings.text(_COMPILERS), type=list[_Answer])
        if (compiler := _compiler(answer)) is not None
    ]
    return tuple(sorted(compilers, key=lambda compiler: (compiler.name, compiler.path)))


def _compiler(answer: _Answer) -> Compiler | None:
    first = answer.says.partition("\n")[0]
    if clang := re.search(r"clang version (\d+(?:\.\d+)*)", first):
        version, is_clang = clang[1], True
    elif gcc := re.search(r"\)\s+(\d+(?:\.\d+)+)", first) or re.search(r"\s(\d+(?:\.\d+)+)", first):
        version, is_clang = gcc[1], False
    else:
        return None
    name = answer.path.rpartition("/")[2]
    return Compiler(
        name=name,
        path=answer.path,
        family="clang" if is_clang else "gcc",
        language="c++" if "++" in name else "c",
        version=version,
    )


FACT = Fact[tuple[Compiler, ...]](sources=(_COMPILERS,), parse=parse)
