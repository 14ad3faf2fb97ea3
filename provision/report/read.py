"""A report out of its file: of this schema and of those before it, and one sentence for what is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from provision.errors import UnreadableInput
from provision.report import short
from provision.report._model import SCHEMA, Report

_FAMILY, _, _NUMBER = SCHEMA.rpartition("/")
_HINT = "a report is the report.json of a run below logs/, whole and as it was written"


def report(content: bytes, name: str) -> Report:
    """The report that a file holds; whatever is wrong with it is said in one sentence."""
    try:
        document = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError) as error:
        cut = "is cut off" if "truncated" in str(error) else "is no JSON"
        raise UnreadableInput(f"{cut}: {error}", where=name, hint=_HINT) from error
    schema = document.get("schema") if isinstance(document, dict) else None
    family, _, number = schema.rpartition("/") if isinstance(schema, str) else ("", "", "")
    if family != _FAMILY or not (number.isascii() and number.isdecimal()):
        raise UnreadableInput("is no report of vllm-ready", where=name, hint=_HINT)
    if _is_newer(number):
        hint = "read it with the version that wrote it, or a newer one"
        raise UnreadableInput(
            f"was written by a newer vllm-ready, as {short.cut(str(schema), 60)}", where=name, hint=hint
        )
    try:
        return msgspec.convert(_grown(document), Report)
    except msgspec.ValidationError as error:
        raise UnreadableInput(f"is no whole report: {error}", where=name, hint=_HINT) from error


def where_readable(content: bytes | None) -> Report | None:
    """None where there is none, or it was written by a version that nobody can read any more."""
    try:
        return report(content, "") if content else None
    except UnreadableInput:
        return None


def _is_newer(number: str) -> bool:
    """By its digits, however many: Python makes no number of thousands of them."""
    digits = number.lstrip("0")
    return (len(digits), digits) > (len(_NUMBER), _NUMBER)


def _grown(document: dict[str, Any]) -> dict[str, Any]:
    """As it would be written today; each change of what is written adds its reader here."""
    for reader in _READERS:
        document = reader(document)
    return document


def _without_figures(document: dict[str, Any]) -> dict[str, Any]:
    """Before 0.1 had figures they were an empty object, and what was promised was only in the plan."""
    if isinstance(document.get("figures"), dict):
        document = {**document, "figures": []}
    if "promised" not in document:
        plan = document.get("plan")
        tried = _names(check.get("name") for check in _list(document.get("checks")) if isinstance(check, dict))
        planned = _names(_list(plan.get("checks"))) if isinstance(plan, dict) else []
        document = {**document, "promised": planned if planned and set(planned) <= set(tried) else tried}
    return document


def _list(value: object) -> list[Any]:
    """What is none is complained of when the whole is converted."""
    return value if isinstance(value, list) else []


def _names(values: Iterable[object]) -> list[str]:
    return [value for value in values if isinstance(value, str)]


_READERS: tuple[Callable[[dict[str, Any]], dict[str, Any]], ...] = (_without_figures,)
