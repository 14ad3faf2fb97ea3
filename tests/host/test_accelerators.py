"""Accelerators that are not NVIDIA's: on the bus, and in everything that people paste."""

from __future__ import annotations

import pytest

from provision.host import accelerators, from_text, gpus, pci_gpus
from provision.host.accelerators import Accelerator
from tests.host.recorded import value

HEAD = """PyTorch version: 2.9.0
OS: Ubuntu 24.04.3 LTS (x86_64)
Libc version: glibc-2.39
Python version: 3.12.3 (64-bit runtime)
Python platform: Linux-6.8.0-60-generic-x86_64-with-glibc2.39
"""
NONE = "GPU models and configuration: No CUDA\nNvidia driver version: No CUDA\n"


def read(text: str) -> tuple[Accelerator, ...]:
    return from_text.parse(text, "issue.txt").known(accelerators.FACT) or ()


def bus(*devices: tuple[str, str]) -> dict[str, str]:
    """Return the PCI folder of a kernel with devices of these ids and classes."""
    return {
        f"/sys/bus/pci/devices/0000:{slot:02x}:00.0/uevent": (
            f"PCI_CLASS={kind}\nPCI_ID={pci_id}\nPCI_SLOT_NAME=0000:{slot:02x}:00.0\n"
        )
        for slot, (pci_id, kind) in enumerate(devices)
    }


@pytest.mark.parametrize(
    ("line", "kind", "name", "arch"),
    [
        ("AMD Instinct MI300X (gfx942:sramecc+:xnack-)", "amd", "AMD Instinct MI300X", "gfx942"),
        ("GPU 0: AMD Instinct MI300X", "amd", "AMD Instinct MI300X", ""),
        ("Radeon RX 7900 XTX (gfx1100)", "amd", "Radeon RX 7900 XTX", "gfx1100"),
        (" (gfx950:sramecc+:xnack-)", "amd", "", "gfx950"),
        ("AMD Radeon Graphics (gfx906:sramecc+:xnack-)", "amd", "AMD Radeon Graphics", "gfx906"),
        ("AMD Radeon Graphics (gfx1151)", "amd", "AMD Radeon Graphics", "gfx1151"),
        ("AMD Radeon AI PRO R9700 (gfx1201)", "amd", "AMD Radeon AI PRO R9700", "gfx1201"),
        ("K100_AI (gfx928:sramecc+:xnack-)", "hygon", "K100_AI", "gfx928"),
        ("BW1000 (gfx936:sramecc+:xnack-)", "hygon", "BW1000", "gfx936"),
        ("GPU 0: Intel(R) Arc(TM) A770 Graphics", "intel", "Intel(R) Arc(TM) A770 Graphics", ""),
        ("GPU 0: MetaX C500", "metax", "MetaX C500", ""),
        ("GPU 0: Iluvatar BI-V150", "iluvatar", "Iluvatar BI-V150", ""),
    ],
)
def test_the_list_of_collect_env(line: str, kind: str, name: str, arch: str) -> None:
    text = f"{HEAD}GPU models and configuration: {line}\n"
    assert read(text) == (Accelerator(kind=kind, name=name, arch=arch),)


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("Intel GPU models onboard: \n* Intel(R) Data Center GPU Max 1550", "intel", "1550"),
        ("Intel GPU models : GPU 0: Intel(R) Graphics [0xe223]   # Arc Pro B70", "intel", "Intel"),
        ("* [0] _XpuDeviceProperties(name='Intel(R) Arc(TM) B580 Graphics', ty", "intel", "B580"),
        ("| 0 | Device Name: Intel(R) Data Center GPU Flex 170 |", "intel", "Flex 170"),
        ("HPU devices: 8x HL-325L", "gaudi", "HL-325L"),
        ("|   0  HL-225              N/A  | 0000:33:00.0     N/A |", "gaudi", "HL-225"),
        ("| 0     910B1               | OK            | 93.1        36 |", "ascend", "910B1"),
        ("NPU 0,1: Ascend910B3", "ascend", "Ascend910B3"),
        ("GPU 0,1,2,3: AMD Instinct MI325X", "amd", "MI325X"),
        ("Graphics: Device-1: AMD Navi 31 [Radeon RX 7900 XT] driver: amdgpu", "amd", "7900 XT"),
        ("       product: Navi 21 [Radeon RX 6800/6800 XT]", "amd", "RX 6800"),
        ("- GPU: 8 x AMD Instinct MI300X", "amd", "MI300X"),
        ("GPU[0]\t\t: Card Series: \t\tAMD Instinct MI300X OAM", "amd", "MI300X OAM"),
        ("  Marketing Name:          AMD Instinct MI210", "amd", "MI210"),
        ("| 0000:05:00.0    AMD Instinct MI300X | 0 %      40 C |", "amd", "MI300X"),
        ("        MARKET_NAME: AMD Instinct MI355X", "amd", "MI355X"),
        ("05:00.0 VGA compatible controller: AMD/ATI Navi 31 [Radeon RX 7900 XT]", "amd", "7900"),
        ("│ /dev/vfio/0 │ TPU v6e chip │ 1 │ 0 │".replace("│ /", "/"), "tpu", "TPU v6e"),
    ],
)
def test_what_other_programs_list(text: str, kind: str, name: str) -> None:
    (accelerator,) = read(f"{text}\n")
    assert accelerator.kind == kind
    assert name in accelerator.name


