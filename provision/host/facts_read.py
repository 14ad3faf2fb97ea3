"""The facts that a reader compares with a text about a host, and what is assumed beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from provision.host import (
    accelerators,
    compilers,
    cpu,
    cuda_toolkits,
    driver,
    environment,
    glibc,
    gpu_links,
    gpus,
    kernel,
    machine,
    os_release,
    packages,
    pythons,
    wsl,
)
from provision.host.torch_there import CUDA_AVAILABLE

if TYPE_CHECKING:
    from provision.host._model import Host
    from provision.host.accelerators import Accelerator

_MAKERS: Final = {
    "amd": "AMD",
    "ascend": "Huawei",
    "cambricon": "Cambricon",
    "enflame": "Enflame",
    "furiosa": "Furiosa",
    "gaudi": "Intel",
    "hygon": "Hygon",
    "iluvatar": "Iluvatar",
    "intel": "Intel",
    "jetson": "NVIDIA",
    "kunlun": "Kunlunxin",
    "metax": "MetaX",
    "moorethreads": "Moore Threads",
    "neuron": "AWS",
    "rebellions": "Rebellions",
    "spyre": "IBM",
    "tenstorrent": "Tenstorrent",
    "tpu": "Google",
}


class ReadGpu(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU as the text names it."""

    name: str
    cc: str | None = None
    memory_gb: float | None = None
    maker: str = "NVIDIA"


class ReadFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of a text. One that was not read is null; versions are as they stand there."""

    gpus: tuple[ReadGpu, ...] | None = None
    driver: str | None = None
    python: str | None = None
    glibc: str | None = None
    machine: str | None = None
    os: str | None = None
    kernel: str | None = None
    wsl: bool | None = None
    torch: str | None = None
    vllm: str | None = None
    flash_attn: str | None = None
    flashinfer: str | None = None
    nccl: str | None = None
    packages: dict[str, str] | None = None
    cuda_available: bool | None = None
    cuda_toolkit: str | None = None
    gcc: str | None = None
    cpu: str | None = None
    cpu_flags: tuple[str, ...] | None = None
    mig: bool | None = None
    gpu_links: dict[str, str] | None = None
    environment: dict[str, str] | None = None


class Assumption(msgspec.Struct, frozen=True, kw_only=True):
    """A fact that no line tells, the value that is taken for it, and why that one."""

    fact: str
    value: str
    because: str


def of_host(host: Host) -> ReadFacts:
    """Return the facts that a reader compares with the text."""
    cards, processor = host.known(gpus.FACT), host.known(cpu.FACT)
    system, tools = host.known(os_release.FACT), host.known(cuda_toolkits.FACT)
    nvidia, links = host.known(driver.FACT), host.known(gpu_links.FACT)
    installed = host.known(packages.FACT) or {}
    return ReadFacts(
        gpus=_gpus(host),
        driver=nvidia.version if nvidia else None,
        python=next((python.version for python in host.known(pythons.FACT) or ()), None),
        glibc=host.known(glibc.FACT),
        machine=host.known(machine.FACT),
        os=system.name if system else None,
        kernel=host.known(kernel.FACT),
        wsl=host.known(wsl.FACT),
        torch=installed.get("torch"),
        vllm=installed.get("vllm"),
        flash_attn=installed.get("flash-attn"),
        flashinfer=installed.get("flashinfer-python") or installed.get("flashinfer"),
        nccl=next(
            (version for name, version in installed.items() if name.startswith("nvidia-nccl-")),
            None,
        ),
        packages=installed or None,
        cuda_available=host.known(CUDA_AVAILABLE),
        cuda_toolkit=next(
            (tool.version for tool in (tools.toolkits if tools else ()) if tool.version), None
        ),
        gcc=next(
            (found.version for found in host.known(compilers.FACT) or () if found.family == "gcc"),
            None,
        ),
        cpu=processor.model if processor else None,
        cpu_flags=processor.flags if processor else None,
        mig=any(card.mig for card in cards) if cards else None,
        gpu_links={f"{link.a}-{link.b}": link.kind for link in links.pairs} if links else None,
        environment=host.known(environment.FACT) or None,
    )


def _gpus(host: Host) -> tuple[ReadGpu, ...] | None:
    cards, others = host.known(gpus.FACT), host.known(accelerators.FACT) or ()
    if cards is None and not others:
        return None
    return (
        *(ReadGpu(name=card.name, cc=card.cc, memory_gb=card.memory_gb) for card in cards or ()),
        *map(_accelerator, others),
    )


def _accelerator(device: Accelerator) -> ReadGpu:
    maker = _MAKERS.get(device.kind, device.kind)
    name = device.name or " ".join(filter(None, (maker, device.arch or device.pci_id)))
    return ReadGpu(name=name, maker=maker)
