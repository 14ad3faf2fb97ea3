"""YAML read into typed structs, with the line of every value, so that a complaint can name file and place."""

from __future__ import annotations

import contextlib
import re
from typing import Any, TypeVar

import msgspec
import yaml

from provision.errors import Failure, UnreadableInput

T = TypeVar("T")

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
_MAX_DEPTH = 20


class Document(msgspec.Struct, frozen=True):
    """Plain data, and for every path ("$.gpus[0].cc") the line and the text as written."""

    data: Any
    lines: dict[str, int]
    written: dict[str, str]


def parse(text: str, name: str) -> Document:
    """One YAML document; a text that is none is refused with its line."""
    lines: dict[str, int] = {}
    written: dict[str, str] = {}

    def build(node: Any, path: str, depth: int) -> Any:  # noqa: ANN401 - yaml's nodes are untyped
        if depth > _MAX_DEPTH:
            raise UnreadableInput("nested too deeply", where=f"{name}:{node.start_mark.line + 1}")
        lines[path] = node.start_mark.line + 1
        if isinstance(node, yaml.ScalarNode):
            written[path] = node.value
            return _scalar(node.value, plain=not node.style)
        if isinstance(node, yaml.SequenceNode):
            return [build(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(node.value)]
        mapping: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise UnreadableInput("a name was expected", where=f"{name}:{key.start_mark.line + 1}")
            if key.value in mapping:
                raise UnreadableInput(
                    f"`{key.value}` is given twice",
                    where=f"{name}:{key.start_mark.line + 1}",
                    hint="keep one of them",
                )
            mapping[key.value] = build(value, f"{path}.{key.value}", depth + 1)
        return mapping

    try:
        root = yaml.compose(text, Loader=_LOADER)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).split("\n")[0] or type(error).__name__
        raise UnreadableInput(f"not YAML: {problem}", where=f"{name}{line}") from None
    return Document(None if root is None else build(root, "$", 0), lines, written)


def typed(document: Document, kind: type[T], name: str, failure: type[Failure] = UnreadableInput) -> T:
    """The document as `kind`, or a failure that names the line and what to write instead."""
    try:
        return msgspec.convert(document.data, kind)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `")
        path = path.rstrip("`") or "$"
        unknown = re.search(r"unknown field `(.+?)`", what)
        line = document.lines.get(f"{path}.{unknown[1]}" if unknown else path, 1)
        raise failure(_in_words(what, path), where=f"{name}:{line}", hint=_hint(what, path, document, kind)) from None


def nearest(word: str, known: list[str]) -> str:
    """A hint that names the known word closest to an unknown one."""
    import difflib

    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean `{close[0]}`?" if close else f"known: {', '.join(known)}"


def _scalar(value: str, *, plain: bool) -> Any:  # noqa: ANN401 - a YAML scalar is any of five types
    """YAML 1.2's few types: `no` and `on` stay words, unlike in YAML 1.1."""
    if not plain:
        return value
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    if value.lstrip("+-").replace(".", "").isdecimal() or re.fullmatch(r"[-+]?[\d.]+[eE][-+]?\d+", value):
        for kind in (int, float):
            with contextlib.suppress(ValueError):
                return kind(value)
    return value


def _in_words(what: str, path: str) -> str:
    field = path.removeprefix("$").removeprefix(".")
    what = what.replace("Object ", "").replace("`", "")
    return f"{field}: {what}" if field else what


def _hint(what: str, path: str, document: Document, kind: type[Any]) -> str:
    unknown = re.search(r"unknown field `(.+?)`", what)
    if unknown:
        return nearest(unknown[1], _fields(kind, path))
    name = path.rsplit(".", 1)[-1]
    if re.search(r"Expected `.*str.*`, got `(float|int)`", what):
        return f'YAML has read a number; write {name}: "{document.written[path]}"'
    return ""


def _fields(kind: type[Any], path: str) -> list[str]:
    """The field names that the struct at a path knows."""
    for step in re.findall(r"\.(\w+)", path):
        field = next(f for f in msgspec.structs.fields(kind) if f.encode_name == step)
        info = msgspec.inspect.type_info(field.type)
        while isinstance(info, msgspec.inspect.CollectionType):
            info = info.item_type
        kind = getattr(info, "cls", kind)
    return [field.encode_name for field in msgspec.structs.fields(kind)]
