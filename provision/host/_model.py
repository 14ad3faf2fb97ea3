"""Reading, Source, Fact and Host: what is known of a host, and how honestly it is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec

from provision.doors.reading import Reading

SCHEMA: Final = "vllm-ready/host/1"

ALL: Final = ("*",)  # of a fact that is another one at every look

T = TypeVar("T")


class Missing(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A fact without a value, and why."""

    why: Literal["absent", "refused", "timed out", "failed", "unparsable", "not read"]
    detail: str = ""


class File(msgspec.Struct, frozen=True):
    """One text file, read whole (up to 1 MiB); of `words`, where there are any, only these and their values."""

    path: str
    words: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"file {self.path}"


class Files(msgspec.Struct, frozen=True):
    """Every file that matches one of the patterns; the reading is a JSON object of path -> text.

    A path that is a link reads as "-> target"; a folder reads as "".
    """

    patterns: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"files {' '.join(self.patterns)}"


class Command(msgspec.Struct, frozen=True):
    """What a command prints on stdout, within a deadline; its exit status decides ok or failed."""

    argv: tuple[str, ...]
    deadline_s: float = 10.0

    @property
    def key(self) -> str:
        return f"command {' '.join(self.argv)}"


class Probe(msgspec.Struct, frozen=True):
    """Something no file or command tells, by the name of its function. Reads as JSON.

    `LOOKS` in _look.py has those that only look at files, for the reading child; `_asks` in _gather.py those that run
    programs (_ask.py), ask NVML or use the network. A probe with `network=True` is only made by verbs that will plan
    or fetch.
    """

    name: str
    network: bool = False

    @property
    def key(self) -> str:
        return f"probe {self.name}"


Source = File | Files | Command | Probe


class Unread(Exception):  # noqa: N818 - control flow inside a parser, never shown
    """A parser asked for the text of a source that has none."""

    def __init__(self, missing: Missing) -> None:
        super().__init__(missing.why)
        self.missing = missing


_NOT_PARSED = (Unread, ValueError, KeyError, IndexError, msgspec.MsgspecError)


class Readings:
    """The readings of one host, by source."""

    def __init__(self, by_key: Mapping[str, Reading]) -> None:
        self.by_key = by_key

    def get(self, source: Source) -> Reading:
        return self.by_key.get(source.key, Reading(outcome="absent", detail="not in this recording"))

    def text(self, source: Source) -> str:
        """The text of a source, or Unread: the fact is then missing for the same reason."""
        reading = self.get(source)
        if reading.outcome != "ok":
            raise Unread(Missing(why=reading.outcome, detail=reading.detail))
        return reading.text

    def optional(self, source: Source) -> str | None:
        """The text of a source that a parser can do without."""
        reading = self.get(source)
        return reading.text if reading.outcome == "ok" else None

    def json(self, source: Source) -> Any:  # noqa: ANN401 - the parser converts it at once
        return msgspec.json.decode(self.text(source))


class Fact(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One thing that is true of a host: where it is read, and a pure parser.

    `parse` returns the value; it raises Unread (through `Readings.text`) where there is nothing to
    parse, and ValueError where the text makes no sense. `warn` says where sources disagree.
    `moving` names what of the value changes by itself from one look to the next: fields, keys or words of it, or ALL.
    """

    name: str
    title: str
    sources: tuple[Source, ...]
    parse: Callable[[Readings], T]
    warn: Callable[[T, Readings], list[str]] | None = None
    moving: tuple[str, ...] = ()


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """The document behind `./setup.sh host -o`: readings, and the facts parsed from them for other readers."""

    schema: Literal["vllm-ready/host/1"] = SCHEMA
    taken: str
    tool: str
    readings: dict[str, Reading]
    facts: dict[str, Any] = {}


class Host:
    """Facts on access: parsed from a recording, or given by a description."""

    def __init__(
        self, readings: Mapping[str, Reading] | None = None, described: Mapping[str, object] | None = None
    ) -> None:
        self._readings = Readings(readings or {})
        self._values: dict[str, Any] = dict(described or {})
        self.is_recording = readings is not None

    def but(self, facts: Mapping[str, object]) -> Host:
        """This host with some facts replaced, by their names."""
        other = Host(self._readings.by_key, {**self._values, **facts})
        other.is_recording = self.is_recording
        return other

    def value(self, fact: Fact[T]) -> T | Missing:
        """The fact's value, or why it has none."""
        if fact.name not in self._values:
            self._values[fact.name] = self._parse(fact)
        value: T | Missing = self._values[fact.name]
        return value

    def known(self, fact: Fact[T]) -> T | None:
        """The fact's value where there is one."""
        value = self.value(fact)
        return None if isinstance(value, Missing) else value

    def missing(self, fact: Fact[T]) -> Missing | None:
        """Why the fact has no value, where it has none."""
        value = self.value(fact)
        return value if isinstance(value, Missing) else None

    def warnings(self, fact: Fact[T]) -> list[str]:
        """Where the sources of a fact disagree; nothing for a described host."""
        value = self.value(fact)
        if fact.warn is None or isinstance(value, Missing) or not self.is_recording:
            return []
        try:
            return fact.warn(value, self._readings)
        except _NOT_PARSED:
            return []  # a second source that makes no sense contradicts nothing

    def _parse(self, fact: Fact[T]) -> T | Missing:
        if not self.is_recording:
            return Missing(why="not read", detail="the description does not say")
        try:
            return fact.parse(self._readings)
        except Unread as unread:
            return unread.missing
        except _NOT_PARSED as error:
            return Missing(why="unparsable", detail=f"{type(error).__name__}: {error}"[:200])
