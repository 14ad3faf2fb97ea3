"""Report files of this schema and older ones; any other file is refused in one sentence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from provision.errors import UnreadableInput
from provision.report import short
from provision.report._model import SCHEMA, Report

_FAMILY, _, _NUMBER = SCHEMA.rpartition("/")
_HINT = "expected the report.json of a run below logs/, complete and unchanged"


def report(content: bytes, name: str) -> Report:
    """Return the report in a file's content; raise UnreadableInput where it is not one."""
    try:
        document = msgspec.json.decode(content)
    except (ValueError, RecursionError) as error:
        problem = "is truncated" if "truncated" in str(error) else "is not JSON"
        raise UnreadableInput(f"{problem}: {error}", where=name, hint=_HINT) from error
    schema = document.get("schema") if isinstance(document, dict) else None
    family, _, number = schema.rpartition("/") if isinstance(schema, str) else ("", "", "")
    if family != _FAMILY or not (number.isascii() and number.isdecimal()):
        raise UnreadableInput("is not a report of vllm-ready", where=name, hint=_HINT)
    if _is_newer(number):
        raise UnreadableInput(
            f"was written by a newer vllm-ready (schema {short.cut(str(schema), 60)})",
            where=name,
            hint="read it with that version or a newer one",
        )
    try:
        return msgspec.convert(_from_before_figures(document), Report)
    except msgspec.ValidationError as error:
        raise UnreadableInput(
            f"is not a complete report: {error}", where=name, hint=_HINT
        ) from error


def report_or_none(content: bytes | None) -> Report | None:
    """Return the report, or None where there is no content or this version cannot read it."""
    try:
        return report(content, "") if content else None
    except UnreadableInput:
        return None


def _is_newer(number: str) -> bool:
    # Compared as digits: int() refuses a number of thousands of digits.
    digits = number.lstrip("0")
    return (len(digits), digits) > (len(_NUMBER), _NUMBER)


def _from_before_figures(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document from before 0.1 with a list of figures and the promised checks.

    Figures were an empty object then, and only the plan named the promised checks.
    """
    if isinstance(document.get("figures"), dict):
        document = {**document, "figures": []}
    if "promised" not in document:
        plan = document.get("plan")
        tried = _names(
            check.get("name") for check in _list(document.get("checks")) if isinstance(check, dict)
        )
        planned = _names(_list(plan.get("checks"))) if isinstance(plan, dict) else []
        # A run of a part of the checks promised only those.
        document = {
            **document,
            "promised": planned if planned and set(planned) <= set(tried) else tried,
        }
    return document


def _list(value: object) -> list[Any]:
    # Another type is reported when the whole document is converted.
    return value if isinstance(value, list) else []


def _names(values: Iterable[object]) -> list[str]:
    return [value for value in values if isinstance(value, str)]
