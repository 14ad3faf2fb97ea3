"""What the choosers decide by: the facts a plan needs, gathered once, with settings applied."""

from __future__ import annotations

import re

import msgspec

from provision.catalog.rows import Catalogue
from provision.errors import IncompleteHost
from provision.host import (
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
    other_gpus,
    pci_gpus,
    pythons,
    scheduler,
    shm,
    sources,
)
from provision.host._model import Host
from provision.host.compilers import Compiler
from provision.host.cuda_toolkits import CudaToolkit
from provision.host.gpus import Gpu
from provision.host.pci_gpus import PciGpu
from provision.plan import identify
from provision.settings import Settings

SOURCE_NAMES = {"pypi": "PyPI", "pytorch": "the PyTorch index", "vllm": "the vLLM index", "github": "GitHub"}


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """One host under one set of settings."""

    settings: Settings
    machine: str
    glibc: str
    no_glibc: str = ""
    pythons: tuple[str, ...]
    found_pythons: tuple[str, ...] = ()
    driver: str | None
    driver_flavour: str | None = None
    driver_trouble: str = ""
    gpus: tuple[Gpu, ...]
    on_the_bus: tuple[PciGpu, ...] = ()
    other_gpus: tuple[str, ...] = ()
    sources: dict[str, bool]
    silence: tuple[str, ...] = ()
    local_wheels: tuple[str, ...] = ()
    vector_flags: tuple[str, ...] | None = None
    login_node: bool = False
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
    nobody_asked: bool = False
    warnings: tuple[str, ...] = ()

    def why_not(self, source: str) -> str:
        """Why a source cannot be used, in words that do not blame it for the settings."""
        if getattr(self.settings.sources, source) is False:
            return f"the settings rule out {SOURCE_NAMES[source]}"
        return f"{SOURCE_NAMES[source]} does not answer"


def gather(host: Host, settings: Settings, catalogue: Catalogue) -> Situation:
    """The situation of a host, or IncompleteHost naming what a plan needs and nobody said."""
    _complain_of_missing(host, settings)
    seen = host.known(driver.FACT)
    no_libc = host.missing(glibc.FACT)
    known_cpu, known_memory = host.known(cpu.FACT), host.known(memory.FACT)
    config = host.known(installer_config.FACT)
    work = host.known(scheduler.FACT)
    found_pythons = _pythons(host)
    found_toolkits = host.known(cuda_toolkits.FACT)
    around, shared, disk = (
        host.known(container.FACT),
        host.known(shm.FACT),
        (host.known(disks.FACT) or {}).get("prefix"),
    )
    return Situation(
        settings=settings,
        machine=host.known(machine.FACT) or "",
        glibc=host.known(glibc.FACT) or "0",
        no_glibc=no_libc.detail or no_libc.why if no_libc else "",
        pythons=(settings.python,) if settings.python != "auto" else found_pythons,
        found_pythons=found_pythons,
        driver=seen.version if seen else None,
        driver_flavour=seen.flavour if seen else None,
        driver_trouble=_trouble(host),
        gpus=_gpus(host, catalogue),
        on_the_bus=host.known(pci_gpus.FACT) or (),
        other_gpus=host.known(other_gpus.FACT) or (),
        sources=_sources(host, settings),
        silence=_silence(host, settings),
        local_wheels=config.local_wheels if config else (),
        vector_flags=known_cpu.flags if known_cpu else None,
        login_node=bool(work and work.name == "slurm" and work.place == "login"),
        container=around.engine if around else None,
        shm_gb=shared.total_gb if shared else None,
        prefix=disk.path if disk else "",
        prefix_trouble=_trouble_with(disk) if disk else "",
        free_gb=disk.free_gb if disk else None,
        cores=known_cpu.usable if known_cpu else None,
        available_gb=known_memory.available_gb if known_memory else None,
        memory_limit_gb=known_memory.allowed_gb if known_memory else None,
        compilers=host.known(compilers.FACT),
        toolkits=found_toolkits.toolkits if found_toolkits else (),
        nobody_asked=host.is_recording and host.missing(sources.FACT) is not None,
        warnings=tuple(_warnings(host)),
    )


