"""Record this host, write its document, and read damaged documents."""

from __future__ import annotations

import contextlib
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.doors.reading import Reading
from provision.errors import UnreadableInput
from provision.host import _gather, _programs, disks, iommu, kernel, machine, record, sources
from provision.host._model import Command, File, Files, Host, Probe, Recording, Source


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    paths = {"prefix": tmp_path_factory.mktemp("prefix") / "envs", "tmpdir": Path("/tmp")}
    return record.record(network=False, paths=paths, sources={})


def test_this_host_is_recorded_with_every_source_that_needs_no_network(
    recording: Recording,
) -> None:
    host = Host(recording.readings)
    assert host.value(kernel.FACT) == Path("/proc/sys/kernel/osrelease").read_text().strip()
    assert host.value(machine.FACT) == platform.machine()
    where = host.known(disks.FACT)
    assert where
    assert not where["prefix"].exists
    assert host.known(sources.FACT) is None
    wanted = {
        s.key
        for fact in record.discover()
        for s in fact.sources
        if not (isinstance(s, Probe) and s.network)
    }
    assert set(recording.readings) == wanted
    assert not [
        key for key, reading in recording.readings.items() if reading.outcome == "timed out"
    ]


def test_the_document_is_read_back_to_the_same_facts(recording: Recording) -> None:
    document = record.to_json(recording)
    host = Host(record.load(document.decode(), "host.json").readings)
    for fact in record.discover():
        assert msgspec.to_builtins(host.value(fact)) == recording.facts[fact.name]
    assert document == record.to_json(msgspec.json.decode(document, type=Recording))


def test_who_and_where_we_are_is_in_no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    canaries = {
        "USER": "canarykit",
        "HOME": "/home/canarykit",
        "HF_TOKEN": "hf_CanaryCanaryCanaryCanary",
        "PIP_INDEX_URL": "https://canarykit:canarypass@127.0.0.1:9/simple",
        "VLLM_API_KEY": "canarykey",
        "LD_LIBRARY_PATH": "/home/canarykit/lib:/scratch/canarykit",
        "NVIDIA_VISIBLE_DEVICES": "GPU-ca9a4b1c-1234-5678-9abc-def012345678",
        "https_proxy": "http://canarykit:canarypass@proxy.example:3128",
    }
    for name, value in canaries.items():
        monkeypatch.setenv(name, value)
    document = record.to_json(
        record.record(network=False, paths={"prefix": Path("/home/canarykit/e")}, sources={})
    )
    assert b"canary" not in document.lower()
    assert b"ca9a4b1c" not in document
    assert b"https://***@127.0.0.1:9/simple" in document
    assert b"~/lib:/scratch/***" in document


def test_no_other_word_of_the_kernel_command_line_is_recorded(recording: Recording) -> None:
    (source,) = (source for source in iommu.FACT.sources if isinstance(source, File))
    kept = recording.readings[source.key].text.split()
    assert {word.partition("=")[0] for word in kept} <= set(source.words)


def test_a_command_that_hangs_costs_its_deadline_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("text")
    wanted: list[Source] = [
        Command(("sleep", "30"), deadline_s=0.2),
        Command(("sh", "-c", "echo said")),
        Command(("sh", "-c", "echo Operation not permitted >&2; exit 1")),
        Command(("sh", "-c", "echo half; exit 3")),
        Command(("/no/such/tool",)),
        File(str(tmp_path / "here")),
        Files((str(tmp_path / "none"),)),
    ]
    began = time.monotonic()
    readings = _gather.gather(wanted, network=False, paths={}, addresses={})
    assert time.monotonic() - began < 3
    assert [readings[source.key].outcome for source in wanted] == [
        *("timed out", "ok", "refused", "failed", "absent", "ok", "absent")
    ]
    assert readings[wanted[3].key].text == "half\n"


def test_a_thread_that_hangs_is_left_behind_and_does_not_hold_the_exit() -> None:
    code = (
        "import time; from provision.doors import at_once;"
        "print(at_once.run_all({'hangs': lambda: time.sleep(60), 'ends': lambda: 'ok'}, 0.2))"
    )
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True
    )
    assert time.monotonic() - began < 5
    assert ended.stdout == "{'ends': 'ok'}\n"


def test_a_probe_that_breaks_is_a_failed_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> list[str]:
        raise RuntimeError("inside")

    monkeypatch.setattr(_programs, "pythons", broken)
    readings = _gather.gather([Probe("pythons")], network=False, paths={}, addresses={})
    assert readings["probe pythons"] == Reading(outcome="failed", detail="RuntimeError: inside")


def test_sources_are_asked_only_where_they_are_wanted() -> None:
    probe = Probe("sources", network=True)
    assert _gather.gather([probe], network=False, paths={}, addresses={}) == {}
    readings = _gather.gather(
        [probe], network=True, paths={}, addresses={"mirror": "http://127.0.0.1:9/"}
    )
    assert json.loads(readings[probe.key].text)["mirror"]["answers"] is False


def document(**changes: Any) -> dict[str, Any]:
    whole = {
        "schema": "vllm-ready/host/1",
        "taken": "2026-11-20T06:00:00Z",
        "tool": "vllm-ready 0.1.0",
    }
    return {
        **whole,
        "readings": {"command uname -m": {"outcome": "ok", "text": "x86_64\n"}},
        **changes,
    }


def test_a_document_with_a_windows_mark_and_unknown_additions_is_read() -> None:
    host = Host(record.load("\ufeff" + json.dumps(document(comment="mine")), "host.json").readings)
    assert host.value(machine.FACT) == "x86_64"


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("", "h.json", "not complete JSON"),
        (json.dumps(document())[:90], "h.json", "truncated"),
        ("[" * 100_000, "h.json", "not complete JSON"),
        ("[1]", "h.json: schema", "names no schema"),
        ("{}", "h.json: schema", "names no schema"),
        (
            json.dumps(document(schema="vllm-ready/host/2")),
            "h.json: schema",
            "this vllm-ready reads",
        ),
        (json.dumps(document(schema="vllm-ready/plan/1")), "h.json: schema", "vllm-ready/plan/1"),
        (json.dumps(document(schema=1)), "h.json: schema", "its schema is 1"),
        (json.dumps(document(readings=[])), "h.json", "$.readings"),
        (
            json.dumps(document(readings={"x": {"outcome": "fine"}})),
            "h.json",
            "$.readings[...].outcome",
        ),
        (
            json.dumps(document(readings={"x": {"outcome": "ok", "text": 5}})),
            "h.json",
            "$.readings[...].text",
        ),
        ('{"schema": "\ud800"}', "h.json", "not complete JSON"),
    ],
)
def test_a_wrong_document_is_named_with_place_and_way_out(text: str, where: str, says: str) -> None:
    with pytest.raises(UnreadableInput) as caught:
        record.load(text, "h.json")
    assert caught.value.where == where
    assert says in caught.value.what
    assert caught.value.hint


@given(st.data())
def test_any_damage_is_read_or_refused_never_a_crash(data: st.DataObject) -> None:
    text = json.dumps(document())
    start, end = sorted(data.draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
    damaged = text[:start] + data.draw(st.text(max_size=5)) + text[end:]
    with contextlib.suppress(UnreadableInput):
        assert isinstance(record.load(damaged, "h.json"), Recording)