@pytest.mark.parametrize(
    ("line", "kind", "name", "pci_id"),
    [
        (
            "c1:00.0 Processing accelerators [1200]: AMD/ATI Aqua [1002:74a1] (rev 01)",
            "amd",
            "",
            "1002:74a1",
        ),
        (
            "0b:00.0 Processing accelerators: Advanced Micro Devices, Inc. [AMD/ATI] Device 75a3",
            "amd",
            "",
            "1002:75a3",
        ),
        (
            "0000:c1:00.0 Processing accelerators: Huawei Technologies Co., Ltd. Device d802 (rev 20)",
            "ascend",
            "",
            "19e5:d802",
        ),
        (
            "33:00.0 Processing accelerators: Habana Labs Ltd. Device 1060 (rev 01)",
            "gaudi",
            "",
            "1da3:1060",
        ),
        (
            "00:1e.0 System peripheral: Amazon.com, Inc. NeuronDevice (Inferentia2) (rev 01)",
            "neuron",
            "Amazon.com, Inc. NeuronDevice (Inferentia2)",
            "",
        ),
        ("00:05.0 Unassigned class [ff00]: Google, Inc. Device 0063", "tpu", "", "1ae0:0063"),
        (
            "03:00.0 VGA compatible controller: Intel Corporation DG2 [Arc A770] (rev 08)",
            "intel",
            "Arc A770",
            "",
        ),
        (
            "03:00.0 VGA compatible controller: AMD/ATI Navi 31 [Radeon RX 7900 XT/7900 XTX] (rev c8)",
            "amd",
            "Radeon RX 7900 XT/7900 XTX",
            "",
        ),
    ],
)
def test_lspci(line: str, kind: str, name: str, pci_id: str) -> None:
    assert read(f"{HEAD}{NONE}{line}\n") == (Accelerator(kind=kind, name=name, pci_id=pci_id),)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("ROCM used to build PyTorch: 6.2.41133-dd7f95766", "amd"),
        ("HIP runtime version: 7.2.53211", "amd"),
        ("ROCM Version: 6.4.43483-a187df25c", "amd"),
        ("ROCM available: True", "amd"),
        ("vLLM Ascend Version: 0.11.0", "ascend"),
        ("[pip3] torch==2.12.0+rocm7.2", "amd"),
        ("vLLM Version: 0.18.0+rocm700", "amd"),
        ("[pip3] torch==2.4.1+das.opt1.dtk25041\nROCM used to build PyTorch: 6.3.25211", "hygon"),
        ("Is XPU available: True", "intel"),
        ("PyTorch version: 2.13.0+xpu", "intel"),
        ("PyTorch version: 2.6.0+hpu_1.21.3-57.gitabf798b", "gaudi"),
        ("INFO 02-08 04:14:57 __init__.py:190] Automatically detected platform tpu.", "tpu"),
        ("INFO 08-08 20:10:18 [__init__.py:230] Platform plugin ascend is activated", "ascend"),
        ("[pip3] torch-npu==2.5.1.post1", "ascend"),
        ("[pip3] torch-xla==2.6.0", "tpu"),
        ("[pip3] vllm-rbln==0.12.0", "rebellions"),
        ("[pip3] torch-neuronx==2.5.1.2.4.0\n[pip3] torch-xla==2.5.1", "neuron"),
        ("Neuron SDK Version: (0, 'instance-type: inf2.24xlarge", "neuron"),
        ("torch-npu              2.5.1", "ascend"),
        ("============ ROCm System Management Interface ============", "amd"),
        ("PYTORCH_ROCM_ARCH=gfx90a;gfx942", "amd"),
        ("  amd.com/gpu:        8", "amd"),
        ("  habana.ai/gaudi:    8", "gaudi"),
        ("  google.com/tpu: 4", "tpu"),
        ("instance-type: trn1.32xlarge", "neuron"),
        ("| HL-SMI Version:       hl-1.18.0-fw-53.1.1.1 |", "gaudi"),
    ],
)
def test_builds_packages_and_log_lines_tell_the_kind(line: str, kind: str) -> None:
    text = f"{HEAD}{NONE}{line}\n"
    if line.startswith("PyTorch"):
        text = text.replace("PyTorch version: 2.9.0\n", "")
    assert read(text) == (Accelerator(kind=kind),)


