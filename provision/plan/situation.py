"""The facts that choosers decide by, gathered once, with the settings applied."""

from __future__ import annotations

import re

import msgspec

from provision.catalog.rows import Catalogue
from provision.errors import IncompleteHost
from provision.host import (
    accelerators,
    compilers,
    container,
    cpu,
    cuda_toolkits,
    disks,
    driver,
    fabric_manager,
    glibc,
    gpus,
    installer_config,
    machine,
    memory,
    nvml,
    pci_gpus,
    pythons,
    scheduler,
    shm,
    sources,
    wsl,
)
from provision.host._model import Host
from provision.host.accelerators import Accelerator
from provision.host.compilers import Compiler
from provision.host.cuda_toolkits import CudaToolkit
from provision.host.gpus import Gpu
from provision.host.pci_gpus import PciGpu
from provision.plan import identify
from provision.settings import Settings

SOURCE_NAMES = {
    "pypi": "PyPI",
    "pytorch": "the PyTorch index",
    "vllm": "the vLLM index",
    "github": "GitHub",
}


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """One host under one set of settings."""

    settings: Settings
    machine: str
    glibc: str
    missing_glibc: str = ""
    pythons: tuple[str, ...]
    host_pythons: tuple[str, ...] = ()
    driver: str | None
    driver_flavour: str | None = None
    driver_trouble: str = ""
    gpus: tuple[Gpu, ...]
    pci_gpus: tuple[PciGpu, ...] = ()
    accelerators: tuple[Accelerator, ...] = ()
    sources: dict[str, bool]
    source_failures: tuple[str, ...] = ()
    local_wheels: tuple[str, ...] = ()
    vector_flags: tuple[str, ...] | None = None
    login_node: bool = False
    wsl: bool = False
    container: str | None = None
    shm_gb: float | None = None
    prefix: str = ""
    prefix_trouble: str = ""
    free_gb: float | None = None
    cores: int | None = None
    available_gb: float | None = None
    memory_limit_gb: float | None = None
    compilers: tuple[Compiler, ...] | None = None
    toolkits: tuple[CudaToolkit, ...] = ()
    sources_assumed: bool = False
    warnings: tuple[str, ...] = ()

    def why_not(self, source: str) -> str:
        """Return the reason why a source cannot be used: the settings, or the source itself."""
        if getattr(self.settings.sources, source) is False:
            return f"the settings rule out {SOURCE_NAMES[source]}"
        return f"{SOURCE_NAMES[source]} does not answer"


def gather(host: Host, settings: Settings, catalogue: Catalogue) -> Situation:
    """Return the situation of a host; raise IncompleteHost if a fact for the plan is missing."""
    _require_facts(host, settings)
    nvidia = host.known(driver.FACT)
    without_glibc = host.missing(glibc.FACT)
    processor, ram = host.known(cpu.FACT), host.known(memory.FACT)
    config = host.known(installer_config.FACT)
    cluster = host.known(scheduler.FACT)
    host_pythons = _pythons(host)
    cuda = host.known(cuda_toolkits.FACT)
    engine, shared = host.known(container.FACT), host.known(shm.FACT)
    disk = (host.known(disks.FACT) or {}).get("prefix")
    return Situation(
        settings=settings,
        machine=host.known(machine.FACT) or "",
        glibc=host.known(glibc.FACT) or "0",
        missing_glibc=without_glibc.detail or without_glibc.why if without_glibc else "",
        pythons=(settings.python,) if settings.python != "auto" else host_pythons,
        host_pythons=host_pythons,
        driver=nvidia.version if nvidia else None,
        driver_flavour=nvidia.flavour if nvidia else None,
        driver_trouble=_driver_trouble(host),
        gpus=_gpus(host, settings, catalogue),
        pci_gpus=host.known(pci_gpus.FACT) or (),
        accelerators=host.known(accelerators.FACT) or (),
        sources=_sources(host, settings),
        source_failures=_source_failures(host, settings),
        local_wheels=config.local_wheels if config else (),
        vector_flags=processor.flags if processor else None,
        wsl=host.known(wsl.FACT) or False,
        login_node=bool(cluster and cluster.name == "slurm" and cluster.place == "login"),
        container=engine.engine if engine else None,
        shm_gb=shared.total_gb if shared else None,
        prefix=disk.path if disk else "",
        prefix_trouble=_disk_trouble(disk) if disk else "",
        free_gb=disk.free_gb if disk else None,
        cores=processor.usable if processor else None,
        available_gb=ram.available_gb if ram else None,
        memory_limit_gb=ram.allowed_gb if ram else None,
        compilers=host.known(compilers.FACT),
        toolkits=cuda.toolkits if cuda else (),
        sources_assumed=host.is_recording and host.missing(sources.FACT) is not None,
        warnings=tuple(_warnings(host)),
    )


