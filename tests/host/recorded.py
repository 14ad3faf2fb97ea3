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
    return Host({key: _reading(said) for key, said in readings.items()})


def value(fact: Fact[T], readings: Mapping[str, Any]) -> T | Missing:
    return host(readings).value(fact)


def known(fact: Fact[T], readings: Mapping[str, Any]) -> T:
    found = value(fact, readings)
    assert not isinstance(found, Missing), found
    return found


def missing(fact: Fact[T], readings: Mapping[str, Any]) -> Missing:
    found = value(fact, readings)
    assert isinstance(found, Missing), found
    return found


def _reading(said: Any) -> Reading:
    if isinstance(said, Reading):
        return said
    return Reading(outcome="ok", text=said if isinstance(said, str) else json.dumps(said))
