"""The contract of every fact in the folder: its own name, sources, a parser that never breaks."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.doors.reading import Reading
from provision.host._model import Command, Fact, File, Files, Host, Missing, Probe
from provision.host.record import discover

FACTS = discover()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)
LINES = st.lists(
    st.one_of(
        st.text(max_size=40),
        st.tuples(st.text(max_size=12), st.text(max_size=12)).map(" : ".join),
        st.sampled_from(
            [
                "GPU 0: x",
                "a,b,c,d",
                "MemTotal: 12 kB",
                "Version 1.2",
                "processor : 0",
                "N/A",
                "0::/",
            ]
        ),
    ),
    max_size=8,
).map("\n".join)


def by_name(fact: Fact[Any]) -> str:
    return fact.name


def encodes(found: Any) -> bool:
    """Return True if a value can be written into the recording's document."""
    return bool(msgspec.json.encode(found))


every_fact = pytest.mark.parametrize("fact", FACTS, ids=by_name)


def test_names_are_unique_and_the_system_is_covered() -> None:
    names = [fact.name for fact in FACTS]
    assert len(names) == len(set(names))
    assert set(names) >= {
        "os_release",
        "kernel",
        "machine",
        "glibc",
        "cpu",
        "memory",
        "disks",
        "pythons",
        "compilers",
        "cuda_toolkits",
        "container",
        "wsl",
        "selinux",
        "scheduler",
        "shm",
        "limits",
        "iommu",
        "environment",
        "packages",
        "installer_config",
        "sources",
    }


@every_fact
def test_a_fact_has_a_title_and_declares_its_sources(fact: Fact[Any]) -> None:
    assert fact.name.isidentifier()
    assert fact.title[:1].isupper() or fact.title[:1].isdigit() or fact.title.startswith("pip")
    assert fact.sources
    assert all(isinstance(source, File | Files | Command | Probe) for source in fact.sources)
    keys = [source.key for source in fact.sources]
    assert len(keys) == len(set(keys))


@every_fact
def test_nothing_read_is_missing_and_says_so(fact: Fact[Any]) -> None:
    result = Host({}).value(fact)
    assert isinstance(result, Missing)
    assert result.why in ("absent", "not read")


@every_fact
@pytest.mark.parametrize("text", ["", "\n", "{}", "[]", "null"])
def test_texts_that_say_nothing_never_make_a_parser_break(fact: Fact[Any], text: str) -> None:
    host = Host({source.key: Reading(outcome="ok", text=text) for source in fact.sources})
    assert encodes(host.value(fact))


@every_fact
@pytest.mark.parametrize("why", ["refused", "timed out", "failed"])
def test_sources_that_did_not_answer_never_make_a_parser_break(fact: Fact[Any], why: Any) -> None:
    host = Host({source.key: Reading(outcome=why, detail="d") for source in fact.sources})
    assert all(isinstance(warning, str) for warning in host.warnings(fact))
    assert encodes(host.value(fact))


@every_fact
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_text_is_a_value_or_missing_never_an_exception(
    fact: Fact[Any], data: st.DataObject
) -> None:
    text = st.one_of(JSON.map(json.dumps), LINES)
    readings = {source.key: Reading(outcome="ok", text=data.draw(text)) for source in fact.sources}
    host = Host(readings)
    assert encodes(host.value(fact))
    assert all(isinstance(warning, str) for warning in host.warnings(fact))
