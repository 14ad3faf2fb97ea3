"""plan/warn.py: Triton's assembler below driver 525, mixed capabilities, and Windows around WSL."""

from __future__ import annotations

import re

import pytest

from provision.host import cuda_toolkits, from_text
from provision.host.cuda_toolkits import CudaToolkit, CudaToolkits
from provision.plan._model import Plan, Unsupported
from provision.session.planning import make_plan
from provision.settings import Settings
from tests.host.test_accelerators import HEAD, NONE
from tests.plan.described import CATALOGUE, plan

A100 = "{name: NVIDIA A100-SXM4-80GB, count: 2}"
MIXED = "{name: Tesla T4}, {name: NVIDIA A100-SXM4-80GB, count: 2}"


@pytest.mark.parametrize("driver", ["470.82.01", "515.65.01", "520.61.05"])
def test_triton_below_driver_525_is_warned_of_with_the_way_out(driver: str) -> None:
    made = plan(A100, driver=driver)
    assert made.cuda == "11.8"
    (warning,) = [warning for warning in made.warnings if "Triton" in warning]
    assert f"driver {driver} may refuse its kernels" in warning
    assert "TRITON_PTXAS_PATH to the ptxas of a CUDA 11.8 toolkit" in warning


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("/usr/local/cuda-11.8", "TRITON_PTXAS_PATH to /usr/local/cuda-11.8/bin/ptxas,"),
        ("the folder of nvcc", "TRITON_PTXAS_PATH to the ptxas of a CUDA 11.8 toolkit,"),
    ],
)
def test_the_toolkit_of_the_host_is_named_by_its_folder(folder: str, words: str) -> None:
    text = f'gpus: [{A100}]\ndriver: "520.61.05"\npython: "3.10"\nglibc: "2.31"\nmachine: x86_64\n'
    toolkits = CudaToolkits(toolkits=(CudaToolkit(path=folder, version="11.8.89", whole=True),))
    host = from_text.parse(text, "host.yaml").replace({cuda_toolkits.FACT.name: toolkits})
    result = make_plan(host, Settings(), CATALOGUE)
    assert isinstance(result, Plan)
    assert any(words in warning for warning in result.warnings)


@pytest.mark.parametrize("settings", [(), ("cuda=11.8",)])
def test_a_driver_of_cuda_12_loads_what_triton_assembles(settings: tuple[str, ...]) -> None:
    made = plan(A100, *settings, driver="525.60.13")
    assert not any("Triton" in warning for warning in made.warnings)


def test_mixed_capabilities_are_warned_of_with_the_gpus_to_take() -> None:
    made = plan(MIXED)
    (warning,) = [warning for warning in made.warnings if "mixed" in warning]
    assert "GPU 0 7.5, GPU 1-2 8.0" in warning
    setting = re.search(r"--set '(gpus=.*?)'", warning)
    assert setting is not None
    alone = plan(MIXED, setting[1])
    assert alone.gpus.used == ("1", "2")
    assert not any("mixed" in warning for warning in alone.warnings)


@pytest.mark.parametrize("gpus", [A100, "{name: NVIDIA A100-SXM4-80GB}, {name: NVIDIA A30}"])
def test_one_capability_is_not_mixed(gpus: str) -> None:
    assert not any("mixed" in warning for warning in plan(gpus).warnings)


WSL = HEAD.replace("6.8.0-60-generic", "6.6.87.2-microsoft-standard-WSL2")
L4 = "GPU models and configuration: GPU 0: NVIDIA L4\n"


def made(text: str) -> Plan | Unsupported:
    return make_plan(from_text.parse(text, "issue.txt"), Settings(), CATALOGUE)


def test_wsl_without_a_gpu_is_told_of_the_driver_of_windows() -> None:
    result = made(f"{WSL}{NONE}")
    assert isinstance(result, Plan)
    assert any("this is WSL" in warning for warning in result.warnings)
    linux = made(f"{HEAD}{NONE}")
    assert isinstance(linux, Plan)
    assert not any("WSL" in warning for warning in linux.warnings)


def test_wsl_without_a_driver_is_told_to_install_one_in_windows() -> None:
    description = 'gpus: [{name: NVIDIA L4}]\npython: "3.12"\nglibc: "2.39"\nmachine: x86_64\n'
    host = from_text.parse(description, "host.yaml").replace({"wsl": True})
    result = make_plan(host, Settings(), CATALOGUE)
    assert isinstance(result, Unsupported)
    assert "install NVIDIA driver 580 or newer in Windows" in result.advice[0]
    assert "install no Linux driver" in result.advice[0]


def test_advice_for_wsl_is_about_the_driver_of_windows() -> None:
    result = made(f"{WSL}{L4}Nvidia driver version: 551.61\n")
    assert isinstance(result, Plan)
    assert any("driver 580 or newer in Windows would allow" in hint for hint in result.advice)
