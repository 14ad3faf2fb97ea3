"""GPUs that are present and do not answer: their names, the fault of each, and its fix."""

from __future__ import annotations

from collections.abc import Collection

from provision.catalog.rows import Catalogue, DriverLimit
from provision.host.pci_gpus import PciGpu
from provision.plan._model import Reasons
from provision.plan.identify import pci_row
from provision.plan.situation import Situation
from provision.plan.versions import numbers

IN_WINDOWS = "this is WSL, which uses the driver of Windows"
_NO_DRIVER = "vllm-ready never installs a driver"
_CONTAINER = (
    "start the container with its GPUs: docker run --gpus all (podman: --device"
    " nvidia.com/gpu=all); "
    "the host needs the NVIDIA Container Toolkit for it"
)


def reasons(situation: Situation, catalogue: Catalogue) -> Reasons | None:
    """Return the reasons against using the GPUs of this host, where they do not answer."""
    # On the PCI bus, and no driver shows them.
    if situation.pci_gpus and not situation.gpus:
        return Reasons(
            subject="GPUs",
            reasons=tuple(_fault(device, situation, catalogue) for device in situation.pci_gpus),
        )
    if situation.gpus and (situation.driver is None or situation.driver_trouble):
        names = ", ".join(sorted({gpu.name for gpu in situation.gpus}))
        trouble = f" ({situation.driver_trouble})" if situation.driver_trouble else ""
        return Reasons(subject="driver", reasons=(f"{names}: no NVIDIA driver answers{trouble}",))
    if situation.driver_trouble:
        return Reasons(
            subject="driver",
            reasons=(
                f"the NVIDIA driver is installed and does not answer: {situation.driver_trouble}",
            ),
        )
    return None


def advice(situation: Situation, catalogue: Catalogue) -> tuple[str, ...]:
    if _in_a_container(situation):
        return (_CONTAINER,)
    if situation.wsl:
        install = f"{_install(situation, catalogue)} in Windows, run wsl --shutdown"
        return (f"{IN_WINDOWS}: {install}, and start WSL again; install no Linux driver in it",)
    # The hypervisor owns these: no driver of this host helps.
    if any(device.driver == "vfio-pci" for device in situation.pci_gpus):
        return (
            "these GPUs are passed through to a virtual machine (vfio-pci): run vllm-ready in it",
        )
    if situation.driver_trouble:
        return (
            *situation.warnings,
            f"run nvidia-smi and read the kernel log (dmesg) for the cause; {_NO_DRIVER}",
        )
    if situation.gpus and all(gpu.integrated for gpu in situation.gpus):
        system = "the system image (JetPack, DGX OS) has the driver of an integrated GPU"
        return (f"{system}: repair it; {_NO_DRIVER}",)
    if hopeless := too_old(_capabilities(situation, catalogue), catalogue):
        return (f"{hopeless}; another driver does not change that",)
    nouveau = (
        ", instead of nouveau,"
        if any(device.driver == "nouveau" for device in situation.pci_gpus)
        else ","
    )
    install = _install(situation, catalogue)
    return (f"{install}{nouveau} reboot, and run this again; {_NO_DRIVER}",)


def _capabilities(situation: Situation, catalogue: Catalogue) -> set[str]:
    on_the_bus = {
        row.cc for device in situation.pci_gpus if (row := pci_row(device, catalogue.pci))
    }
    return on_the_bus or {gpu.cc or "" for gpu in situation.gpus}


def _install(situation: Situation, catalogue: Catalogue) -> str:
    # Several kinds of GPU may need several drivers: all are named.
    capabilities = _capabilities(situation, catalogue)
    drivers = {
        driver_needed(limit, catalogue) for limit in catalogue.drivers if limit.cc in capabilities
    }
    return f"install {' and '.join(sorted(drivers or {driver_needed(None, catalogue)}))}"


def too_old(capabilities: Collection[str], catalogue: Catalogue) -> str:
    """Return the reason against GPUs that are all too old for any vLLM, or ""."""
    lowest = lowest_capability(catalogue)
    if not capabilities or not all(cc and numbers(cc) < numbers(lowest) for cc in capabilities):
        return ""
    return (
        f"no published vLLM has code for {', '.join(sorted(capabilities))}: vLLM needs a GPU of"
        f" {lowest} or newer"
    )


def lowest_capability(catalogue: Catalogue) -> str:
    """Return the lowest capability that any published vLLM supports."""
    return min((rule.value for rule in catalogue.rules if rule.kind == "capability"), key=numbers)


def _in_a_container(situation: Situation) -> bool:
    # It sees the kernel module and the PCI bus of the host, and no driver library.
    return bool(situation.container) and any(
        device.driver == "nvidia" for device in situation.pci_gpus
    )


def _fault(device: PciGpu, situation: Situation, catalogue: Catalogue) -> str:
    row = pci_row(device, catalogue.pci)
    name = (row.name or f"{row.chip} GPU") if row else f"an unknown NVIDIA GPU ({device.device_id})"
    limit = next((limit for limit in catalogue.drivers if row and limit.cc == row.cc), None)
    needs = f"; it needs {driver_needed(limit, catalogue)}"
    trouble = f" ({situation.driver_trouble})" if situation.driver_trouble else ""
    states = {
        None: f"no driver is loaded{trouble}{needs}",
        "nouveau": f"bound to the nouveau driver, which cannot run CUDA{needs}",
        "vfio-pci": "passed through to a virtual machine (vfio-pci)",
        "nvidia": f"its driver is loaded and does not answer{trouble}",
    }
    other = f"bound to {device.driver}, which is not an NVIDIA driver{needs}"
    return f"{device.bus_id} {name}: {states.get(device.driver, other)}"


def driver_needed(limit: DriverLimit | None, catalogue: Catalogue) -> str:
    """Return the driver to install for a GPU, in words: a branch that also runs the newest CUDA."""
    # A driver for the newest CUDA runs all older ones, too.
    branch = numbers(max(catalogue.cuda_major, key=lambda row: int(row.major)).driver)[0]
    if limit is None:
        return f"NVIDIA driver {branch} or newer"
    if limit.last is not None:
        return f"NVIDIA driver branch {limit.last}, the last for it"
    flavour = " with the open kernel modules" if limit.open_only else ""
    return f"NVIDIA driver {max(limit.first or branch, branch)} or newer{flavour}"
