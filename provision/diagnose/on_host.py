"""Find the causes of coming failures in the facts of a host alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from provision.catalog.rows import Catalogue
from provision.diagnose._model import Confidence
from provision.diagnose.signals import xid
from provision.host import (
    compilers,
    container,
    cuda_toolkits,
    disks,
    driver,
    environment,
    fabric_manager,
    gpus,
    nvml,
    packages,
    pci_gpus,
    shm,
    xids,
)
from provision.host._model import Host

_LEAST_SHM_GB = 1.0
_LEAST_DISK_GB = 2.0
_CUDA_PATH = re.compile(r"cuda|nvidia|conda", re.IGNORECASE)


class Sign(msgspec.Struct, frozen=True, kw_only=True):
    """A cause that the facts of a host show, and the fact that shows it."""

    cause: str
    confidence: Confidence
    text: str


def signs(host: Host, catalogue: Catalogue) -> Iterator[Sign]:
    """Yield what is wrong on this host already, and what will be."""
    yield from _driver(host)
    yield from _devices(host)
    yield from _surroundings(host)
    listed = host.known(gpus.FACT)
    yield from _packages(host.known(packages.FACT) or {}, catalogue, has_gpus=bool(listed))


def _driver(host: Host) -> Iterator[Sign]:
    here = host.known(driver.FACT)
    if here and here.library and here.library != here.version:
        text = f"the loaded driver is {here.version}, its library {here.library}"
        yield Sign(cause="nvml-driver-library-mismatch", confidence="high", text=text)
    silent = host.missing(nvml.FACT)
    if silent and re.search(r"version mismatch", silent.detail, re.IGNORECASE):
        yield Sign(cause="nvml-driver-library-mismatch", confidence="high", text=silent.detail)
    on_the_bus = host.known(pci_gpus.FACT) or ()
    if on_the_bus and here is None:
        text = f"{len(on_the_bus)} NVIDIA GPUs are on the PCI bus, and no driver is loaded"
        inside = host.known(container.FACT)
        missing = (
            "nvidia-container-toolkit-missing" if inside and inside.engine else "driver-missing"
        )
        yield Sign(cause=missing, confidence="high", text=text)
    manager = host.known(fabric_manager.FACT)
    if manager and manager.running is False:
        text = f"nvidia-fabricmanager {manager.version or ''} does not run"
        yield Sign(cause="fabric-manager-not-running", confidence="high", text=text)


def _devices(host: Host) -> Iterator[Sign]:
    for fault in host.known(xids.FACT) or ():
        if xid.kind(fault.xid) == "hardware":
            text = f"Xid {fault.xid} of the GPU at {fault.bus_id} since the start"
            yield Sign(cause="gpu-hardware-fault", confidence="high", text=text)
    memory = host.known(shm.FACT)
    listed = host.known(gpus.FACT)
    if memory and memory.total_gb < _LEAST_SHM_GB:
        text = f"shared memory has {memory.total_gb:g} GiB"
        level: Confidence = "medium" if listed and len(listed) > 1 else "low"
        yield Sign(cause="container-shm-too-small", confidence=level, text=text)
    for place, disk in (host.known(disks.FACT) or {}).items():
        if disk.free_gb < _LEAST_DISK_GB:
            text = f"{place}: {disk.free_gb:g} GiB are free of {disk.total_gb:g}"
            yield Sign(cause="disk-full", confidence="medium", text=text)


def _surroundings(host: Host) -> Iterator[Sign]:
    found = host.known(compilers.FACT)
    if found is not None and not any(one.language == "c" for one in found):
        yield Sign(
            cause="c-compiler-missing", confidence="medium", text="no C compiler is installed"
        )
    toolkits = host.known(cuda_toolkits.FACT)
    if toolkits and not toolkits.toolkits and host.known(gpus.FACT):
        yield Sign(cause="nvcc-missing", confidence="low", text="no CUDA toolkit is installed")
    for name, home in (toolkits.homes if toolkits else {}).items():
        if ":" in home:
            yield Sign(cause="cuda-home-wrong", confidence="high", text=f"{name}={home}")
    for name, value in (host.known(environment.FACT) or {}).items():
        if name == "LD_LIBRARY_PATH" and _CUDA_PATH.search(value):
            text = f"LD_LIBRARY_PATH={value}"
            yield Sign(cause="ld-library-path-shadows-wheel-libs", confidence="low", text=text)
        if "ALLOC_CONF" in name and "expandable_segments:True" in value:
            cause = "expandable-segments-breaks-custom-allreduce"
            yield Sign(cause=cause, confidence="low", text=f"{name}={value}")


def _packages(installed: dict[str, str], catalogue: Catalogue, *, has_gpus: bool) -> Iterator[Sign]:
    torch, vllm = installed.get("torch", ""), installed.get("vllm", "")
    if has_gpus and "+cpu" in torch:
        yield Sign(cause="torch-cpu-only-build", confidence="high", text=f"torch is {torch}")
    pinned = next((row.torch for row in catalogue.vllm if row.version == vllm), None)
    if torch and pinned and torch.partition("+")[0] != pinned:
        text = f"vllm {vllm} was built for torch {pinned}, and torch is {torch}"
        yield Sign(cause="vllm-c-ext-torch-abi-mismatch", confidence="medium", text=text)
    for name in ("flashinfer-cubin", "flashinfer-jit-cache"):
        ours, python = installed.get(name, ""), installed.get("flashinfer-python", "")
        if ours and python and ours.partition("+")[0] != python:
            text = f"{name} is {ours}, flashinfer-python is {python}"
            yield Sign(cause="flashinfer-package-version-mismatch", confidence="high", text=text)
    for name in installed:
        base, _, major = name.rpartition("-cu")
        if base.startswith("nvidia-") and major == "11" and f"{base}-cu12" in installed:
            text = f"{base}-cu11 and {base}-cu12 are both installed"
            yield Sign(cause="two-versions-of-nvidia-lib", confidence="medium", text=text)