def _gpus(host: Host, settings: Settings, catalogue: Catalogue) -> tuple[Gpu, ...]:
    cards = [identify.completed(gpu, catalogue.gpus) for gpu in host.known(gpus.FACT) or ()]
    if cards and all(gpu.cc is None for gpu in cards) and settings.profile != "cpu":
        name = " ".join((cards[0].name or "").split())
        raise IncompleteHost(
            f"GPU {cards[0].id}: `{name}` is unknown",
            hint=(
                f"add the line `{name} with CUDA capability sm_90`, with its own capability, to a"
                ' pasted text, or its cc to a description: {name: …, cc: "9.0", memory_gb: 80}'
            ),
        )
    return tuple(part for gpu in cards for part in identify.parts(gpu))


def _require_facts(host: Host, settings: Settings) -> None:
    missing = []
    if host.missing(machine.FACT):
        missing.append("machine (x86_64 or aarch64)")
    without_glibc = host.missing(glibc.FACT)
    without_gpus, without_driver = host.missing(gpus.FACT), host.missing(driver.FACT)
    if without_glibc and without_glibc.why != "absent":
        missing.append('glibc (such as "2.35")')
    # The setting replaces the Pythons of the host.
    if host.missing(pythons.FACT) and settings.python == "auto":
        missing.append('python (such as "3.12")')
    if without_gpus and without_gpus.why == "not read":
        missing.append("gpus (a list, which may be empty)")
    if host.known(gpus.FACT) and without_driver and without_driver.why == "not read":
        missing.append('driver (such as "580.95.05")')
    if missing:
        raise IncompleteHost(
            f"a plan also needs: {', '.join(missing)}",
            hint="add what is missing, or record the host: ./setup.sh host -o FILE",
        )


def _pythons(host: Host) -> tuple[str, ...]:
    versions = (
        re.match(r"3\.(\d{1,3})(?!\d)", python.version, re.ASCII)
        for python in host.known(pythons.FACT) or ()
    )
    # A pre-release such as 3.14.0rc1 counts as its minor version.
    minors = {int(version[1]) for version in versions if version}
    return tuple(f"3.{minor}" for minor in sorted(minors, reverse=True))


def _sources(host: Host, settings: Settings) -> dict[str, bool]:
    """Return the usable sources: allowed by the settings, and not known to be silent."""
    answers = host.known(sources.FACT) or {}
    config = host.known(installer_config.FACT)
    usable = {}
    for name in sources.NAMES:
        setting, answer = getattr(settings.sources, name), answers.get(name)
        # A description speaks of the source itself, not of the mirror that the settings name.
        mirror = isinstance(setting, str) and not host.is_recording
        usable[name] = setting is not False and (mirror or answer is None or answer.answers)
    if config and config.no_index and not isinstance(settings.sources.pypi, str):
        # pip.conf with no-index forbids PyPI; a mirror in the settings overrides it.
        usable["pypi"] = False
    return usable


def _source_failures(host: Host, settings: Settings) -> tuple[str, ...]:
    answers = host.known(sources.FACT) or {}
    return tuple(
        f"{SOURCE_NAMES[name]}: {answers[name].detail}"
        for name in sources.NAMES
        if name in answers
        and not answers[name].answers
        and answers[name].detail
        and getattr(settings.sources, name) is not False
    )


def _driver_trouble(host: Host) -> str:
    answer = host.known(nvml.FACT)
    # A Jetson has no NVML, and WSL may have nvidia-smi alone: any answer counts there.
    # A GPU without memory was seen on the bus only: no driver described it.
    unanswered = any(
        gpu.memory_gb is None and not gpu.integrated for gpu in host.known(gpus.FACT) or ()
    )
    if (
        answer
        and answer.state != "ok"
        and (answer.state != "no library" or unanswered)
        and host.known(driver.FACT)
    ):
        return answer.detail.rstrip(".") or f"NVML: {answer.state}"
    for missing in (host.missing(gpus.FACT), host.missing(driver.FACT)):
        if missing and missing.why in ("refused", "timed out", "failed", "unparsable"):
            return f"{missing.why}: {missing.detail}" if missing.detail else missing.why
    return ""


def _warnings(host: Host) -> list[str]:
    """Return the disagreements between sources of the facts that a plan rests on."""
    return [
        *host.warnings(driver.FACT),
        *host.warnings(gpus.FACT),
        *host.warnings(fabric_manager.FACT),
    ]


def _disk_trouble(disk: disks.Disk) -> str:
    if "ro" in disk.options:
        return "mounted read-only"
    if not disk.writable:
        return "not writable"
    return "mounted noexec" if "noexec" in disk.options else ""
