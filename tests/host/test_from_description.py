"""host/from_description.py: the short YAML, and its errors, each named with line and remedy."""

from __future__ import annotations

import pytest

from provision.errors import UnreadableInput
from provision.host import (
    driver,
    from_description,
    from_text,
    glibc,
    gpus,
    machine,
    pythons,
    sources,
)
from provision.host._model import Missing
from provision.host.driver import Driver
from provision.host.gpus import Gpu
from provision.host.pythons import Python

WHOLE = """gpus:
  - {name: Tesla V100-SXM2-32GB, cc: "7.0", memory_gb: 32, count: 2}
  - name: NVIDIA A100-SXM4-80GB
driver: "535.183.01"
python: "3.12"
glibc: "2.35"
machine: x86_64
sources: {github: false}
"""


def refused(text: str) -> UnreadableInput:
    with pytest.raises(UnreadableInput) as caught:
        from_text.parse(text, "host.yaml")
    return caught.value


def test_a_whole_description() -> None:
    host = from_text.parse(WHOLE, "host.yaml")
    assert host.value(gpus.FACT) == (
        Gpu(id="0", name="Tesla V100-SXM2-32GB", cc="7.0", memory_gb=32),
        Gpu(id="1", name="Tesla V100-SXM2-32GB", cc="7.0", memory_gb=32),
        Gpu(id="2", name="NVIDIA A100-SXM4-80GB"),
    )
    assert host.value(driver.FACT) == Driver(version="535.183.01")
    assert host.value(pythons.FACT) == (Python(version="3.12"),)
    assert (host.value(glibc.FACT), host.value(machine.FACT)) == ("2.35", "x86_64")
    answers = host.known(sources.FACT)
    assert answers is not None
    assert {name: answer.answers for name, answer in answers.items()} == {
        "pypi": True,
        "pytorch": True,
        "vllm": True,
        "github": False,
    }


def test_windows_line_ends_change_nothing() -> None:
    host = from_text.parse(WHOLE.replace("\n", "\r\n"), "host.yaml")
    assert host.known(gpus.FACT) == from_text.parse(WHOLE, "host.yaml").known(gpus.FACT)


def test_json_is_yaml() -> None:
    host = from_text.parse(
        '{"gpus": [], "python": "3.12", "glibc": "2.39", "machine": "arm64"}', "host.json"
    )
    assert host.value(gpus.FACT) == ()
    assert host.value(machine.FACT) == "aarch64"


def test_what_is_not_said_is_not_invented() -> None:
    host = from_text.parse("gpus: []\n", "host.yaml")
    assert host.value(driver.FACT) == Missing(
        why="absent", detail="the description names no driver"
    )
    nothing = Missing(why="not read", detail="the description does not say")
    assert [host.missing(pythons.FACT), host.missing(glibc.FACT), host.missing(machine.FACT)] == [
        nothing
    ] * 3
    assert from_text.parse("python: '3.12'\n", "host.yaml").missing(gpus.FACT)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("580.65.06", Driver(version="580.65.06")),
        ("580.65.06-open", Driver(version="580.65.06", flavour="open")),
        ("535.183.01 (open)", Driver(version="535.183.01", flavour="open")),
        ("535.183.01 (proprietary)", Driver(version="535.183.01", flavour="proprietary")),
        ("580.65.06~beta", Driver(version="580.65.06")),
        ("570.86.10-0ubuntu1~24.04", Driver(version="570.86.10")),
        ("580", Driver(version="580")),
        ("700.10", Driver(version="700.10")),
    ],
)
def test_a_driver_with_a_suffix(words: str, expected: Driver) -> None:
    assert from_text.parse(f'driver: "{words}"\n', "host.yaml").value(driver.FACT) == expected


@pytest.mark.parametrize(
    "words", ["latest", "R580", "v580.65", "580.65.06abc", "12.4", "9" * 5000, "580.65.", "٥٨٠.٦٥"]
)
def test_what_is_no_driver_version(words: str) -> None:
    failure = refused(f'gpus: []\ndriver: "{words}"\n')
    assert failure.where == "host.yaml:2"
    assert "is not a driver version" in failure.what
    assert 'write driver: "580.65.06"' in failure.hint
    assert len(str(failure)) < 200


