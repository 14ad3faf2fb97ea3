"""Pasted outputs of many programs, and what logging and escaping do to them."""

from __future__ import annotations

import json

import pytest

from provision.host import driver, from_text, gpus, machine, packages, pythons
from provision.host._model import Host

SGLANG = """\
Python: 3.11.9 (main, Apr  6 2025, 17:59:24) [GCC 11.4.0]
CUDA available: True
GPU 0,1: NVIDIA H20
GPU 0,1 Compute Capability: 9.0
NVCC: Cuda compilation tools, release 12.6, V12.6.85
CUDA Driver Version: 565.57.01
PyTorch: 2.6.0+cu124
sglang: 0.4.5
vllm: 0.8.3
flashinfer_python: Module Not Found
"""
TABLE = """\
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 550.90.07              Driver Version: 550.90.07      CUDA Version: 12.4     |
|-----------------------------------------+------------------------+----------------------+
| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |
|=========================================+========================+======================|
|   0  NVIDIA L40S                    On  |   00000000:01:00.0 Off |                    0 |
| N/A   31C    P8             33W /  350W |       1MiB /  46068MiB |      0%      Default |
|   1  NVIDIA L40S                    On  |   00000000:25:00.0 Off |                    0 |
| N/A   30C    P8             34W /  350W |       1MiB /  46068MiB |      0%      Default |
+-----------------------------------------------------------------------------------------+
|    0   N/A  N/A      1234      C   python3                                       400MiB |
"""
QUERY = """\
==============NVSMI LOG==============
Driver Version                            : 580.65.06
Attached GPUs                             : 2
GPU 00000000:17:00.0
    Product Name                          : NVIDIA H100 80GB HBM3
GPU 00000000:3D:00.0
    Product Name                          : NVIDIA H100 80GB HBM3
"""
CSV = """\
index, name, driver_version, compute_cap
0, NVIDIA A10G, 535.183.01, 8.6
1, NVIDIA A10G, 535.183.01, 8.6
"""
COLLECT = """\
PyTorch version: 2.7.0+cu128
Libc version: glibc-2.35
Python version: 3.12.3 (main)
Python platform: Linux-6.8.0-x86_64-with-glibc2.35
GPU models and configuration:
GPU 0: NVIDIA RTX A6000

Nvidia driver version: 570.124.06
"""


def read(text: str) -> Host:
    return from_text.parse(text, "the text")


def names(host: Host) -> list[str]:
    return [gpu.name for gpu in host.known(gpus.FACT) or ()]


def version(host: Host) -> str:
    known = host.known(driver.FACT)
    return known.version if known and known.version else ""


@pytest.mark.parametrize(
    ("text", "listed", "driver_version"),
    [
        (SGLANG, ["NVIDIA H20"] * 2, "565.57.01"),
        (TABLE, ["NVIDIA L40S"] * 2, "550.90.07"),
        (QUERY, ["NVIDIA H100 80GB HBM3"] * 2, "580.65.06"),
        (CSV, ["NVIDIA A10G"] * 2, "535.183.01"),
        (COLLECT, ["NVIDIA RTX A6000"], "570.124.06"),
    ],
)
def test_gpus_and_driver(text: str, listed: list[str], driver_version: str) -> None:
    host = read(text)
    assert (names(host), version(host)) == (listed, driver_version)


def test_the_check_env_of_sglang() -> None:
    host = read(SGLANG)
    assert [gpu.cc for gpu in host.known(gpus.FACT) or ()] == ["9.0", "9.0"]
    assert (host.known(pythons.FACT) or ())[0].version == "3.11.9"
    assert host.known(packages.FACT) == {"torch": "2.6.0+cu124", "vllm": "0.8.3"}


def test_several_programs_in_one_text() -> None:
    text = (
        f"$ nvidia-smi\n{TABLE}\n$ uname -a\nLinux box 6.8.0-41-generic #41 SMP x86_64 GNU/Linux\n"
        "$ pip freeze\ntorch==2.7.1\nvllm==0.9.1\n$ python -V\nPython 3.12.7\n"
    )
    host = read(text)
    assert names(host) == ["NVIDIA L40S"] * 2
    assert host.known(machine.FACT) == "x86_64"
    assert host.known(packages.FACT) == {"torch": "2.7.1", "vllm": "0.9.1"}


@pytest.mark.parametrize(
    "prefix",
    [
        "(RayWorkerWrapper pid=1234, ip=10.0.0.7) ",
        "2025-03-07T05:56:19.773Z ",
        "Jun 03 10:15:01 gpu-host vllm[4711]: ",
        "[pod/vllm-0/server] ",
        "> ",
    ],
)
def test_prefixes_of_loggers(prefix: str) -> None:
    host = read("".join(f"{prefix}{line}\n" for line in COLLECT.splitlines()))
    assert (names(host), version(host)) == (["NVIDIA RTX A6000"], "570.124.06")


def test_escaped_and_joined_lines() -> None:
    for text in (json.dumps({"body": COLLECT}), "### Environment " + " ".join(COLLECT.split("\n"))):
        host = read(text)
        assert (names(host), version(host)) == (["NVIDIA RTX A6000"], "570.124.06"), text


def test_a_name_that_only_a_cloud_knows_is_a_gpu() -> None:
    host = read(COLLECT.replace("NVIDIA RTX A6000", "CLOUD-GPU-X9\nGPU 1: CLOUD-GPU-X9"))
    assert names(host) == ["CLOUD-GPU-X9", "CLOUD-GPU-X9"]


def test_a_warning_of_torch_tells_the_capability() -> None:
    warning = "UserWarning: NVIDIA GB10 with CUDA capability sm_121 is not compatible with the"
    host = read(f"{warning}\n{COLLECT.replace('NVIDIA RTX A6000', 'NVIDIA GB10')}")
    assert [gpu.cc for gpu in host.known(gpus.FACT) or ()] == ["12.1"]


def test_sentences_are_no_packages() -> None:
    host = read(COLLECT + "vllm 0.8.5 requires torch==2.6.0, but you have torch 2.7.0\n")
    assert host.known(packages.FACT) == {"torch": "2.7.0+cu128"}


@pytest.mark.parametrize("filler", ["a b " * 100_000, "x" * 1_000_000, r"\n" * 100_000])
def test_long_lines_are_read(filler: str) -> None:
    """A pattern that is quadratic in the length of a line would take hours here."""
    assert names(read(COLLECT + filler + "\n")) == ["NVIDIA RTX A6000"]
