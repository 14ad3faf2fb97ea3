"""Make a host from recorded texts, so that a test shows the readings and their result."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from provision.doors.reading import Reading
from provision.host._model import Fact, Host, Missing

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


def host(readings: Mapping[str, Any]) -> Host:
    """Return a host with readings by source key: a text, a Reading, or a value of a probe."""
    return Host({key: _reading(answer) for key, answer in readings.items()})


def value(fact: Fact[T], readings: Mapping[str, Any]) -> T | Missing:
    return host(readings).value(fact)


def known(fact: Fact[T], readings: Mapping[str, Any]) -> T:
    result = value(fact, readings)
    assert not isinstance(result, Missing), result
    return result


def missing(fact: Fact[T], readings: Mapping[str, Any]) -> Missing:
    result = value(fact, readings)
    assert isinstance(result, Missing), result
    return result


def _reading(answer: Any) -> Reading:
    if isinstance(answer, Reading):
        return answer
    return Reading(outcome="ok", text=answer if isinstance(answer, str) else json.dumps(answer))