@pytest.mark.parametrize(
    ("text", "line", "says", "hint"),
    [
        ("python: 3.10", 1, "python: YAML reads 3.10 as a number", 'python: "3.10"'),
        ("gpus: []\nglibc: 2.35", 2, "glibc: YAML reads 2.35 as a number", 'glibc: "2.35"'),
        ("driver: 535.54", 1, "driver: YAML reads 535.54 as a number", 'driver: "535.54"'),
        ("gpus:\n- name: x\n  cc: 7.0", 3, "gpus[0].cc: YAML reads 7.0 as a number", 'cc: "7.0"'),
        ("machine: 1", 1, "machine: YAML reads 1 as a number", 'machine: "1"'),
        ("machine: X86_64", 1, "machine: `X86_64` is not a machine", "write machine: x86_64"),
        ('python: "2.7"', 1, "python: `2.7` is not a Python version", '"3.12"'),
        ("python: latest", 1, "python: `latest` is not a Python version", '"3.12"'),
        (f'python: "3.{"9" * 5000}"', 1, "is not a Python version", '"3.12"'),
        ("glibc: musl", 1, "glibc: `musl` is not a glibc version", '"2.35"'),
        ("gpus: NVIDIA L4", 1, "gpus: `NVIDIA L4` does not fit", "write a list: [{name: …}]"),
        (
            "gpus: {name: NVIDIA L4}",
            1,
            "gpus: a group of names does not fit",
            "write a list: [{name: …}]",
        ),
        ("gpus:\n- NVIDIA L4", 2, "gpus[0]: `NVIDIA L4` does not fit", "write {name: …}"),
        ("gpus: [{nam: L4}]", 1, "gpus[0]: there is no `nam` here", "did you mean `name`?"),
        ("gpus: [{}]", 1, "gpus[0]: `name` is missing", "add name"),
        ('gpus: [{name: ""}]', 1, "gpus[0].name: is empty", "NVIDIA L4"),
        ("gpus: [{name: 4090}]", 1, "gpus[0].name: YAML reads 4090 as a number", 'name: "4090"'),
        (
            'gpus: [{name: x, cc: "sm_90"}]',
            1,
            "gpus[0].cc: `sm_90` is not a compute capability",
            '"9.0"',
        ),
        (
            "gpus: [{name: x}, {name: y, count: 0}]",
            1,
            "gpus[1].count: 0 is out of range",
            "from 1 to",
        ),
        ("gpus: [{name: y, count: 999999999999999999999}]", 1, "gpus[0].count: 99999", "from 1 to"),
        ("gpus: [{name: y, count: 1e3}]", 1, "gpus[0].count", "whole number"),
        (
            "gpus: [{name: y, memory_gb: 80GB}]",
            1,
            "gpus[0].memory_gb: `80GB` does not fit",
            "a number",
        ),
        (
            "gpus: [{name: y, memory_gb: -1}]",
            1,
            "gpus[0].memory_gb: -1 is out of range",
            "gigabytes",
        ),
        (
            "gpus: [{name: y, memory_gb: 1e999}]",
            1,
            "gpus[0].memory_gb: inf is out of range",
            "gigabytes",
        ),
        (
            "gpus: [{name: a, count: 1000}, {name: b, count: 1000}]",
            1,
            "gpus: more than 1024",
            "correct the counts",
        ),
        ("sources: {pypi: no}", 1, "sources.pypi: `no` does not fit", "write true or false"),
        ("sources: {pipy: true}", 1, "sources: there is no `pipy` here", "did you mean `pypi`?"),
        ("sources: all", 1, "sources: `all` does not fit", "write {pypi: …}"),
        ("gpu: []", 1, "there is no `gpu` here", "did you mean `gpus`?"),
        ("schema: vllm-ready/host/1", 1, "there is no `schema` here", "known: gpus"),
    ],
)
def test_a_wrong_value_is_named_with_line_and_what_to_write(
    text: str, line: int, says: str, hint: str
) -> None:
    failure = refused(text)
    assert failure.where == f"host.yaml:{line}"
    assert says in failure.what
    assert hint in failure.hint
    assert len(str(failure)) < 250


@pytest.mark.parametrize(
    ("text", "yes"),
    [
        ("# a host\ngpus: []\n", True),
        ("python: '3.12'\r\ngpus : []\r\n", True),
        ('{"machine": "x86_64"}', True),
        ("{gpus: []}", True),
        ('{"schema": "vllm-ready/host/1"}', False),
        ('{\n  "facts": {\n    "gpus": []', False),
        ("GPU models and configuration: \nGPU 0: NVIDIA L4\n", False),
        ("  gpus: []\n", False),
        ("", False),
    ],
)
def test_what_looks_like_one(text: str, *, yes: bool) -> None:
    assert from_description.looks_like(text) is yes
