"""CUDA or CPU: never the CPU quietly where a GPU is there and does not answer."""

from __future__ import annotations

from provision.catalog.rows import Catalogue, DriverLimit
from provision.host.pci_gpus import PciGpu
from provision.plan._model import Decision, Reasons
from provision.plan.identify import on_the_bus
from provision.plan.situation import Situation
from provision.plan.versions import numbers


def choose(situation: Situation, catalogue: Catalogue) -> Decision | Reasons:
    """The profile with its reason, or what stands against any."""
    asked = situation.settings.profile
    if asked == "cpu":
        return _cpu(situation, "config asks for it")
    if situation.gpus:
        return _with_gpus(situation)
    if situation.on_the_bus:
        return Reasons(
            subject="GPUs",
            reasons=tuple(_dead(device, situation, catalogue) for device in situation.on_the_bus),
        )
    if situation.driver_trouble:
        return Reasons(
            subject="driver",
            reasons=(f"an NVIDIA driver is there and does not answer: {situation.driver_trouble}",),
        )
    if situation.login_node:
        reason = (
            "a Slurm login node has no GPU by design: plan on a compute node, or ask for the CPU: --set profile=cpu"
        )
        return Reasons(subject="profile", reasons=(reason,))
    if asked == "cuda":
        return Reasons(subject="profile", reasons=("config asks for CUDA, and this host has no NVIDIA GPU",))
    return _cpu(situation, "no NVIDIA GPU on this host")


def _cpu(situation: Situation, because: str) -> Decision | Reasons:
    """The CPU, unless the settings ask for CUDA in another way."""
    wishes = situation.settings
    variant = wishes.torch.partition("+")[2]
    if wishes.cuda != "auto" or variant not in ("", "cpu"):
        wish = f"cuda: {wishes.cuda}" if wishes.cuda != "auto" else f"torch: {wishes.torch}"
        return Reasons(
            subject="profile",
            reasons=(f"`{wish}` in the settings is for a GPU, and this plan is for a CPU: {because}",),
        )
    return Decision(subject="profile", chosen="cpu", because=because)


def _with_gpus(situation: Situation) -> Decision | Reasons:
    if situation.driver is None or situation.driver_trouble:
        names = ", ".join(sorted({gpu.name for gpu in situation.gpus}))
        trouble = f" ({situation.driver_trouble})" if situation.driver_trouble else ""
        return Reasons(subject="driver", reasons=(f"{names}: no NVIDIA driver answers for it{trouble}",))
    if not numbers(situation.driver):
        return Reasons(subject="driver", reasons=(f"`{situation.driver}` is no driver version such as 580.65.06",))
    return Decision(
        subject="profile",
        chosen="cuda",
        because=f"{len(situation.gpus)} NVIDIA GPU(s) and driver {situation.driver}",
    )


def _dead(device: PciGpu, situation: Situation, catalogue: Catalogue) -> str:
    """One GPU on the bus without a working driver: what it is, and the driver that it needs."""
    row = on_the_bus(device, catalogue.pci)
    what = (row.name or f"{row.chip} GPU") if row else f"an unknown NVIDIA GPU ({device.device_id})"
    state = f"its driver ({device.driver}) does not answer" if device.driver else "no driver is loaded for it"
    if situation.driver_trouble:
        state += f" ({situation.driver_trouble})"
    limit = next((limit for limit in catalogue.drivers if row and limit.cc == row.cc), None)
    needs = "" if device.driver == "nvidia" else f"; it needs {driver_wanted(limit)}"
    return f"{device.bus_id} {what}: {state}{needs}"


def driver_wanted(limit: DriverLimit | None) -> str:
    """The driver a GPU asks for, in words."""
    if limit is None:
        return "NVIDIA driver 580 or newer"
    if limit.last is not None:
        return f"NVIDIA driver branch {limit.last}, the last for it"
    flavour = " with the open kernel modules" if limit.open_only else ""
    return f"NVIDIA driver {max(limit.first or 580, 580)} or newer{flavour}"
