"""Hosts with an accelerator or a system that is not planned for: its name, and what runs there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from provision.catalog.accelerator_rows import AcceleratorKind, OfficialWay
from provision.catalog.rows import Catalogue
from provision.errors import IncompleteHost, WrongSetting
from provision.host import accelerators, glibc, gpus, machine, pci_gpus, wsl
from provision.host._model import Fact, Host
from provision.host.accelerators import Accelerator
from provision.plan._model import Plan, Reasons, Unsupported
from provision.plan.versions import reaches

_SYSTEMS = {"Windows": "windows", "macOS": "macos"}
_NVIDIA: tuple[Fact[Any], ...] = (gpus.FACT, pci_gpus.FACT)
_BUILT_FOR = {"x86_64", "aarch64"}


def of_system(host: Host, catalogue: Catalogue) -> Unsupported | None:
    """Return the refusal of a system or a processor that vLLM-ready has no plan for."""
    kind = host.known(machine.FACT)
    if kind is None or kind in _BUILT_FOR:
        return None
    if kind in _SYSTEMS:
        reason = f"vllm-ready plans for Linux, and this host runs {kind}"
        ways = ways_of(_SYSTEMS[kind], catalogue)
    else:
        reason = f"vLLM publishes no wheel for {kind}"
        ways = ("use a host that is x86_64 or aarch64, or build vLLM from source",)
    return Unsupported(unsupported=(Reasons(subject="machine", reasons=(reason,)),), advice=ways)


def of_accelerator(
    host: Host, catalogue: Catalogue, on_the_cpu: Callable[[], Plan | Unsupported]
) -> Unsupported | None:
    """Return the refusal of a host whose only accelerators are not planned for.

    Where there is an NVIDIA GPU, even one without a driver, that one is planned for.
    """
    devices = _described(host) or (
        () if any(map(host.known, _NVIDIA)) else host.known(accelerators.FACT) or ()
    )
    if not devices:
        return None
    rows = {row.kind: row for row in catalogue.accelerators}
    kinds = dict.fromkeys(device.kind for device in devices)
    board_alone = kinds.keys() == {"jetson"}
    why = "its GPU is not named" if board_alone else "vllm-ready plans for NVIDIA GPUs and for CPUs"
    reasons = [f"{' and '.join(names(devices, catalogue))}: {why}"]
    reasons += _against_cuda((rows[kind] for kind in kinds if kind != "jetson"), catalogue)
    advice: list[str] = []
    for kind in kinds:
        archs = {_arch(device, rows[kind]) for device in devices if device.kind == kind} - {""}
        possible, impossible = _possible_ways(kind, archs, host, catalogue)
        advice += map(_in_words, possible)
        reasons += impossible
    return Unsupported(
        unsupported=(Reasons(subject="accelerator", reasons=tuple(reasons)),),
        advice=(*advice, *_cpu(on_the_cpu)),
    )


def _possible_ways(
    kind: str, archs: set[str], host: Host, catalogue: Catalogue
) -> tuple[list[OfficialWay], list[str]]:
    """Return the ways that this host can go, and the reasons against the others."""
    ways = [way for way in catalogue.ways if way.kind == kind]
    against = {way: _against(way, archs, host) for way in ways if not way.fallback}
    possible = [way for way, reason in against.items() if not reason]
    impossible = [f"{way.what}: {reason}" for way, reason in against.items() if reason]
    return possible or [way for way in ways if way.fallback], impossible


def _described(host: Host) -> tuple[Accelerator, ...]:
    """Return the accelerators of a description whose `gpus` are all of other makers."""
    listed = [accelerators.by_name(gpu.name) for gpu in host.known(gpus.FACT) or ()]
    others = tuple(device for device in listed if device)
    return others if len(others) == len(listed) else ()


def names(devices: Iterable[Accelerator], catalogue: Catalogue) -> list[str]:
    """Return the distinct names of devices, each with its architecture or its PCI id."""
    kinds = {row.kind: row for row in catalogue.accelerators}
    return list(dict.fromkeys(_name(device, kinds[device.kind]) for device in devices))


def _arch(device: Accelerator, kind: AcceleratorKind) -> str:
    """Return the architecture of a device, as it is listed or by the name of the product."""
    product = kind.devices.get(device.pci_id) or device.name
    by_product = (arch for name, arch in kind.arch_of.items() if re.search(name, product))
    return device.arch or next(by_product, "")


def _name(device: Accelerator, kind: AcceleratorKind) -> str:
    product = kind.devices.get(device.pci_id) or device.name or kind.archs.get(device.arch, "")
    maker = kind.name.split()[0]
    name = product if maker in product or not product else f"{maker} {product}"
    behind = device.arch or device.pci_id
    return f"{name or kind.name} ({behind})" if behind else name or kind.name


def _against_cuda(kinds: Iterable[AcceleratorKind], catalogue: Catalogue) -> Iterator[str]:
    """Yield the refusal of the wheel that pip would take, by its name."""
    newest = next(
        (row.version, build.cuda)
        for row in catalogue.vllm
        for build in row.builds
        if build.where == "pypi" and build.cuda
    )
    for kind in kinds:
        issue = f"; pip takes it where no other wheel fits ({kind.issue})" if kind.issue else ""
        yield "vLLM {} on PyPI is built for CUDA {} and does not run on it{}".format(*newest, issue)


def _against(way: OfficialWay, archs: set[str], host: Host) -> str:
    """Return what this host lacks for a way, or ""."""
    processor = host.known(machine.FACT)
    if way.machines and processor and processor not in way.machines:
        return f"for {' and '.join(way.machines)}; this host is {processor}"
    if host.known(wsl.FACT) and way.device_files:
        return f"for {way.device_files}, which WSL does not have"
    if way.archs and archs and not archs & set(way.archs):
        return f"no code for {', '.join(sorted(archs))}, only for {', '.join(way.archs)}"
    libc = host.known(glibc.FACT)
    if way.glibc and libc and not reaches(libc, way.glibc):
        return f"for glibc {way.glibc} or newer; this host has {libc}"
    return ""


def ways_of(kind: str, catalogue: Catalogue) -> tuple[str, ...]:
    return tuple(_in_words(way) for way in catalogue.ways if way.kind == kind)


def _in_words(way: OfficialWay) -> str:
    return f"{way.what}: {way.how}"


def _cpu(on_the_cpu: Callable[[], Plan | Unsupported]) -> Iterator[str]:
    try:
        plan = on_the_cpu()
    except (IncompleteHost, WrongSetting):
        return
    if isinstance(plan, Plan):
        vllm = plan.package("vllm").version
        yield f"the CPU of this host could run a small model with vLLM {vllm}: --set profile=cpu"
