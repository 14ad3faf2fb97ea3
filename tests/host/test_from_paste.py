"""host/from_paste.py: pasted texts, each with the values that it contains; and noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.host import driver, from_paste, from_text, gpu_links, gpus
from provision.host._model import Host, Missing
from provision.host.cpu import Cpu
from provision.host.pythons import Python

FOLDER = Path(__file__).with_name("collect_env")
NAMES = sorted(path.stem for path in FOLDER.glob("*.txt"))
H100 = (FOLDER / "vllm-2xh100.txt").read_text()


def described(host: Host) -> dict[str, Any]:
    """Return the facts of the host in the form of the JSON files."""
    values = dict(host._values)
    readings: dict[str, Any] = {
        name: value.why for name, value in values.items() if isinstance(value, Missing)
    }
    result = {name: value for name, value in values.items() if not isinstance(value, Missing)}
    for name in ("glibc", "machine", "wsl", "packages"):
        if name in result:
            readings[name] = result[name]
    if "gpus" in result:
        listed: tuple[gpus.Gpu, ...] = result["gpus"]
        readings["gpus"] = [[gpu.id, gpu.name] for gpu in listed]
        slices = [[part.id, part.profile, part.memory_gb] for gpu in listed for part in gpu.slices]
        capabilities = [gpu.cc for gpu in listed if gpu.cc]
        readings |= {"slices": slices} if slices else {}
        readings |= {"cc": capabilities} if capabilities else {}
        readings |= {"integrated": True} if any(gpu.integrated for gpu in listed) else {}
    if "driver" in result:
        readings["driver"] = result["driver"].version
    if "pythons" in result:
        (python,) = result["pythons"]
        readings["python"] = python.version
    if "gpu_links" in result:
        readings["links"] = [[link.a, link.b, link.kind] for link in result["gpu_links"].pairs]
    return readings | ({"cpu": result["cpu"]} if "cpu" in result else {})


def expected(name: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    if "cpu" in values:
        values["cpu"] = msgspec.convert(values["cpu"], Cpu)
    return values


def parsed(text: str) -> dict[str, Any]:
    return described(from_text.parse(text, "the text"))


@pytest.mark.parametrize("name", NAMES)
def test_what_a_text_says(name: str) -> None:
    text = (FOLDER / f"{name}.txt").read_text()
    assert from_paste.looks_like(text)
    assert parsed(text) == expected(name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "wrapped", ["windows", "colours", "quoted", "indented", "listed", "no-break spaces"]
)
def test_what_pasting_puts_around_it_changes_nothing(name: str, wrapped: str) -> None:
    lines = (FOLDER / f"{name}.txt").read_text().splitlines()
    text = {
        "windows": "\r\n".join(lines) + "\r\n",
        "colours": "".join(f"\x1b[32m{line}\x1b[0m\n" for line in lines),
        "quoted": "".join(f"> {line}\n" for line in lines),
        "indented": "".join(f"      {line}\n" for line in lines),
        "listed": "- my environment:\n" + "".join(f"    - {line}\n" for line in lines),
        "no-break spaces": "\n".join(lines).replace(" ", "\u00a0") + "\n",
    }[wrapped]
    assert from_paste.looks_like(text)
    assert parsed(text) == expected(name)


def test_a_text_that_ends_inside_a_name_is_not_another_gpu() -> None:
    text = "GPU models and configuration: \nGPU 0: NVIDIA A100-SXM4-80GB\nGPU 1: NVIDIA A10"
    assert parsed(text)["gpus"] == [["0", "NVIDIA A100-SXM4-80GB"], ["1", "NVIDIA A100-SXM4-80GB"]]
    assert parsed(text + "\n")["gpus"][1] == ["1", "NVIDIA A10"]


def test_the_list_of_another_host_behind_it_is_not_this_host() -> None:
    other = "GPU models and configuration: \n" + "".join(f"GPU {n}: NVIDIA L4\n" for n in range(8))
    assert parsed(H100 + other)["gpus"] == expected("vllm-2xh100")["gpus"]


def test_a_capability_beside_the_name() -> None:
    assert parsed("GPU 0: NVIDIA A100-SXM4-80GB (arch=8.0)\n") == {
        "gpus": [["0", "NVIDIA A100-SXM4-80GB"]],
        "cc": ["8.0"],
    }


def test_the_driver_from_the_table_of_nvidia_smi() -> None:
    table = "| NVIDIA-SMI 580.65.06   Driver Version: 580.65.06   CUDA Version: 13.0 |\n"
    assert parsed(table) == {"driver": "580.65.06"}


def test_what_the_text_does_not_say_stays_missing() -> None:
    host = from_text.parse("OS: Ubuntu 24.04 LTS (x86_64)\nGCC version: 13.3.0\n", "env.txt")
    assert host.value(gpus.FACT) == Missing(why="not read", detail="the description does not say")
    assert host.value(driver.FACT) == Missing(why="not read", detail="the description does not say")


def test_the_message_names_the_text() -> None:
    host = from_text.parse("Nvidia driver version: 58", "env.txt")
    assert host.value(driver.FACT) == Missing(why="unparsable", detail="env.txt says '58'")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "gpus: [{name: NVIDIA L4}]\npython: '3.12'\nglibc: '2.35'\nmachine: x86_64\n",
        '{"schema": "vllm-ready/host/1", "readings": {}}',
        "Traceback (most recent call last):\nRuntimeError: CUDA error: no kernel image is available\n",
        "OS: Ubuntu\n",
    ],
)
def test_other_texts_do_not_look_like_it(text: str) -> None:
    assert not from_paste.looks_like(text)


def check_types(text: str) -> None:
    """Read any text without an error, and check the types of the facts in it."""
    from_paste.looks_like(text)
    found = from_paste.read(text, "noise")
    host = Host(described={fact: told.value for fact, told in found.items()})
    assert all(gpu.name and gpu.id.isdecimal() for gpu in host.known(gpus.FACT) or ())
    known = host.known(driver.FACT)
    assert known is None or driver.version_in(known.version) == known.version
    links = host.known(gpu_links.FACT)
    assert links is None or all(link.kind for link in links.pairs)
    assert all(isinstance(python, Python) for python in host._values.get("pythons", ()))


@settings(max_examples=150, deadline=None)
@given(start=st.integers(0, len(H100)), end=st.integers(0, len(H100)))
def test_cut_anywhere(start: int, end: int) -> None:
    check_types(H100[start:end])


@settings(max_examples=100, deadline=None)
@given(noise=st.lists(st.tuples(st.integers(0, 90), st.text(max_size=60)), max_size=8))
def test_foreign_lines_between(noise: list[tuple[int, str]]) -> None:
    lines = H100.splitlines()
    for place, line in noise:
        lines.insert(place, line)
    text = "\n".join(lines)
    check_types(text)
    assert from_paste.looks_like(text)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=80),
            st.from_regex(r"GPU \d{1,4}: ?.{0,20}", fullmatch=True),
            st.from_regex(r"  MIG \d[cg]\.\d{1,4}gb +Device +\d{1,3}:", fullmatch=True),
            st.builds(
                "{}: {}".format,
                st.sampled_from(
                    [
                        "Nvidia driver version",
                        "GPU models and configuration",
                        "CPU(s)",
                        "Flags",
                        "OS",
                    ]
                ),
                st.text(max_size=30),
            ),
            st.sampled_from(["GPU0\tGPU1", "GPU0 X NV4", "\x1b[0m", "```", "Python version: ٣.١٢"]),
        ),
        max_size=15,
    ).map("\n".join)
)
def test_noise_is_read_without_a_traceback(text: str) -> None:
    check_types(text)
