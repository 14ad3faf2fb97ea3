"""YAML read into typed structs, with the line of every value, so that a complaint can name file and place."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
import yaml
from msgspec import inspect

from provision.errors import Failure, UnreadableInput

T = TypeVar("T")

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
_MAX_DEPTH = 20
_MAX_VALUES = 20_000


class Document(msgspec.Struct, frozen=True):
    """Plain data, and for every path ("$.gpus[0].cc") the line and the text as written."""

    data: Any
    lines: dict[str, int]
    written: dict[str, str]


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with a value: where in the document, in words, and what to write instead.

    `meant`: the key below this place ("" for itself) and the value that a bare word was most likely meant as.
    """

    path: str
    what: str
    hint: str
    meant: tuple[str, str] | None = None


def parse(text: str, name: str) -> Document:
    """One YAML document; a text that is none is refused with its line."""
    odd = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if odd:
        line = text.count("\n", 0, odd.start()) + 1
        what = f"holds a character that no text has: {odd[0]!r}"
        raise UnreadableInput(what, where=f"{name}:{line}", hint="is this the right file?")
    document = Document(None, {}, {})
    try:
        events = (event for event in yaml.parse(text, Loader=_LOADER) if not isinstance(event, _FRAME))
        first = next(events, None)
        if first is None:
            return document
        builder = _Builder(name, document, events)
        data = builder.value(first, "$", 0)
        for event in events:
            raise builder.refusal(event, "another document begins here", "keep one of them")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{name}:{mark.line + 1}" if mark else name
        what = getattr(error, "problem", None) or str(error).split("\n")[0] or type(error).__name__
        hint = "something before or at this line is not closed, not indented or needs quotes"
        raise UnreadableInput(f"is not YAML: {what}", where=place, hint=hint) from None
    return Document(data, document.lines, document.written)


_FRAME = (yaml.StreamStartEvent, yaml.StreamEndEvent, yaml.DocumentStartEvent, yaml.DocumentEndEvent)


class _Builder:
    """Builds data from a parser's events, one level a call: nothing is expanded, and depth and size have limits."""

    def __init__(self, name: str, document: Document, events: Iterator[Any]) -> None:
        self.name = name
        self.document = document
        self.events = events

    def refusal(self, event: Any, what: str, hint: str) -> UnreadableInput:  # noqa: ANN401 - yaml has no types
        return UnreadableInput(what, where=f"{self.name}:{event.start_mark.line + 1}", hint=hint)

    def value(self, event: Any, path: str, depth: int) -> Any:  # noqa: ANN401 - as above
        if isinstance(event, yaml.AliasEvent):
            raise self.refusal(event, f"`*{event.anchor}`: aliases are not read here", "write the value itself")
        if event.tag is not None:
            raise self.refusal(event, f"`{event.tag}`: tags are not read here", 'write plain values, text as "text"')
        if depth > _MAX_DEPTH:
            raise self.refusal(event, "nested too deeply", "nothing here has more than a few levels")
        if len(self.document.lines) >= _MAX_VALUES:
            raise self.refusal(event, "too many values", f"at most {_MAX_VALUES} are read; is this the right file?")
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
                raise self.refusal(event, "a name was expected", "write name: value")
            if event.value in items:
                raise self.refusal(event, f"`{event.value}` is given twice", "keep one of them")
            items[event.value] = self.value(next(self.events), f"{path}.{event.value}", depth + 1)
        return items


def _scalar(value: str, *, plain: bool) -> Any:  # noqa: ANN401 - a YAML scalar is any of five types
    """YAML 1.2's few types: `no` and `on` stay words, unlike in YAML 1.1."""
    if not plain:
        return value
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    if re.fullmatch(r"[-+]?[\d.]*\d[\d.]*([eE][-+]?\d+)?", value, re.ASCII):
        for kind in (int, float):
            with contextlib.suppress(ValueError):
                return kind(value)
    return value


def typed(document: Document, kind: type[T], name: str, failure: type[Failure] = UnreadableInput) -> T:
    """The document as `kind`, or a failure that names the line and what to write instead."""
    try:
        return msgspec.convert(document.data, kind)
    except msgspec.ValidationError as error:
        found = problem(error, document, kind)
        where = f"{name}:{document.lines.get(found.path, 1)}"
        raise failure(found.what, where=where, hint=found.hint) from None


