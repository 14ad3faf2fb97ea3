"""Cause, Form, Reader, Finding and Diagnosis: what is known, and what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Literal

import msgspec

SCHEMA: Final = "vllm-ready/diagnosis/1"

Confidence = Literal["high", "medium", "low"]
LEVELS: Final[tuple[Confidence, ...]] = ("low", "medium", "high")


class Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way in which a cause shows: a pattern of a line, or a signal with certain values.

    `beside` and `without` are patterns that another line must or must not match. `host` names
    conditions on facts, such as {cc: "< 7.0"}. `confidence` holds if they are true, `unsure` if a
    fact is not known ("none": the form does not count then).
    """

    pattern: str = ""
    signal: str = ""
    values: dict[str, str] = {}
    beside: str = ""
    without: str = ""
    host: dict[str, str] = {}
    confidence: Confidence = "high"
    unsure: Literal["high", "medium", "low", "none", ""] = ""


class Fix(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command or a change of a file. `{name}` is filled from log and host; `costs` may be ""."""

    do: str
    costs: str = ""

    @property
    def line(self) -> str:
        """Return the command, and what it costs as a comment."""
        return f"{self.do}  # {self.costs}" if self.costs else self.do


class LookAlike(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another cause with similar messages, and what tells the two apart."""

    cause: str
    differs: str


class Cause(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A known failure, as its file in causes/ describes it.

    `yields_to` names causes that explain this one: next to them it is a consequence.
    """

    title: str
    cause: str
    shows: tuple[Form, ...]
    fix: tuple[Fix, ...]
    proof: str
    sources: tuple[str, ...]
    look_alikes: tuple[LookAlike, ...] = ()
    yields_to: tuple[str, ...] = ()
    name: str = ""


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """A structured reader: lines with one of the `words` (lower case) are handed to `read`."""

    name: str
    words: tuple[str, ...]
    read: Callable[[str], Iterator[dict[str, str]]]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the log as evidence: its number from 1, and its text made harmless."""

    line: int
    text: str


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """The values that a reader took from one line."""

    name: str
    values: dict[str, str]
    where: Line


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A cause that the log or the host shows, with the reason for its confidence."""

    cause: str
    summary: str
    fix: tuple[str, ...]
    evidence: tuple[Line, ...]
    confidence: Confidence
    because: str
    host_facts: tuple[str, ...]
    proof: str
    sources: tuple[str, ...]
    look_alikes: tuple[LookAlike, ...] = ()


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """The findings, best first; and where nothing is known: what to read, collect and ask."""

    schema: Literal["vllm-ready/diagnosis/1"] = SCHEMA
    findings: tuple[Finding, ...]
    root_lines: tuple[Line, ...] = ()
    collect: tuple[str, ...] = ()
