"""Reading, Source, Fact and Host: what is known of a host, and why something is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar

import msgspec

from provision.doors.reading import Reading

SCHEMA: Final = "vllm-ready/host/1"

ALL: Final = ("*",)  # `moving` of a fact that differs at every reading

T = TypeVar("T")


class Missing(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The reason why a fact has no value."""

    why: Literal["absent", "refused", "timed out", "failed", "unparsable", "not read"]
    detail: str = ""


class File(msgspec.Struct, frozen=True):
    """One text file, at most 1 MiB. With `words`, only these words and their values are kept."""

    path: str
    words: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"file {self.path}"


class Files(msgspec.Struct, frozen=True):
    """Every file that matches one of the patterns; the reading is a JSON object of path -> text.

    A link reads as "-> target", a folder as "".
    """

    patterns: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"files {' '.join(self.patterns)}"


class Command(msgspec.Struct, frozen=True):
    """The stdout of a command, within a deadline. Its exit status decides between ok and failed."""

    argv: tuple[str, ...]
    deadline_s: float = 10.0

    @property
    def key(self) -> str:
        return f"command {' '.join(self.argv)}"


class Probe(msgspec.Struct, frozen=True):
    """A reading that needs code, by the name of its function; the reading is JSON.

    `LOOKS` in _filesystem.py has the probes that only look at files; the reading child runs them.
    `_probes` in _gather.py has those that run programs (_programs.py), ask NVML or use the network.
    Only verbs that plan or fetch make a probe with `network=True`.
    """

    name: str
    network: bool = False

    @property
    def key(self) -> str:
        return f"probe {self.name}"


Source = File | Files | Command | Probe


class Unread(Exception):  # noqa: N818 - control flow of a parser, never shown
    """Raised in a parser that asks for the text of a source that has none."""

    def __init__(self, missing: Missing) -> None:
        super().__init__(missing.why)
        self.missing = missing


_NOT_PARSED = (Unread, ValueError, KeyError, IndexError, OverflowError, msgspec.MsgspecError)


class Readings:
    """The readings of one host, by source."""

    def __init__(self, by_key: Mapping[str, Reading]) -> None:
        self.by_key = by_key

    def get(self, source: Source) -> Reading:
        return self.by_key.get(
            source.key, Reading(outcome="absent", detail="not in this recording")
        )

    def text(self, source: Source) -> str:
        """Return the text of a source.

        Raise Unread if it has none: the fact is then missing for that reason.
        """
        reading = self.get(source)
        if reading.outcome != "ok":
            raise Unread(Missing(why=reading.outcome, detail=reading.detail))
        return reading.text

    def optional(self, source: Source) -> str | None:
        reading = self.get(source)
        return reading.text if reading.outcome == "ok" else None


class Fact(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One property of a host: its sources, and a pure parser.

    `parse` returns the value. It raises Unread (through `Readings.text`) if there is nothing to
    parse, and ValueError if the text makes no sense. `warn` describes disagreement between sources.
    `moving` names the fields, keys or words of the value that change by themselves between two
    readings, or is ALL. The name is that of the module.
    """

    sources: tuple[Source, ...]
    parse: Callable[[Readings], T]
    name: str = ""
    title: str = ""
    warn: Callable[[T, Readings], list[str]] | None = None
    moving: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        name = self.name or self.parse.__module__.rpartition(".")[2]
        msgspec.structs.force_setattr(self, "name", name)
        if not self.title:
            msgspec.structs.force_setattr(self, "title", name.replace("_", " ").capitalize())


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """The document that `./setup.sh host -o` writes: readings, and facts for other readers."""

    schema: Literal["vllm-ready/host/1"] = SCHEMA
    taken: str
    tool: str
    readings: dict[str, Reading]
    facts: dict[str, Any] = {}


class Found(NamedTuple):
    """A fact as a text has it: its value, the lines that tell it, and what disagrees with it."""

    value: Any
    lines: tuple[int, ...] = ()
    contradiction: str = ""


class Host:
    """The facts of one host, parsed on access from a recording or given by a description."""

    def __init__(
        self,
        readings: Mapping[str, Reading] | None = None,
        described: Mapping[str, object] | None = None,
    ) -> None:
        self._readings = Readings(readings or {})
        self._values: dict[str, Any] = dict(described or {})
        self.is_recording = readings is not None

    def replace(self, facts: Mapping[str, object]) -> Host:
        other = Host(self._readings.by_key, {**self._values, **facts})
        other.is_recording = self.is_recording
        return other

    def value(self, fact: Fact[T]) -> T | Missing:
        if fact.name not in self._values:
            self._values[fact.name] = self._parse(fact)
        value: T | Missing = self._values[fact.name]
        return value

    def known(self, fact: Fact[T]) -> T | None:
        value = self.value(fact)
        return None if isinstance(value, Missing) else value

    def missing(self, fact: Fact[T]) -> Missing | None:
        value = self.value(fact)
        return value if isinstance(value, Missing) else None

    def warnings(self, fact: Fact[T]) -> list[str]:
        """Return where the sources of a fact disagree. A described host has no sources."""
        value = self.value(fact)
        if fact.warn is None or isinstance(value, Missing) or not self.is_recording:
            return []
        try:
            return fact.warn(value, self._readings)
        except _NOT_PARSED:
            return []  # an unreadable second source contradicts nothing

    def _parse(self, fact: Fact[T]) -> T | Missing:
        if not self.is_recording:
            return Missing(why="not read", detail="the description does not say")
        try:
            return fact.parse(self._readings)
        except Unread as unread:
            return unread.missing
        except _NOT_PARSED as error:
            return Missing(why="unparsable", detail=f"{type(error).__name__}: {error}"[:200])
