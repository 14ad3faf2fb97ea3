"""Report files: those of today, older ones, and files that are no report."""

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
    """Return a report from before the promised checks were recorded."""
    document = {**msgspec.to_builtins(report()), **changes}
    del document["promised"]
    return msgspec.json.encode(document)


def test_a_report_of_today_is_read() -> None:
    assert read.report(written(), "r") == report()


def test_a_report_without_figures_and_promises_is_read() -> None:
    document = msgspec.to_builtins(report())
    for new in ("promised", "packages", "gpus", "commands", "seconds", "tool"):
        del document[new]
    old: Report = read.report(msgspec.json.encode({**document, "figures": {}}), "r")
    assert old.figures == ()
    assert old.promised == tuple(check.name for check in report().checks), (
        "the plan promises checks that were not tried"
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is truncated"),
        (written()[:-40], "is truncated"),
        (b"not a report", "not JSON"),
        (b"[" * 100_000, ""),
        (b"[]", "not a report"),
        (b'{"schema": "vllm-ready/plan/1"}', "not a report"),
        (b'{"schema": 7}', "not a report"),
        (written(schema="vllm-ready/report/2"), "newer vllm-ready"),
        (written(schema="vllm-ready/report/99999999999999999999"), "newer vllm-ready"),
        (written(checks=[{"name": "a"}]), "$.checks[0]"),
        (written(checks={"a": 1}), "not a complete report"),
        (written(checks="abc"), "not a complete report"),
        (written(verdict="fine"), "$.verdict"),
        (written(schema=f"vllm-ready/report/{'9' * 5000}"), "newer vllm-ready"),
        (written(schema="vllm-ready/report/٣"), "not a report"),
        (old(checks=5), "not a complete report"),
        (old(checks=[{"name": [1]}]), "$.checks[0]"),
        (old(plan={"checks": 7}), "not a complete report"),
        (old(plan={"checks": [[1]]}), "not a complete report"),
    ],
)
def test_a_file_that_is_no_report_is_refused_in_one_sentence(content: bytes, problem: str) -> None:
    with pytest.raises(UnreadableInput, match="the file") as refused:
        read.report(content, "the file")
    assert problem.replace("$", "") in str(refused.value).replace("$", "")
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
def test_random_documents_are_read_or_refused(key: str, value: Any) -> None:
    for content in (written(**{key: value}), old(**{key: value, "promised": value})):
        with contextlib.suppress(UnreadableInput):
            assert isinstance(read.report(content, "r"), Report)