def problem(error: msgspec.ValidationError, document: Document, kind: type[Any]) -> Problem:
    """A validation error in the words of somebody who writes YAML."""
    what, _, place = str(error).partition(" - at `")
    path = place.rstrip("`") or "$"
    wanted = _wanted(inspect.type_info(kind), path)
    label = path.removeprefix("$").removeprefix(".")
    before = f"{label}: " if label else ""
    unknown = re.search(r"unknown field `(.*?)`", what, re.DOTALL)
    if unknown:
        hint = nearest(unknown[1], _fields(wanted))
        return Problem(f"{path}.{unknown[1]}", f"{before}there is no `{unknown[1]}` here", hint)
    lacking = re.search(r"missing required field `(.*?)`", what)
    if lacking:
        return Problem(path, f"{before}`{lacking[1]}` is missing", f"add {lacking[1]}: …")
    said = document.written.get(path)
    is_text = any(isinstance(part, inspect.StrType) for part in _alternatives(wanted))
    if said is not None and is_text and re.search(r"got `(float|int)`", what):
        return Problem(path, f"{before}YAML has read {said} as a number", f'write {label.rpartition(".")[2]}: "{said}"')
    told = f"`{said[:60]}`" if said is not None else "a list" if "got `array`" in what else "a group of names"
    hint, meant = f"write {_in_words(wanted)}", _meant(said or "", wanted)
    if meant:
        key, value = meant
        as_text = f'"{value}"' if value.isdecimal() else value
        hint = f"write {label.rpartition('.')[2]}: {f'{{{key}: {as_text}}}' if key else value}"
    return Problem(path, f"{before}{told} does not fit here", hint, meant)


def _meant(said: str, wanted: inspect.Type) -> tuple[str, str] | None:
    """A bare word where a list of such is wanted, or a group in which one name takes it."""
    for part in _alternatives(wanted):
        if isinstance(part, inspect.ListType):
            for item in _alternatives(part.item_type):
                if item_shape := _ITEMS.get(type(item)):
                    return ("", f"[{said}]") if re.fullmatch(item_shape, said) else None
        for field in part.fields if isinstance(part, inspect.StructType) else ():
            if isinstance(field.type, inspect.LiteralType) and said in field.type.values:
                return field.encode_name, said
    return None


def nearest(word: str, known: list[str]) -> str:
    """A hint that names the known word closest to an unknown one."""
    import difflib

    swapped = [one for one in known if sorted(one) == sorted(word)]  # pipy for pypi: too far for what counts order
    close = swapped or difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else f"known: {', '.join(known)}"


def _wanted(info: inspect.Type, path: str) -> inspect.Type:
    """The type that belongs at a path."""
    for name in re.findall(r"\.(\w+)|\[[^\]]*\]", path):
        parts = [
            part for part in _alternatives(info) if isinstance(part, inspect.StructType if name else inspect.ListType)
        ]
        if not parts:
            return info
        part = parts[0]
        if isinstance(part, inspect.StructType):
            info = next((field.type for field in part.fields if field.encode_name == name), info)
        elif isinstance(part, inspect.ListType):
            info = part.item_type
    return info


def _alternatives(info: inspect.Type) -> tuple[inspect.Type, ...]:
    return info.types if isinstance(info, inspect.UnionType) else (info,)


def _fields(info: inspect.Type) -> list[str]:
    structs = [part for part in _alternatives(info) if isinstance(part, inspect.StructType)]
    return [field.encode_name for struct in structs for field in struct.fields]


def _in_words(info: inspect.Type) -> str:
    """What may be written for a type: "all, auto or a list in [ ]"."""
    words: list[str] = []
    for part in _alternatives(info):
        if isinstance(part, inspect.LiteralType):
            words += [f'"{value}"' if str(value).isdecimal() else str(value) for value in part.values]
        elif isinstance(part, inspect.ListType):
            words.append(f"a list: [{_in_words(part.item_type)}]")
        elif isinstance(part, inspect.StructType):
            words.append(f"{{{part.fields[0].encode_name}: …}}")
        else:
            words += _PLAIN.get(type(part), [])
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


_ITEMS: dict[type[inspect.Type], str] = {inspect.IntType: r"[\d:, ]+", inspect.StrType: r"[^\[\]{}]+"}
_PLAIN: dict[type[inspect.Type], list[str]] = {
    inspect.StrType: ["text"],
    inspect.IntType: ["a whole number"],
    inspect.FloatType: ["a number"],
    inspect.BoolType: ["true", "false"],
    inspect.DictType: ["{NAME: value}"],
}