@pytest.mark.parametrize(
    "line",
    [
        "Model name: AMD Ryzen 7 5800H with Radeon Graphics",
        "GPU models and configuration: AMD Radeon Graphics (gfx1036)",
        "GPU models and configuration: AMD Radeon Graphics (gfx90c)\nHIP runtime version: 6.2.1",
        "GPU 0: Intel(R) UHD Graphics 770",
        "Intel GPU models: GPU 0: Intel(R) Iris(R) Xe Graphics",
        "Intel GPU models: GPU 0: Intel(R) Arc(TM) Graphics [0x7d55]",
        "Intel GPU models: GPU 0: Intel(R) Arc(TM) 140V GPU (16GB)",
        "00:02.0 VGA compatible controller [0300]: Intel Corporation Iris Xe [8086:46a6] (rev 0c)",
        "00:02.0 Display controller [0380]: Intel Corporation CoffeeLake UHD [8086:3e98]",
        "03:00.0 VGA compatible controller: ASPEED Technology, Inc. ASPEED Graphics Family",
        "07:00.0 VGA compatible controller: Huawei Technologies Co., Ltd. Hi171x [iBMC chip w/VGA]",
        "75:00.0 Processing accelerators: Huawei Technologies Co., Ltd. HiSilicon ZIP Engine",
        "00:02.0 VGA compatible controller: Intel Corporation Device a7a0 (rev 04)",
        "00:02.0 VGA compatible controller: Intel Corporation Meteor Lake-P [Intel Arc Graphics]",
        "00:02.0 VGA compatible controller: Intel Corporation Panther Lake [Arc B390]",
        "c4:00.0 Display controller: Advanced Micro Devices, Inc. [AMD/ATI] Phoenix1 (rev c1)",
        "00:01.0 VGA compatible controller: Red Hat, Inc. Virtio GPU (rev 01)",
        "00:03.0 VGA compatible controller: Amazon.com, Inc. Device 1111",
        "00:04.0 Ethernet controller: Google, Inc. Compute Engine Virtual Ethernet [gVNIC]",
        "05:00.0 VGA compatible controller: AMD/ATI Cezanne [Radeon Vega Series] (rev c6)",
        "05:00.0 VGA compatible controller: AMD/ATI Picasso [Radeon RX Vega 10 Graphics]",
        "0b:00.0 Audio device [0403]: AMD/ATI Navi 31 HDMI/DP Audio [1002:ab30]",
        "00:0b.0 Processing accelerators [1200]: Intel Corporation NPU [8086:7d1d] (rev 04)",
        "ROCM used to build PyTorch: N/A\nHIP runtime version: N/A\nROCM Version: Could not collect",
        "Neuron SDK Version: N/A\nIs XPU available: False",
        "DEBUG 09-10 [__init__.py:52] TPU platform is not available because: No module 'libtpu'",
        "On an AMD Instinct MI300X the same model works; on TPU v5e it does not.",
        "[pip3] intel-extension-for-pytorch==2.8.0+cpu",
        "[pip3] triton==3.4.0",
        "  amd.com/gpu:        0",
        "HIP_VISIBLE_DEVICES=",
    ],
)
def test_a_laptop_a_server_board_and_a_sentence_have_none(line: str) -> None:
    none = "" if line.startswith("GPU models") else NONE
    assert read(f"{HEAD}{none}{line}\n") == ()


