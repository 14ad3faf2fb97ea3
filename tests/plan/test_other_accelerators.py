"""Hosts with accelerators and systems that no plan is made for: what is refused, what is advised."""

from __future__ import annotations

import re

import pytest

from provision.catalog import rows
from provision.host import from_text, pci_gpus
from provision.plan._model import Plan, Unsupported
from provision.session.planning import make_plan
from provision.settings import load
from tests.host.test_accelerators import HEAD, NONE, bus
from tests.plan.recordings import BARE, CATALOGUE, no_plan, plan

AMD = f"{HEAD}GPU models and configuration: AMD Instinct MI300X (gfx942:sramecc+)\n"


def made(text: str, *settings: str) -> Plan | Unsupported:
    host = from_text.parse(text, "issue.txt")
    return make_plan(host, load(None, "config.yaml", settings), rows.load())


def refused(text: str, *settings: str) -> tuple[str, str]:
    """Return the reasons and the advice, each as one text."""
    result = made(text, *settings)
    assert isinstance(result, Unsupported), result
    reasons = [reason for group in result.unsupported for reason in group.reasons]
    return "\n".join(reasons), "\n".join(result.advice)


def test_an_amd_gpu_comes_first_with_its_name_and_what_runs_there() -> None:
    reasons, advice = refused(AMD)
    assert reasons.startswith("AMD Instinct MI300X (gfx942): vllm-ready plans for NVIDIA GPUs")
    assert re.search(r"vLLM [\d.]+ on PyPI is built for CUDA [\d.]+ and does not run", reasons)
    assert "vllm#44660" in reasons
    assert "for Python 3.12 only" in advice
    assert "vllm/vllm-openai-rocm" in advice
    assert advice.splitlines()[-1].endswith("--set profile=cpu")


def test_what_this_host_cannot_do_is_a_reason_and_no_advice() -> None:
    reasons, advice = refused(AMD.replace("glibc-2.39", "glibc-2.31").replace("glibc2.39", ""))
    assert "vLLM's ROCm wheels: for glibc 2.35 or newer; this host has 2.31" in reasons
    assert "wheels.vllm.ai" not in advice
    assert "vllm/vllm-openai-rocm" in advice


def test_an_amd_gpu_without_code_in_vllm_gets_what_remains() -> None:
    reasons, advice = refused(AMD.replace("MI300X (gfx942", "MI50 (gfx906"))
    assert "vLLM's ROCm image: no code for gfx906" in reasons
    assert "vllm-openai-rocm" not in advice
    assert advice.startswith("llama.cpp")


def test_the_first_gaudi_is_too_old_for_the_plugin() -> None:
    reasons, advice = refused(f"{HEAD}{NONE}HPU devices: 8x HL-205\n")
    assert "the plugin vllm-gaudi: no code for Gaudi 1, only for Gaudi 2, Gaudi 3" in reasons
    assert "vllm-gaudi" not in advice


@pytest.mark.parametrize(
    ("pci_id", "supported"),
    [("1002:74A1", True), ("1002:744C", True), ("1002:73FF", False), ("1002:66A1", False)],
)
def test_the_architecture_of_a_product_decides(pci_id: str, supported: bool) -> None:
    result = no_plan({**BARE, pci_gpus.SOURCE.key: bus((pci_id, "30000"))})
    advice = "\n".join(result.advice)
    assert ("vllm-openai-rocm" in advice) is supported
    assert ("llama.cpp" in advice) is not supported


def test_wsl_has_no_device_files_to_pass_on() -> None:
    inside = AMD.replace("6.8.0-60-generic", "6.6.87.2-microsoft-standard-WSL2")
    reasons, advice = refused(inside)
    assert "vLLM's ROCm image: for /dev/kfd and /dev/dri, which WSL does not have" in reasons
    assert "vLLM's ROCm wheels" in advice


@pytest.mark.parametrize(
    ("line", "name", "way"),
    [
        ("[pip3] torch-npu==2.5.1", "Ascend NPU", "vllm-ascend"),
        ("[pip3] torch-neuronx==2.5.1", "AWS Neuron device", "vllm-neuron"),
        ("[pip3] torch-xla==2.6.0", "Google TPU", "vllm-tpu"),
        ("HPU devices: 8x HL-225", "Intel HL-225", "vllm-gaudi"),
        ("XPU used to build PyTorch: 20260000", "Intel GPU", "vllm-openai-xpu"),
        ("[pip3] torch==2.4.1+das.opt1.dtk25041", "Hygon DCU", "DTK"),
    ],
)
def test_each_kind_has_its_way(line: str, name: str, way: str) -> None:
    reasons, advice = refused(f"{HEAD}{NONE}{line}\n")
    assert reasons.startswith(f"{name}: ")
    assert way in advice


