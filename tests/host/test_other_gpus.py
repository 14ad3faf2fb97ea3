"""GPUs of other makers, on the bus and in pasted texts, and their plans; Windows is refused."""

from __future__ import annotations

import pytest

from provision.catalog import rows
from provision.host import from_text, other_gpus, pci_gpus
from provision.plan._model import Plan, Unsupported
from provision.session.planning import make_plan
from provision.settings import Settings
from tests.host.recorded import value
from tests.plan.recordings import BARE, plan

LINUX = """PyTorch version: 2.9.0
OS: Ubuntu 24.04.3 LTS (x86_64)
Libc version: glibc-2.39
Python version: 3.12.3 (64-bit runtime)
Python platform: Linux-6.8.0-60-generic-x86_64-with-glibc2.39
Nvidia driver version: Could not collect
Model name: AMD Ryzen 7 5800H with Radeon Graphics
"""
WINDOWS = """PyTorch version: 2.5.1+cu124
OS: Microsoft Windows 11 Pro (10.0.22631 64-bit)
Libc version: N/A
Python version: 3.11.9 [MSC v.1938 64 bit (AMD64)] (64-bit runtime)
Python platform: Windows-10-10.0.22631-SP0
GPU models and configuration: GPU 0: NVIDIA GeForce RTX 4090
Nvidia driver version: 560.94
"""


def made(text: str) -> Plan | Unsupported:
    return make_plan(from_text.parse(text, "issue.txt"), Settings(), rows.load())


def bus(*devices: tuple[str, str, str]) -> dict[str, str]:
    return {
        f"/sys/bus/pci/devices/{slot}/uevent": f"PCI_CLASS={kind}\nPCI_ID={pci_id}\nPCI_SLOT_NAME={slot}\n"
        for slot, pci_id, kind in devices
    }


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (
            "GPU models and configuration: AMD Instinct MI300X (gfx942:sramecc+:xnack-)",
            "AMD Instinct MI300X",
        ),
        ("GPU models and configuration: GPU 0: AMD Instinct MI300X", "AMD Instinct MI300X"),
        ("GPU 0: AMD Radeon RX 7900 XTX", "AMD Radeon RX 7900 XTX"),
        ("GPU models and configuration: Radeon RX 7900 XTX", "AMD Radeon RX 7900 XTX"),
        (
            "Intel GPU models onboard: \n* Intel(R) Data Center GPU Max 1550",
            "Intel(R) Data Center GPU Max 1550",
        ),
        ("GPU 0: Intel(R) Arc(TM) A770 Graphics", "Intel(R) Arc(TM) A770 Graphics"),
    ],
)
def test_a_pasted_text_that_lists_one_is_planned_for_the_cpu_with_a_warning(
    line: str, name: str
) -> None:
    none = "" if "models and" in line else "GPU models and configuration: No CUDA\n"
    result = made(f"{LINUX}{none}{line}\n")
    assert isinstance(result, Plan)
    assert result.profile == "cpu"
    assert f"this host has an {name}: the plan uses NVIDIA GPUs only" in result.warnings


def test_the_graphics_of_a_processor_are_no_gpu() -> None:
    result = made(f"{LINUX}GPU models and configuration: No CUDA\n")
    assert isinstance(result, Plan)
    assert not any("NVIDIA GPUs only" in warning for warning in result.warnings)


BUS = bus(
    ("0000:00:02.0", "8086:4692", "30000"),  # in the processor
    ("0000:03:00.0", "1A03:2000", "30000"),  # the board's management
    ("0000:05:00.0", "1002:74A1", "120000"),
    ("0000:15:00.0", "1002:74A1", "120000"),
    ("0000:25:00.0", "8086:0BD5", "38000"),
    ("0000:35:00.0", "8086:1593", "20000"),  # a network card
)


def test_on_the_bus_of_a_recording() -> None:
    readings = {pci_gpus.SOURCE.key: BUS}
    assert value(other_gpus.FACT, readings) == (
        "AMD GPU (1002:74a1)",
        "AMD GPU (1002:74a1)",
        "Intel GPU (8086:0bd5)",
    )
    result = plan({**BARE, **readings})
    assert isinstance(result, Plan)
    sentence = "this host has an AMD GPU (1002:74a1) and an Intel GPU (8086:0bd5): the plan uses NVIDIA GPUs only"
    assert sentence in result.warnings


@pytest.mark.parametrize("more", ["", "Architecture: AMD64\n"])
def test_windows_is_one_sentence(more: str) -> None:
    result = made(WINDOWS + more)
    assert isinstance(result, Unsupported)
    ((reason,),) = [item.reasons for item in result.unsupported]
    assert reason.startswith("vLLM publishes nothing for Windows: use WSL 2")


def test_linux_inside_windows_is_linux() -> None:
    inside = LINUX.replace("6.8.0-60-generic", "5.15.153.1-microsoft-standard-WSL2")
    assert isinstance(made(f"{inside}GPU models and configuration: No CUDA\n"), Plan)