def _gpus(host: Host, catalogue: Catalogue) -> tuple[Gpu, ...]:
    found = [identify.completed(gpu, catalogue.gpus) for gpu in host.known(gpus.FACT) or ()]
    if found and all(gpu.cc is None for gpu in found):
        raise IncompleteHost(
            f"GPU {found[0].id}: nothing is known of a `{' '.join((found[0].name or '').split())}`",
            hint='describe the host in YAML with its compute capability: {name: …, cc: "9.0", memory_gb: 80}',
        )
    return tuple(part for gpu in found for part in identify.parts(gpu))


def _complain_of_missing(host: Host, settings: Settings) -> None:
    missing = []
    if host.missing(machine.FACT):
        missing.append("machine (x86_64 or aarch64)")
    no_libc, no_gpus, no_driver = host.missing(glibc.FACT), host.missing(gpus.FACT), host.missing(driver.FACT)
    if no_libc and no_libc.why != "absent":
        missing.append('glibc (such as "2.35")')
    if host.missing(pythons.FACT) and settings.python == "auto":
        missing.append('python (such as "3.12")')
    if no_gpus and no_gpus.why == "not read":
        missing.append("gpus (a list, which may be empty)")
    if host.known(gpus.FACT) and no_driver and no_driver.why == "not read":
        missing.append('driver (such as "580.95.05")')
    if missing:
        raise IncompleteHost(
            f"a plan also needs: {', '.join(missing)}",
            hint="add what is missing, or record the host: ./setup.sh host -o FILE",
        )


def _pythons(host: Host) -> tuple[str, ...]:
    """The minor versions on the host, newest first."""
    versions = (re.match(r"3\.(\d{1,3})(?!\d)", found.version, re.ASCII) for found in host.known(pythons.FACT) or ())
    minors = {int(version[1]) for version in versions if version}
    return tuple(f"3.{minor}" for minor in sorted(minors, reverse=True))


def _sources(host: Host, settings: Settings) -> dict[str, bool]:
    """A source counts where the settings allow it and nothing says that it does not answer."""
    answers = host.known(sources.FACT) or {}
    config = host.known(installer_config.FACT)
    usable = {}
    for name in sources.NAMES:
        wish, answer = getattr(settings.sources, name), answers.get(name)
        mirror = isinstance(wish, str) and not host.is_recording  # a description speaks of the source itself
        usable[name] = wish is not False and (mirror or answer is None or answer.answers)
    if config and config.no_index and not isinstance(settings.sources.pypi, str):
        usable["pypi"] = False
    return usable


def _silence(host: Host, settings: Settings) -> tuple[str, ...]:
    """What the sources said that were asked and did not answer."""
    answers = host.known(sources.FACT) or {}
    return tuple(
        f"{SOURCE_NAMES[name]}: {answers[name].detail}"
        for name in sources.NAMES
        if name in answers
        and not answers[name].answers
        and answers[name].detail
        and getattr(settings.sources, name) is not False
    )


def _trouble(host: Host) -> str:
    """Why the driver does not answer, where one is there: NVML's own words, or what kept us from asking."""
    answer = host.known(nvml.FACT)
    # A Jetson has no NVML, and under WSL nvidia-smi may be all there is: what counts is that somebody answers.
    nobody = any(gpu.memory_gb is None and not gpu.integrated for gpu in host.known(gpus.FACT) or ())
    if answer and answer.state != "ok" and (answer.state != "no library" or nobody) and host.known(driver.FACT):
        return answer.detail.rstrip(".") or f"NVML: {answer.state}"
    for missing in (host.missing(gpus.FACT), host.missing(driver.FACT)):
        if missing and missing.why in ("refused", "timed out", "failed", "unparsable"):
            return f"{missing.why}: {missing.detail}" if missing.detail else missing.why
    return ""


def _warnings(host: Host) -> list[str]:
    """Where sources of the facts that a plan rests on disagree."""
    return [*host.warnings(driver.FACT), *host.warnings(gpus.FACT), *host.warnings(fabric_manager.FACT)]


def _trouble_with(disk: disks.Disk) -> str:
    """Why an environment could not be made or run there."""
    if "ro" in disk.options:
        return "mounted read-only"
    if not disk.writable:
        return "we may not write there"
    return "mounted noexec" if "noexec" in disk.options else ""
