"""host/from_text.py: it recognises three kinds of text; any text gives a plan or a message."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provision.catalog import rows
from provision.errors import Failure, UnreadableInput
from provision.host import from_text, glibc, gpus, machine
from provision.plan._model import Plan, Unsupported
from provision.session.planning import make_plan
from provision.settings import Settings

CATALOGUE = rows.load()
COLLECT_ENV = (Path(__file__).parent / "collect_env" / "vllm-2xh100.txt").read_text()
MIG = (Path(__file__).parent / "collect_env" / "torch-mig.txt").read_text()
YAML = """# a host
gpus: [{name: NVIDIA H100 80GB HBM3, cc: "9.0", memory_gb: 80, count: 2}]
driver: "580.65.06"
python: "3.12"
glibc: "2.35"
machine: x86_64
sources: {pypi: true, pytorch: true}
"""
GPU = {
    "index": 0,
    "name": "NVIDIA H100 80GB HBM3",
    "bus_id": "00000000:17:00.0",
    "cc": "9.0",
    "memory": 85899345920,
}
UEVENT = "DRIVER=nvidia\nPCI_CLASS=30200\nPCI_ID=10DE:2330\nPCI_SLOT_NAME=0000:17:00.0\n"
TEXTS = {
    "command uname -m": "x86_64\n",
    "command getconf GNU_LIBC_VERSION": "glibc 2.35\n",
    "file /sys/module/nvidia/version": "580.65.06\n",
    "probe pythons": json.dumps(['{"version": "3.12.3", "path": "/usr/bin/python3"}']),
    "probe nvml": json.dumps({"driver": "580.65.06", "gpus": [GPU]}),
    "probe scheduler": json.dumps({"slurm_commands": False, "slurmd": False}),
    "probe sources": json.dumps(
        {name: {"answers": True} for name in ("pypi", "pytorch", "vllm", "github")}
    ),
    "probe installer_config": json.dumps({"pip": {}, "uv": {}, "wheels": []}),
    "files /sys/bus/pci/devices/*/uevent": json.dumps(
        {"/sys/bus/pci/devices/0000:17:00.0/uevent": UEVENT}
    ),
}
RECORDING = json.dumps(
    {
        "schema": "vllm-ready/host/1",
        "taken": "2026-11-20T06:00:00Z",
        "tool": "vllm-ready 0.1.0",
        "readings": {key: {"outcome": "ok", "text": text} for key, text in TEXTS.items()},
    },
    indent=1,
)


def planned(text: str) -> Plan | Unsupported:
    return make_plan(from_text.parse(text, "host.txt"), Settings(), CATALOGUE)


def complaint(text: str) -> Failure | None:
    """Return the failure that the user sees if the text is refused; any other error is a bug."""
    try:
        planned(text)
    except Failure as failure:
        return failure
    return None


def is_told_or_planned(text: str) -> bool:
    failure = complaint(text)
    if failure is None:
        return True
    lines = str(failure).split("\n")
    return (
        failure.exit_code in (2, 3)
        and all(len(line.strip()) > 10 for line in lines)
        and len(lines) <= 2
    )


@pytest.mark.parametrize(
    "text", [RECORDING, COLLECT_ENV, YAML], ids=["recording", "collect_env", "description"]
)
@pytest.mark.parametrize("change", [str, lambda text: "\ufeff" + text, lambda text: "\n\n" + text])
def test_each_kind_is_read_as_what_it_is(text: str, change: Callable[[str], str]) -> None:
    host = from_text.parse(change(text), "host.txt")
    assert next(gpu.name for gpu in host.known(gpus.FACT) or ()) == "NVIDIA H100 80GB HBM3"
    assert (host.known(glibc.FACT), host.known(machine.FACT)) == ("2.35", "x86_64")
    assert isinstance(planned(change(text)), Plan)


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("windows", "WSL 2: it uses the driver of Windows"),
        ("macos", "vLLM's CPU wheels for macOS: on Apple silicon"),
    ],
)
def test_a_system_without_wheels_is_refused_by_its_name(name: str, way: str) -> None:
    text = (Path(__file__).parent / "collect_env" / f"{name}.txt").read_text()
    for variant in (
        text,
        re.sub("(GPU models and configuration: ).*", r"\1Could not collect", text),
    ):
        made = planned(variant)
        assert isinstance(made, Unsupported)
        assert name in made.unsupported[0].reasons[0].lower()
        assert made.advice[0].startswith(way)


@pytest.mark.parametrize(
    ("text", "where", "says", "hint"),
    [
        ("", "host.txt", "is empty", "./setup.sh host -o FILE"),
        (" \r\n\t\n", "host.txt", "is empty", "collect_env"),
        ("\0\0\0", "host.txt", "is empty", "collect_env"),
        ("hello", "host.txt:1", "is not a host description", "gpus: [{name: …}]"),
        ("Traceback (most recent call last):\nRuntimeError: no kernel image\n", "host.txt:1", "is not a host description", "YAML"),
        ("\x7fELF\x02\x01\x01\0\0\0", "host.txt:1", "is not a host description", "YAML"),
        ("PK\x03\x04\x14", "host.txt:1", "is not a host description", "YAML"),
        ("colour: red\n", "host.txt:1", "there is no `colour` here", "known: gpus"),
        ("- a\n- b\n", "host.txt:1", "a list does not fit here", "write {gpus: …}"),
        ("[1, 2]", "host.txt:1", "a list does not fit here", "write {gpus: …}"),
        ('{"schema": "vllm-ready/plan/1"}', "host.txt: schema", "is not a host recording", "./setup.sh host -o FILE"),
        ('{"schema": "vllm-ready/host/2"}', "host.txt: schema", "its schema is vllm-ready/host/2", "update this one"),
        ("{}", "host.txt: schema", "it names no schema", "./setup.sh host -o FILE"),
        (RECORDING[: len(RECORDING) // 2], "host.txt", "is not complete JSON", "record the host again"),
        (RECORDING[:2], "host.txt", "is not complete JSON", "record the host again"),
        (RECORDING.replace('"outcome": "ok"', '"outcome": "fine"', 1), "host.txt", "$.readings", "record the host again"),
        ("gpus: [{name: NVIDIA\n", "host.txt:2", "is not YAML", "missing bracket"),
        ("gpus:\n- name: a\n\x1b[0m\n", "host.txt:3", "contains a character", "right file"),
    ],
)  # fmt: skip
def test_a_text_that_is_none_of_them(text: str, where: str, says: str, hint: str) -> None:
    with pytest.raises(UnreadableInput) as caught:
        from_text.parse(text, "host.txt")
    assert caught.value.where == where
    assert says in caught.value.what
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "".join(f"\x1b[1;32m{line}\x1b[0m\n" for line in text.splitlines()),
        lambda text: "### Votre environnement\n<details><summary>La sortie de collect_env</summary>\n" + text + "</details>\n描述一下错误: 启动失败\n",
        lambda text: text[: text.index("Versions of relevant libraries")],
        lambda text: text[text.index("OS") :],
    ],
    ids=["windows", "colours", "other languages", "end cut off", "beginning cut off"],
)  # fmt: skip
def test_a_pasted_text_gives_the_same_plan_whatever_is_around_it(
    change: Callable[[str], str],
) -> None:
    assert change(COLLECT_ENV) != COLLECT_ENV
    whole, changed = planned(COLLECT_ENV), planned(change(COLLECT_ENV))
    assert isinstance(whole, Plan)
    assert isinstance(changed, Plan)
    assert changed.packages == whole.packages


def test_a_recording_from_a_newer_driver_and_a_future_gpu() -> None:
    future = RECORDING.replace("580.65.06", "1020.10").replace(
        "NVIDIA H100 80GB HBM3", "NVIDIA Z900"
    )
    made = planned(future.replace('\\"9.0\\"', '\\"21.0\\"'))
    assert isinstance(made, Unsupported)
    assert "(21.0): no published torch for x86_64 has code for it" in made.unsupported[0].reasons[0]
    failure = complaint(future.replace('\\"9.0\\"', "null"))
    assert failure is not None
    assert "`NVIDIA Z900` is unknown" in failure.what
    assert 'cc: "9.0"' in failure.hint


@pytest.mark.parametrize(
    "text",
    [
        RECORDING.replace('\\"9.0\\"', '\\"9\\"'),
        RECORDING.replace('\\"9.0\\"', '\\"nine\\"'),
        RECORDING.replace('\\"9.0\\"', f'\\"{"9" * 5000}.0\\"'),
        RECORDING.replace("10DE:2330", "10DE:XYZ").replace("[{", "[]//"),
        RECORDING.replace("probe nvml", "probe gone").replace("10DE:2330", "10DE:ZZZZ"),
        RECORDING.replace("3.12.3", "3"),
        RECORDING.replace("3.12.3", "3.12rc1"),
        RECORDING.replace("3.12.3", f"3.{'9' * 5000}"),
        RECORDING.replace("3.12.3", "2.7.18"),
        RECORDING.replace("glibc 2.35", f"glibc 2.{'9' * 5000}"),
        RECORDING.replace("580.65.06", f"580.{'6' * 5000}"),
        RECORDING.replace("x86_64", "riscv64"),
        RECORDING.replace("85899345920", "-1"),
        RECORDING.replace("85899345920", "9" * 400),
        COLLECT_ENV.replace("2.35", "2." + "9" * 5000),
        MIG.replace("MIG", "MIG MIG"),
        YAML.replace("580.65.06", "999.99"),
        YAML.replace("x86_64", "riscv64"),
        YAML.replace('"9.0"', '"99.9"'),
        YAML.replace("count: 2", "count: 1024"),
    ],
)
def test_damage_that_only_the_planner_meets(text: str) -> None:
    assert is_told_or_planned(text)


def test_the_worst_texts_end_quickly() -> None:
    began = time.monotonic()
    for text in (
        "gpus: " + "[" * 200_000,
        "{" * 200_000,
        '{"a":' * 100_000,
        "gpus: " + "{a: " * 50_000,
        "a" * 10**6,
    ):
        assert complaint(text)
    assert time.monotonic() - began < 5


KINDS = st.sampled_from([RECORDING, COLLECT_ENV, MIG, YAML])
NASTY = st.sampled_from(
    ["\0", "\ud800", "\ufeff", "\x1b[31m", "\r", "\\", '"', "'", "[", "{", "&a ", "*a", "!!map ", "<<: *a\n", "---\n",
     "9" * 5000, "-1", "1e999", "NaN", "null", "true", "٣", "GPU 0: NVIDIA L4\n", "  MIG 1g.10gb Device 0:\n", ": "]
)  # fmt: skip
FEW = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FEW
@given(st.text(max_size=200))
def test_any_text_at_all(text: str) -> None:
    assert is_told_or_planned(text)


@FEW
@given(
    KINDS,
    st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 30), NASTY | st.text(max_size=8)),
        min_size=1,
        max_size=4,
    ),
)
def test_any_damage_to_a_good_text(text: str, wounds: list[tuple[float, int, str]]) -> None:
    for place, cut, put in wounds:
        at = int(place * len(text))
        text = text[:at] + put + text[at + cut :]
    assert is_told_or_planned(text)


@FEW
@given(KINDS, st.floats(0, 1), st.floats(0, 1))
def test_any_part_of_a_good_text(text: str, first: float, last: float) -> None:
    start, end = sorted((int(first * len(text)), int(last * len(text))))
    assert is_told_or_planned(text[start:end])


@FEW
@given(
    st.dictionaries(
        st.sampled_from(sorted(TEXTS)),
        NASTY | st.text(max_size=30) | st.sampled_from(sorted(TEXTS.values())),
    )
)
def test_any_readings(changed: dict[str, str]) -> None:
    document = json.loads(RECORDING)
    document["readings"] |= {key: {"outcome": "ok", "text": text} for key, text in changed.items()}
    assert is_told_or_planned(json.dumps(document))


@FEW
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "index": st.integers(-1, 3),
            "name": st.none()
            | st.text(max_size=10)
            | st.sampled_from(["NVIDIA L4", "GRID T4-16Q", "Orin (nvgpu)"]),
            "cc": st.none()
            | st.text(max_size=4)
            | st.sampled_from(["9.0", "7.0", "8.7", "3.5", "12.1", "1.0"]),
            "memory": st.none() | st.integers(-5, 2**62),
            "mig": st.booleans(),
            "slices": st.lists(
                st.fixed_dictionaries(
                    {"index": st.integers(0, 9)}, optional={"name": st.text(max_size=9)}
                )
            ),
        },
    )
)
def test_any_gpu(changed: dict[str, object]) -> None:
    document = json.loads(RECORDING)
    answer = json.dumps({"driver": "580.65.06", "gpus": [{**GPU, **changed}]})
    document["readings"]["probe nvml"]["text"] = answer
    assert is_told_or_planned(json.dumps(document))
