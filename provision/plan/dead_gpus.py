"""GPUs that are there and do not answer: what each is, what is wrong, and what would mend it."""

from __future__ import annotations

from collections.abc import Collection

from provision.catalog.rows import Catalogue, DriverLimit
from provision.host.pci_gpus import PciGpu
from provision.plan._model import Reasons
from provision.plan.identify import on_the_bus
from provision.plan.situation import Situation
from provision.plan.versions import numbers

_NEVER = "vllm-ready never installs a driver"
_CONTAINER = (
    "start the container with its GPUs: docker run --gpus all (podman: --device nvidia.com/gpu=all), "
    "which needs the NVIDIA Container Toolkit on the host"
)


def reasons(situation: Situation, catalogue: Catalogue) -> Reasons | None:
    """What stands against using the GPUs of this host, if they are there and do not answer."""
    if situation.on_the_bus and not situation.gpus:
        lines = tuple(_dead(device, situation, catalogue) for device in situation.on_the_bus)
        return Reasons(subject="GPUs", reasons=lines)
    if situation.gpus and (situation.driver is None or situation.driver_trouble):
        names = ", ".join(sorted({gpu.name for gpu in situation.gpus}))
        trouble = f" ({situation.driver_trouble})" if situation.driver_trouble else ""
        line = f"{names}: no NVIDIA driver answers for it{trouble}"
        return Reasons(subject="driver", reasons=(line,))
    if situation.driver_trouble:
        line = f"an NVIDIA driver is there and does not answer: {situation.driver_trouble}"
        return Reasons(subject="driver", reasons=(line,))
    return None


def advice(situation: Situation, catalogue: Catalogue) -> tuple[str, ...]:
    """What to do about it."""
    if _in_a_container(situation):
        return (_CONTAINER,)
    if any(device.driver == "vfio-pci" for device in situation.on_the_bus):
        return ("these GPUs are handed to virtual machines (vfio-pci): run this inside the machine that has them",)
    if situation.driver_trouble:
        return (*situation.warnings, f"nvidia-smi and the kernel log (dmesg) say what the driver is missing; {_NEVER}")
    if situation.gpus and all(gpu.integrated for gpu in situation.gpus):
        return (
            f"the driver of an integrated GPU comes with its system image (JetPack, DGX OS): repair that; {_NEVER}",
        )
    rows = [row for device in situation.on_the_bus if (row := on_the_bus(device, catalogue.pci))]
    capabilities = {row.cc for row in rows} or {gpu.cc or "" for gpu in situation.gpus}
    if hopeless := too_old(capabilities, catalogue):
        return (f"{hopeless}, whatever the driver",)
    limits = [limit for limit in catalogue.drivers if limit.cc in capabilities]
    wanted = " and ".join(
        sorted({driver_wanted(limit, catalogue) for limit in limits} or {driver_wanted(None, catalogue)})
    )
    nouveau = ", instead of nouveau," if any(device.driver == "nouveau" for device in situation.on_the_bus) else ","
    return (f"install {wanted}{nouveau} reboot, and run this again; {_NEVER}",)


def too_old(capabilities: Collection[str], catalogue: Catalogue) -> str:
    """What to say of GPUs that are all older than any vLLM."""
    lowest = lowest_capability(catalogue)
    if not capabilities or not all(one and numbers(one) < numbers(lowest) for one in capabilities):
        return ""
    return f"no published vLLM has code for {', '.join(sorted(capabilities))}: it takes a GPU of {lowest} or newer"


def lowest_capability(catalogue: Catalogue) -> str:
    """Of the GPUs that any published vLLM runs on."""
    return min((rule.value for rule in catalogue.rules if rule.kind == "capability"), key=numbers)


def _in_a_container(situation: Situation) -> bool:
    """A container sees the host's kernel module and PCI bus, and no library where it was not given the GPUs."""
    return bool(situation.container) and any(device.driver == "nvidia" for device in situation.on_the_bus)


def _dead(device: PciGpu, situation: Situation, catalogue: Catalogue) -> str:
    row = on_the_bus(device, catalogue.pci)
    what = (row.name or f"{row.chip} GPU") if row else f"an unknown NVIDIA GPU ({device.device_id})"
    limit = next((limit for limit in catalogue.drivers if row and limit.cc == row.cc), None)
    needs = f"; it needs {driver_wanted(limit, catalogue)}"
    trouble = f" ({situation.driver_trouble})" if situation.driver_trouble else ""
    states = {
        None: f"no driver is loaded for it{trouble}{needs}",
        "nouveau": f"bound to nouveau, which cannot run CUDA{needs}",
        "vfio-pci": "handed to a virtual machine (vfio-pci)",
        "nvidia": f"its driver is loaded and does not answer here{trouble}",
    }
    other = f"bound to {device.driver}, which is no NVIDIA driver{needs}"
    return f"{device.bus_id} {what}: {states.get(device.driver, other)}"


def driver_wanted(limit: DriverLimit | None, catalogue: Catalogue) -> str:
    """The driver that a GPU asks for, in words: of the branches that it allows, one that runs the newest CUDA."""
    newest = max(catalogue.cuda_major, key=lambda row: int(row.major))
    branch = numbers(newest.driver)[0]
    if limit is None:
        return f"NVIDIA driver {branch} or newer"
    if limit.last is not None:
        return f"NVIDIA driver branch {limit.last}, the last for it"
    flavour = " with the open kernel modules" if limit.open_only else ""
    return f"NVIDIA driver {max(limit.first or branch, branch)} or newer{flavour}"
