"""The C and C++ compilers on this host; nvcc and extension builds need one that they know."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Literal

import msgspec

from provision.host._model import Fact, Probe, Readings

_COMPILERS = Probe("compilers")


class Compiler(msgspec.Struct, frozen=True, kw_only=True):
    """`family` says what it really is: cc and c++ may be either."""

    name: str
    path: str
    family: Literal["gcc", "clang"]
    language: Literal["c", "c++"]
    version: str


class _Seen(msgspec.Struct, frozen=True):
    path: str
    says: str


def parse(readings: Readings) -> tuple[Compiler, ...]:
    seen = msgspec.json.decode(readings.text(_COMPILERS), type=list[_Seen])
    compilers = [compiler for one in seen if (compiler := _compiler(one)) is not None]
    return tuple(sorted(compilers, key=lambda compiler: (compiler.name, compiler.path)))


def _compiler(seen: _Seen) -> Compiler | None:
    first = seen.says.partition("\n")[0]
    if clang := re.search(r"clang version (\d+(?:\.\d+)*)", first):
        version, clang_or_gcc = clang[1], True
    elif gcc := re.search(r"\)\s+(\d+(?:\.\d+)+)", first) or re.search(r"\s(\d+(?:\.\d+)+)", first):
        version, clang_or_gcc = gcc[1], False
    else:
        return None
    name = PurePath(seen.path).name
    return Compiler(
        name=name,
        path=seen.path,
        family="clang" if clang_or_gcc else "gcc",
        language="c++" if "++" in name else "c",
        version=version,
    )


FACT = Fact[tuple[Compiler, ...]](name="compilers", title="Compilers", sources=(_COMPILERS,), parse=parse)
