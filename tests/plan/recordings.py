"""Readings of whole hosts, as real hosts give them; each test changes its own part."""

from __future__ import annotations

from typing import Any

from provision.catalog import rows
from provision.doors.reading import Reading
from provision.host import _gpus_of_the_kernel as kernel
from provision.host import _nvidia_smi, driver, nvml, pci_gpus
from provision.plan._model import Plan, Unsupported
from provision.session.planning import make_plan
from provision.settings import load
from tests.host.recorded import host

CATALOGUE = rows.load()
MODULE, NVML, BUS, PROC = driver.MODULE.key, nvml.SOURCE.key, pci_gpus.SOURCE.key, kernel.PROC.key
SMI_OF_WINDOWS = _nvidia_smi.SOURCES[2].key
SCHEDULER, PYTHONS, SOURCES, CPUINFO = (
    "probe scheduler",
    "probe pythons",
    "probe sources",
    "file /proc/cpuinfo",
)
NAMES = ("pypi", "pytorch", "vllm", "github")

BARE: dict[str, Any] = {
    "command uname -m": "x86_64\n",
    "command getconf GNU_LIBC_VERSION": "glibc 2.39\n",
    "probe environment": {"variables": {}, "set": []},
    "probe installer_config": {"pip": {}, "uv": {}, "wheels": []},
    PYTHONS: [
        '{"version": "3.12.3", "path": "/usr/bin/python3.12", "venv": true, "headers": false}'
    ],
    SCHEDULER: {"slurm_commands": False, "slurmd": False},
    SOURCES: {name: {"answers": True} for name in NAMES},
    MODULE: Reading(outcome="absent", detail="/sys/module/nvidia/version does not exist"),
    NVML: Reading(outcome="absent", detail="NVML error 12: NVML Shared Library Not Found"),
}
LOGIN_NODE = {"slurm_commands": True, "slurmd": False}
MISMATCH = Reading(
    outcome="failed",
    text='{"library": "libnvidia-ml.so.580.95.05", "error": {"code": 18, "text": "mismatch"}}',
    detail="NVML error 18: RM has detected an NVML/RM version mismatch.",
)


def gpu(
    index: int = 0, name: str = "NVIDIA H100 80GB HBM3", cc: str = "9.0", **more: Any
) -> dict[str, Any]:
    """Return a GPU as NVML reports it."""
    values = {
        "index": index,
        "name": name,
        "bus_id": f"00000000:{index + 23:02X}:00.0",
        "cc": cc,
        "memory": 85899345920,
    }
    return {**values, **more}


def on_the_bus(slot: str, pci_id: str = "10DE:2330", bound_to: str = "") -> dict[str, str]:
    """Return a GPU as the kernel's PCI folder reports it."""
    first = f"DRIVER={bound_to}\n" if bound_to else ""
    uevent = f"{first}PCI_CLASS=30200\nPCI_ID={pci_id}\nPCI_SLOT_NAME={slot}\n"
    return {f"/sys/bus/pci/devices/{slot}/uevent": uevent}


def with_gpus(*gpus: dict[str, Any], version: str = "580.65.06", **changed: Any) -> dict[str, Any]:
    """Return a host whose driver works and shows these GPUs."""
    return {**BARE, MODULE: f"{version}\n", NVML: {"driver": version, "gpus": gpus}, **changed}


def result(readings: dict[str, Any], *settings: str) -> Plan | Unsupported:
    return make_plan(host(readings), load(None, "config.yaml", settings), CATALOGUE)


def plan(readings: dict[str, Any], *settings: str) -> Plan:
    made = result(readings, *settings)
    assert isinstance(made, Plan), made
    return made


def no_plan(readings: dict[str, Any], *settings: str) -> Unsupported:
    made = result(readings, *settings)
    assert isinstance(made, Unsupported), made
    return made