def test_a_text_that_lacks_the_rest_is_refused_all_the_same() -> None:
    reasons, advice = refused("GPU[0]\t\t: Card Series: \t\tAMD Instinct MI300X OAM\n")
    assert reasons.startswith("AMD Instinct MI300X OAM: ")
    assert "profile=cpu" not in advice  # a CPU plan needs facts that the text does not have


@pytest.mark.parametrize("text", [AMD, f"{HEAD}{NONE}[pip3] torch-npu==2.5.1\n"])
def test_the_settings_can_ask_for_the_cpu(text: str) -> None:
    result = made(text, "profile=cpu")
    assert isinstance(result, Plan)
    assert result.profile == "cpu"
    assert any("the plan uses the CPU only" in warning for warning in result.warnings)


def test_an_nvidia_gpu_is_planned_for_beside_another_accelerator() -> None:
    text = (
        f"{HEAD}GPU models and configuration: GPU 0: NVIDIA L4\nNvidia driver version: 580.65.06\n"
    )
    result = made(f"{text}01:00.0 VGA compatible controller: AMD/ATI Navi 31 [Radeon RX 7900 XT]\n")
    assert isinstance(result, Plan)
    assert result.profile == "cuda"
    assert any("the plan uses NVIDIA GPUs only" in warning for warning in result.warnings)


def test_the_bus_of_this_host() -> None:
    devices = bus(("1A03:2000", "30000"), ("1002:74A1", "120000"), ("1002:74A1", "120000"))
    result = no_plan({**BARE, pci_gpus.SOURCE.key: devices})
    (group,) = result.unsupported
    assert group.subject == "accelerator"
    assert group.reasons[0].startswith("AMD Instinct MI300X (1002:74a1): ")


@pytest.mark.parametrize(
    ("pci_id", "kind"),
    [
        ("8086:46A6", "30000"),  # Intel laptop
        ("1002:1638", "30000"),  # Ryzen
        ("1A03:2000", "30000"),  # ASPEED
        ("102B:0538", "30000"),  # Matrox
        ("1AF4:1050", "38000"),  # virtio
        ("1234:1111", "30000"),  # QEMU
    ],
)
def test_a_display_never_changes_a_plan(pci_id: str, kind: str) -> None:
    with_display = plan({**BARE, pci_gpus.SOURCE.key: bus((pci_id, kind))})
    assert with_display == plan(BARE)
    assert with_display.profile == "cpu"


@pytest.mark.parametrize(
    ("system", "lines", "way"),
    [
        ("Windows", "OS: Microsoft Windows 11 Pro\nPython platform: Windows-10-SP0\n", "WSL 2"),
        ("macOS", "OS: macOS 15.3 (arm64)\nPython platform: macOS-15.3-arm64\n", "vllm-metal"),
    ],
)
def test_other_systems_are_one_sentence_and_a_way(system: str, lines: str, way: str) -> None:
    text = (
        f"{lines}GPU models and configuration: GPU 0: NVIDIA GeForce RTX 4090\nLibc version: N/A\n"
    )
    reasons, advice = refused(text)
    assert reasons == f"vllm-ready plans for Linux, and this host runs {system}"
    assert way in advice


def test_every_kind_has_a_row_and_a_way() -> None:
    kinds = {row.kind for row in CATALOGUE.accelerators}
    assert {way.kind for way in CATALOGUE.ways} == kinds | {"windows", "macos"}
    # The names of devices are those of the same ids that the bus is read by.
    from provision.host.accelerators import by_pci_id

    for row in CATALOGUE.accelerators:
        for pci_id in row.devices:
            device = by_pci_id(pci_id, "30000")
            assert device is not None, pci_id
            assert device.kind == row.kind
    # Every Instinct and RX has an architecture, by the pattern of its name.
    (amd,) = [row for row in CATALOGUE.accelerators if row.kind == "amd"]
    named = [name for name in amd.devices.values() if "Instinct MI" in name or "RX" in name]
    without = [n for n in named if not any(re.search(key, n) for key in amd.arch_of)]
    assert len(named) > 40
    assert without == []


DESCRIBED = 'gpus: [{name: AMD Instinct MI300X, count: 8}]\npython: "3.12"\nglibc: "2.39"\nmachine: x86_64\n'


def test_a_described_accelerator_is_named_too() -> None:
    reasons, advice = refused(DESCRIBED)
    assert reasons.startswith("AMD Instinct MI300X: ")
    assert "wheels.vllm.ai/rocm" in advice
    result = made(DESCRIBED, "profile=cpu")
    assert isinstance(result, Plan)
    assert result.profile == "cpu"
