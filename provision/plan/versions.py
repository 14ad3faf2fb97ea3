"""Comparison of versions, drivers and architectures."""

from __future__ import annotations

import re
from functools import cache

from packaging.specifiers import SpecifierSet
from packaging.version import Version

# Integrated GPUs load only code built for exactly their capability (jax#40492, vllm#19328).
EXACT_CODE_ONLY = frozenset({"7.2", "8.7", "11.0"})


@cache
def allows(specifier: str, version: str) -> bool:
    """Return whether a specifier such as "<3.15,>=3.11" or "0.32.*" allows a version."""
    return _specifiers(specifier).contains(version, prereleases=True)


# A plan compares a dozen specifiers with a hundred versions, and parsing is the slower part.
@cache
def _specifiers(text: str) -> SpecifierSet:
    return SpecifierSet(f"=={text}" if text[:1].isdigit() else text)


def major(version: str | None) -> str:
    """Return 12 for 12.9, and "" for None."""
    return (version or "").partition(".")[0]


def minor(version: str) -> str:
    """Return 2.13 for 2.13.0+cu129."""
    return ".".join(version.split("+", 1)[0].split(".")[:2])


def newer(left: str, right: str) -> bool:
    return Version(left) > Version(right)


@cache
def numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: (580, 65, 6) for "580.65.06-open"."""
    match = re.match(r"\d{1,9}(\.\d{1,9})*", version.strip(), re.ASCII)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def reaches(version: str, least: str) -> bool:
    """Return whether a driver or glibc version is at least another."""
    have, need = numbers(version), numbers(least)
    # "575.51" reaches "575.51.03": some sources report a driver without its last number.
    shared = min(len(have), len(need))
    return have[:shared] >= need[:shared]


@cache
def serves(built_for: tuple[str, ...], capability: str) -> bool:
    """Return whether machine code runs on a GPU: same major, and a minor not above the GPU's."""
    if capability in EXACT_CODE_ONLY or not capability:
        return capability in built_for
    major, least = numbers(capability)
    return any(code[0] == major and code[1] <= least for code in map(numbers, built_for))


def jits(ptx_for: tuple[str, ...], capability: str) -> bool:
    """Return whether the driver can compile PTX for a GPU: only for the same or a newer GPU."""
    return any(numbers(ptx) <= numbers(capability) for ptx in ptx_for)