def test_beside_nvidia_gpus_only_listed_devices_count() -> None:
    text = f"{HEAD}GPU models and configuration: GPU 0: NVIDIA H100 PCIe\n[pip3] torch-xla==2.6.0\n"
    assert read(text) == ()
    assert [gpu.name for gpu in from_text.parse(text, "t").known(gpus.FACT) or ()] == [
        "NVIDIA H100 PCIe"
    ]
    both = read(f"{text}01:00.0 VGA compatible controller: AMD/ATI Navi 31 [Radeon RX 7900 XT]\n")
    assert [accelerator.kind for accelerator in both] == ["amd"]


def test_a_jetson_is_known_by_its_kernel() -> None:
    text = HEAD.replace("6.8.0-60-generic-x86_64", "5.10.120-tegra-aarch64")
    (board,) = read(f"{text}GPU models and configuration: Could not collect\n")
    assert board == Accelerator(kind="jetson", name="Jetson (kernel 5.10.120-tegra)")


@pytest.mark.parametrize(
    ("pci_id", "kind", "expected"),
    [
        ("1002:74A1", "120000", "amd"),
        ("1002:9999", "120000", "amd"),  # an Instinct of the future
        ("1002:744C", "30000", "amd"),
        ("1002:1586", "38000", "amd"),  # Strix Halo
        ("1D94:6211", "38000", "hygon"),
        ("8086:0BD5", "38000", "intel"),
        ("8086:E20B", "30000", "intel"),
        ("1DA3:1060", "120000", "gaudi"),
        ("19E5:D802", "120000", "ascend"),
        ("1D0F:7264", "88000", "neuron"),
        ("1AE0:0063", "ff0000", "tpu"),
        ("1EFF:1220", "120000", "rebellions"),
        ("1014:06A7", "120000", "spyre"),
        ("1014:06A2", "100000", None),  # cryptography
        ("8086:4692", "30000", None),  # graphics of a processor
        ("8086:7D1D", "120000", None),  # NPU of a laptop
        ("1022:1502", "118000", None),
        ("1002:1638", "38000", None),  # Ryzen
        ("1002:164E", "30000", None),
        ("1002:AB30", "40300", None),  # sound of a Radeon
        ("1D94:1450", "60000", None),  # bridge of a Hygon processor
        ("1A03:2000", "30000", None),  # ASPEED
        ("102B:0538", "30000", None),  # Matrox
        ("1AF4:1050", "38000", None),  # virtio
        ("1234:1111", "30000", None),  # QEMU
        ("19E5:1711", "30000", None),  # Huawei's server board
        ("19E5:A250", "120000", None),  # its compression engine
        ("1D0F:EC20", "20000", None),  # Amazon's network card
        ("1AE0:0042", "20000", None),
        ("10DE:2330", "30200", None),
    ],
)
def test_the_bus(pci_id: str, kind: str, expected: str | None) -> None:
    found = value(accelerators.FACT, {pci_gpus.SOURCE.key: bus((pci_id, kind))})
    ids = (Accelerator(kind=expected, pci_id=pci_id.lower()),) if expected else ()
    assert found == ids


def test_a_board_without_a_bus() -> None:
    kernel = {"file /proc/sys/kernel/osrelease": "5.15.148-tegra\n"}
    assert value(accelerators.FACT, kernel) == (
        Accelerator(kind="jetson", name="Jetson (kernel 5.15.148-tegra)"),
    )
