"""`host FILE`: each fact with its line, the facts left open, contradictions, assumptions."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from provision.host import assume, from_text, record, what_was_read
from provision.host._model import Host
from provision.host.facts_read import ReadGpu
from provision.host.what_was_read import HostRead

COLLECT = """\
PyTorch version: 2.9.0+cu128
OS: Ubuntu 24.04.1 LTS (x86_64)
GCC version: (Ubuntu 13.3.0-6ubuntu2~24.04) 13.3.0
Python version: 3.12.3 (main)
Is CUDA available: True
CUDA runtime version: 12.8.93
GPU models and configuration:
GPU 0: NVIDIA L40S
GPU 1: NVIDIA L40S

Nvidia driver version: 570.124.06
[pip3] nvidia-nccl-cu12==2.27.5
[pip3] flash_attn==2.8.3
vLLM Version: 0.11.2
HF_TOKEN=hf_0123456789abcdefghij
VLLM_USE_V1=1
"""


def read(text: str) -> HostRead:
    return what_was_read.document(from_text.read(text, "the text"))


def lines(document: HostRead, fact: str) -> list[tuple[int, str]]:
    return [(line.line, line.text) for line in document.from_[fact]]


def test_each_fact_has_its_line() -> None:
    document = read(COLLECT)
    facts = document.facts
    assert document.kind == "paste"
    assert facts.gpus == (ReadGpu(name="NVIDIA L40S"),) * 2
    assert (facts.driver, facts.python, facts.torch) == ("570.124.06", "3.12.3", "2.9.0+cu128")
    assert (facts.vllm, facts.flash_attn, facts.nccl) == ("0.11.2", "2.8.3", "2.27.5")
    assert (facts.os, facts.gcc, facts.cuda_toolkit) == ("Ubuntu 24.04.1 LTS", "13.3.0", "12.8.93")
    assert (facts.cuda_available, facts.glibc, facts.machine) == (True, None, "x86_64")
    assert lines(document, "driver") == [(11, "Nvidia driver version: 570.124.06")]
    assert lines(document, "gpus") == [(8, "GPU 0: NVIDIA L40S"), (9, "GPU 1: NVIDIA L40S")]
    assert lines(document, "vllm") == [(14, "vLLM Version: 0.11.2")]


def test_secrets_of_a_text_are_not_shown() -> None:
    document = read(COLLECT)
    assert document.facts.environment == {"HF_TOKEN": "set", "VLLM_USE_V1": "1"}
    assert b"hf_0123456789" not in msgspec.json.encode(document)


def test_what_is_open_is_named_with_a_line_that_works() -> None:
    document = read(COLLECT.replace("Nvidia driver version", "Driver"))
    assert {fact.fact: fact.decisive for fact in document.missing} == {
        "driver": True,
        "glibc": False,
    }
    text = "".join(f"{fact.add}\n" for fact in document.missing)
    added = read(COLLECT.replace("Nvidia driver version", "Driver") + text)
    assert added.missing == ()
    assert (added.facts.driver, added.facts.glibc) == ("580.65.06", "2.35")


@pytest.mark.parametrize(
    ("added", "says"),
    [
        (
            "| NVIDIA-SMI 535.1   Driver Version: 535.161.08 |",
            "570.124.06 (line 11) and 535.161.08",
        ),
        ("Python version: 3.10.4", "python: 3.12.3 (line 4) and 3.10.4 (line 17)"),
        ("GPU 0: NVIDIA A100-SXM4-80GB", "GPUs: 2 from line 8 and 1 from line 17"),
    ],
)
def test_contradictions(added: str, says: str) -> None:
    (found,) = read(f"{COLLECT}{added}\n").contradictions
    assert says in found


def test_a_shorter_form_is_no_contradiction() -> None:
    assert read(f"{COLLECT}Python version: 3.12\n").contradictions == ()
    # Python names the glibc that its own file asks for.
    platform = "Libc version: glibc-2.39\nPython platform: Linux-6.8.0-x86_64-with-glibc2.29\n"
    document = read(COLLECT + platform)
    assert (document.facts.glibc, document.contradictions) == ("2.39", ())


def test_torch_that_cannot_use_the_listed_gpus() -> None:
    document = read(COLLECT.replace("available: True", "available: False"))
    assert "torch could use none" in document.contradictions[0]


@pytest.mark.parametrize(
    ("line", "glibc", "because"),
    [
        ("OS: Ubuntu 20.04.6 LTS (x86_64)", "2.31", "Ubuntu 20.04.6 LTS has it"),
        ("OS: Rocky Linux release 8.10 (Green Obsidian) (x86_64)", "2.28", "Rocky"),
        ("OS: Debian GNU/Linux 12 (bookworm) (x86_64)", "2.36", "Debian"),
        ("OS: Chainguard (x86_64)", "2.35", "does not tell"),
        ("", "2.35", "names it or the system"),
    ],
)
def test_glibc_is_assumed_by_the_system(line: str, glibc: str, because: str) -> None:
    text = COLLECT.replace("OS: Ubuntu 24.04.1 LTS (x86_64)", line)
    (said,) = [said for said in read(text).assumed if said.fact == "glibc"]
    assert said.value == glibc
    assert because in said.because


def test_the_machine_is_assumed_by_the_gpu() -> None:
    (said,) = assume.complete(
        from_text.parse("gpus: [{name: NVIDIA GH200}]\nglibc: '2.35'\n", "x")
    )[1][:1]
    assert (said.fact, said.value) == ("machine", "aarch64")


def test_gpus_and_driver_are_never_assumed() -> None:
    host, assumed = assume.complete(Host(described={}))
    assert {said.fact for said in assumed} == {"machine", "glibc", "python"}
    assert {said.fact for said in assume.complete(host)[1]} == set()


def test_a_description_and_a_recording() -> None:
    text = 'gpus:\n- {name: NVIDIA L4, count: 2}\ndriver: "580.65.06"\n'
    document = read(text)
    assert document.kind == "description"
    assert lines(document, "driver") == [(3, 'driver: "580.65.06"')]
    assert document.missing[0].add == 'python: "3.12"'
    recording = record.to_json(record.of_text(COLLECT)).decode()
    assert b"hf_0123456789" not in recording.encode()
    again = read(recording)
    assert (again.kind, again.facts.driver) == ("paste", "570.124.06")


@pytest.mark.parametrize(
    ("line", "name", "maker"),
    [
        ("GPU 0: AMD Instinct MI300X (gfx942)", "AMD Instinct MI300X", "AMD"),
        ("HPU devices: 8x Gaudi3", "Gaudi3", "Intel"),
    ],
)
def test_other_makers(line: str, name: str, maker: str) -> None:
    text = COLLECT.replace("GPU 0: NVIDIA L40S\nGPU 1: NVIDIA L40S\n", f"{line}\n")
    facts: Any = read(text).facts
    assert [(gpu.name, gpu.maker) for gpu in facts.gpus] == [(name, maker)]
