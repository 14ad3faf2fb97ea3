"""YAML read into typed structs; errors name the file, the line and what to write instead."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
import yaml
from msgspec import inspect

from provision.errors import Failure, UnreadableInput, nearest

T = TypeVar("T")

# The parser in C is much faster; some builds of PyYAML lack it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
_MAX_DEPTH = 20
_MAX_VALUES = 20_000


class Document(msgspec.Struct, frozen=True):
    """Plain data, with the line and the original text of every path, such as "$.gpus[0].cc"."""

    data: Any
    lines: dict[str, int]
    written: dict[str, str]


class Problem(msgspec.Struct, frozen=True):
    """A wrong value: its path, the message, and what to write instead.

    `suggestion` is the likely meaning of a bare word: a key below the path ("" for the path itself)
    and a value.
    """

    path: str
    what: str
    hint: str
    suggestion: tuple[str, str] | None = None


def parse(text: str, name: str) -> Document:
    """Read one YAML document; raise UnreadableInput with the line if the text is not one."""
    if odd := yaml.reader.Reader.NON_PRINTABLE.search(text):
        line = text.count("\n", 0, odd.start()) + 1
        raise UnreadableInput(
            f"contains a character that is not text: {odd[0]!r}",
            where=f"{name}:{line}",
            hint="check that this is the right file",
        )
    document = Document(None, {}, {})
    try:
        events = (
            event for event in yaml.parse(text, Loader=_LOADER) if not isinstance(event, _FRAME)
        )
        first = next(events, None)
        if first is None:
            return document
        builder = _Builder(name, document, events)
        data = builder.value(first, "$", 0)
        for event in events:
            raise builder.refusal(event, "a second document begins here", "keep one of them")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error).split("\n")[0] or type(error).__name__
        raise UnreadableInput(
            f"is not YAML: {what}",
            where=f"{name}:{mark.line + 1}" if mark else name,
            hint="check this line and those before it for a missing bracket, quote or indentation",
        ) from None
    return Document(data, document.lines, document.written)


# Events without content of their own.
_FRAME = (
    yaml.StreamStartEvent,
    yaml.StreamEndEvent,
    yaml.DocumentStartEvent,
    yaml.DocumentEndEvent,
)


class _Builder:
    """A builder of data from parser events.

    It expands nothing, and depth and size have limits: a config file must not exhaust the memory.
    """

    def __init__(self, name: str, document: Document, events: Iterator[Any]) -> None:
        self.name, self.document, self.events = name, document, events

    def refusal(
        self,
        event: Any,  # noqa: ANN401 - yaml has no types
        what: str,
        hint: str,
    ) -> UnreadableInput:
        return UnreadableInput(what, where=f"{self.name}:{event.start_mark.line + 1}", hint=hint)

    def value(self, event: Any, path: str, depth: int) -> Any:  # noqa: ANN401 - as above
        """Return the value that begins with an event; raise UnreadableInput if it is not plain."""
        # Aliases can expand a few lines to gigabytes, and tags can create any object.
        if isinstance(event, yaml.AliasEvent):
            raise self.refusal(
                event, f"`*{event.anchor}`: aliases are not supported", "write the value itself"
            )
        if event.tag is not None:
            raise self.refusal(
                event,
                f"`{event.tag}`: tags are not supported",
                'write plain values, text as "text"',
            )
        if depth > _MAX_DEPTH:
            raise self.refusal(event, "nested too deeply", "use at most a few levels")
        if len(self.document.lines) >= _MAX_VALUES:
            raise self.refusal(
                event, "too many values", f"use at most {_MAX_VALUES}; is this the right file?"
            )
        self.document.lines[path] = event.start_mark.line + 1
        if isinstance(event, yaml.ScalarEvent):
            self.document.written[path] = event.value
            return _scalar(event.value, plain=not event.style)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path, depth)
        return self._mapping(path, depth)

    def _sequence(self, path: str, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.value(event, f"{path}[{len(items)}]", depth + 1))
        return items

    def _mapping(self, path: str, depth: int) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self.refusal(event, "expected a name", "write name: value")
            if event.value in items:
                raise self.refusal(event, f"`{event.value}` appears twice", "keep one of them")
            items[event.value] = self.value(next(self.events), f"{path}.{event.value}", depth + 1)
        return items


def _scalar(value: str, *, plain: bool) -> Any:  # noqa: ANN401 - a YAML scalar is any of five types
    """Return a scalar by the rules of YAML 1.2: `no` and `on` are words, unlike in YAML 1.1."""
    if not plain:
        return value
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    if re.fullmatch(r"[-+]?[\d.]*\d[\d.]*([eE][-+]?\d+)?", value, re.ASCII):
        for kind in (int, float):
            with contextlib.suppress(ValueError):
                return kind(value)
    return value


def typed(
    document: Document, kind: type[T], name: str, failure: type[Failure] = UnreadableInput
) -> T:
    try:
        return msgspec.convert(document.data, kind)
    except msgspec.ValidationError as error:
        wrong = problem(error, document, kind)
        raise failure(
            wrong.what, where=f"{name}:{document.lines.get(wrong.path, 1)}", hint=wrong.hint
        ) from None


def problem(error: msgspec.ValidationError, document: Document, kind: type[Any]) -> Problem:
    """Translate a validation error for people who write YAML."""
    what, _, place = str(error).partition(" - at `")
    path = place.rstrip("`") or "$"
    expected = _type_at(inspect.type_info(kind), path)
    label = path.removeprefix("$").removeprefix(".")
    prefix = f"{label}: " if label else ""
    if unknown := re.search(r"unknown field `(.*?)`", what, re.DOTALL):
        hint = nearest_or_all(unknown[1], _fields(expected))
        return Problem(f"{path}.{unknown[1]}", f"{prefix}there is no `{unknown[1]}` here", hint)
    if missing := re.search(r"missing required field `(.*?)`", what):
        return Problem(path, f"{prefix}`{missing[1]}` is missing", f"add {missing[1]}: …")
    text = document.written.get(path)
    is_text = any(isinstance(part, inspect.StrType) for part in _alternatives(expected))
    if text is not None and is_text and re.search(r"got `(float|int)`", what):
        quoted = _assignment(label, f'"{text}"')
        return Problem(path, f"{prefix}YAML reads {text} as a number", f"write {quoted}")
    actual = "a list" if "got `array`" in what else "a group of names"
    if text is not None:
        actual = f"`{' '.join(text.split())[:60]}`"
    hint, suggestion = f"write {_in_words(expected)}", _suggestion(text or "", expected)
    if suggestion:
        key, value = suggestion
        quoted = f'"{value}"' if value.isdecimal() else value
        hint = f"write {_assignment(label, f'{{{key}: {quoted}}}' if key else value)}"
    return Problem(path, f"{prefix}{actual} does not fit here", hint, suggestion)


def _assignment(label: str, value: str) -> str:
    """Return what to write at a place: `key: value`, or the value alone in a list."""
    key = label.rpartition(".")[2]
    return value if key.endswith("]") else f"{key}: {value}"


def _suggestion(text: str, expected: inspect.Type) -> tuple[str, str] | None:
    """Return the likely meaning of a bare word where a list or a group of names belongs."""
    for part in _alternatives(expected):
        if isinstance(part, inspect.ListType):
            for item in _alternatives(part.item_type):
                if shape := _ITEMS.get(type(item)):
                    return ("", f"[{text}]") if re.fullmatch(shape, text) else None
        for field in part.fields if isinstance(part, inspect.StructType) else ():
            if isinstance(field.type, inspect.LiteralType) and text in field.type.values:
                return field.encode_name, text
    return None


def nearest_or_all(word: str, known: list[str]) -> str:
    return nearest(word, known) or f"known: {', '.join(known)}"


def _type_at(info: inspect.Type, path: str) -> inspect.Type:
    # msgspec writes paths such as $.gpus[0].cc, or [...] for the items of a dict.
    for name in re.findall(r"\.(\w+)|\[[^\]]*\]", path):
        container = inspect.StructType if name else inspect.ListType
        part = next((part for part in _alternatives(info) if isinstance(part, container)), None)
        if isinstance(part, inspect.StructType):
            info = next((field.type for field in part.fields if field.encode_name == name), info)
        elif isinstance(part, inspect.ListType):
            info = part.item_type
        else:
            return info
    return info


def _alternatives(info: inspect.Type) -> tuple[inspect.Type, ...]:
    return info.types if isinstance(info, inspect.UnionType) else (info,)


def _fields(info: inspect.Type) -> list[str]:
    return [
        field.encode_name
        for part in _alternatives(info)
        if isinstance(part, inspect.StructType)
        for field in part.fields
    ]


def _in_words(info: inspect.Type) -> str:
    """Return what may be written for a type, such as "all, auto or a list: [text]"."""
    words: list[str] = []
    for part in _alternatives(info):
        if isinstance(part, inspect.LiteralType):
            words += [
                f'"{value}"' if str(value).isdecimal() else str(value) for value in part.values
            ]
        elif isinstance(part, inspect.ListType):
            words.append(f"a list: [{_in_words(part.item_type)}]")
        elif isinstance(part, inspect.StructType):
            words.append(f"{{{part.fields[0].encode_name}: …}}")
        else:
            words += _PLAIN.get(type(part), [])
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


_ITEMS: dict[type[inspect.Type], str] = {
    inspect.IntType: r"[\d:, ]+",
    inspect.StrType: r"[^\[\]{}]+",
}
_PLAIN: dict[type[inspect.Type], list[str]] = {
    inspect.StrType: ["text"],
    inspect.IntType: ["a whole number"],
    inspect.FloatType: ["a number"],
    inspect.BoolType: ["true", "false"],
    inspect.DictType: ["{NAME: value}"],
}
