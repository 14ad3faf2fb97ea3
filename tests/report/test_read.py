"""Reports out of files: today's, older ones, and what is none."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.errors import UnreadableInput
from provision.report import read
from provision.report._model import Report
from tests.report.test_texts import report


def written(**changes: Any) -> bytes:
    return msgspec.json.encode({**msgspec.to_builtins(report()), **changes})


def old(**changes: Any) -> bytes:
    """Of before it said what was promised."""
    document = {**msgspec.to_builtins(report()), **changes}
    del document["promised"]
    return msgspec.json.encode(document)


def test_what_was_written_is_read() -> None:
    assert read.report(written(), "r") == report()


def test_one_without_figures_and_promises_is_read() -> None:
    document = msgspec.to_builtins(report())
    for new in ("promised", "packages", "gpus", "commands", "seconds", "tool"):
        del document[new]
    old: Report = read.report(msgspec.json.encode({**document, "figures": {}}), "r")
    assert old.figures == ()
    assert old.promised == tuple(check.name for check in report().checks), (
        "the plan promised what nobody tried"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cut off"),
        (written()[:-40], "cut off"),
        (b"not a report", "no JSON"),
        (b"[" * 100_000, ""),
        (b"[]", "no report"),
        (b'{"schema": "vllm-ready/plan/1"}', "no report"),
        (b'{"schema": 7}', "no report"),
        (written(schema="vllm-ready/report/2"), "newer vllm-ready"),
        (written(schema="vllm-ready/report/99999999999999999999"), "newer vllm-ready"),
        (written(checks=[{"name": "a"}]), "$.checks[0]"),
        (written(checks={"a": 1}), "no whole report"),
        (written(checks="abc"), "no whole report"),
        (written(verdict="fine"), "$.verdict"),
        (written(schema=f"vllm-ready/report/{'9' * 5000}"), "newer vllm-ready"),
        (written(schema="vllm-ready/report/٣"), "no report"),
        (old(checks=5), "no whole report"),
        (old(checks=[{"name": [1]}]), "$.checks[0]"),
        (old(plan={"checks": 7}), "no whole report"),
        (old(plan={"checks": [[1]]}), "no whole report"),
    ],
)
def test_what_is_none_is_named_in_a_sentence(content: bytes, said: str) -> None:
    with pytest.raises(UnreadableInput, match="the file") as refused:
        read.report(content, "the file")
    assert said.replace("$", "") in str(refused.value).replace("$", "")
    assert "the file" in str(refused.value)
    assert len(str(refused.value)) < 400


Json = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "checks", "x"]), inner)
    ),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.sampled_from(sorted(msgspec.to_builtins(report()))), Json)
def test_whatever_stands_in_it_is_no_bug(key: str, value: Any) -> None:
    for content in (written(**{key: value}), old(**{key: value, "promised": value})):
        with contextlib.suppress(UnreadableInput):
            read.report(content, "r")
