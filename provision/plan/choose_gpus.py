"""The GPUs that a plan uses and those it leaves out, with the vLLM that would run them all."""

from __future__ import annotations

from collections.abc import Iterable

from provision.catalog.rows import Catalogue, DriverLimit
from provision.errors import WrongSetting
from provision.host.gpus import Gpu
from provision.plan._model import Decision, ExcludedGpu, UsedGpus
from provision.plan.candidates import Candidate
from provision.plan.dead_gpus import driver_needed
from provision.plan.situation import Situation
from provision.plan.versions import numbers, serves


def against_driver(situation: Situation, catalogue: Catalogue) -> dict[str, str]:
    """Return the reason against each GPU that the driver cannot run with any vLLM.

    Such a GPU is newer than the driver, dropped by it, or split by MIG without an instance.
    """
    limits = {limit.cc: limit for limit in catalogue.drivers}
    reasons = {
        gpu.id: _against(gpu, situation, limits.get(gpu.cc or ""), catalogue)
        for gpu in situation.gpus
    }
    return {gpu: reason for gpu, reason in reasons.items() if reason}


def _against(
    gpu: Gpu, situation: Situation, limit: DriverLimit | None, catalogue: Catalogue
) -> str:
    driver = situation.driver or ""
    branch = numbers(driver)[:1]
    if gpu.cc is None:
        return f"`{gpu.name}` is unknown: describe it with its compute capability (cc) to use it"
    # A slice has an id such as 0:1; a whole GPU with MIG enabled cannot run anything.
    if gpu.mig and ":" not in gpu.id:
        return "MIG is enabled and has no instance: create one, or disable MIG"
    # Unknown capabilities have no limit here: the wheels decide.
    if limit is None or not branch:
        return ""
    if limit.first is not None and branch < (limit.first,):
        return (
            f"the {gpu.name} ({gpu.cc}) needs driver branch {limit.first} or newer; this host has"
            f" {driver}"
        )
    if limit.last is not None and branch > (limit.last,):
        return (
            f"the {gpu.name} ({gpu.cc}) needs {driver_needed(limit, catalogue)};"
            f" this host has {driver}, which no longer supports it"
        )
    if limit.open_only and situation.driver_flavour == "proprietary":
        return (
            f"the {gpu.name} ({gpu.cc}) needs the open kernel modules; this host has the"
            " proprietary ones"
        )
    return ""


def without_torch(situation: Situation, catalogue: Catalogue) -> dict[str, str]:
    """Return the reason against each GPU that no published torch for this machine has code for."""
    built_for = tuple(
        capability
        for torch in catalogue.torch
        for build in torch.builds
        if build.machine == situation.machine
        for capability in build.sm
    )
    why = f"no published torch for {situation.machine} has code for it"
    return {
        gpu.id: f"the {gpu.name} ({gpu.cc}): {why}"
        for gpu in situation.gpus
        if gpu.cc and not serves(built_for, gpu.cc)
    }


def requested(situation: Situation) -> frozenset[str]:
    """Return the ids that the settings allow; raise WrongSetting for an id that the host lacks."""
    present = [gpu.id for gpu in situation.gpus]
    setting = situation.settings.gpus
    if setting in ("auto", "all"):
        return frozenset(present)
    ids = [str(gpu) for gpu in setting]
    unknown = [gpu for gpu in ids if gpu not in present]
    if unknown or not ids:
        raise WrongSetting(
            f"gpus: there is no GPU {unknown[0]}" if unknown else "gpus: the list is empty",
            hint=f"this host has GPU {ranges(present)}",
        )
    return frozenset(ids)


def usable(situation: Situation, catalogue: Catalogue) -> frozenset[str]:
    """Return the ids that the settings allow and the driver can run."""
    return requested(situation) - against_driver(situation, catalogue).keys()


def ranges(ids: Iterable[str]) -> str:
    """Return GPU ids as every text names them: 0-3 for 0, 1, 2, 3."""
    runs: list[list[str]] = []
    for gpu in ids:
        # Slices ("0:1") never form a range.
        last = runs[-1][-1] if runs else ""
        if gpu.isdecimal() and last.isdecimal() and int(gpu) == int(last) + 1:
            runs[-1].append(gpu)
        else:
            runs.append([gpu])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def settle(
    candidate: Candidate, situation: Situation, dead: dict[str, str], price: str | None
) -> tuple[UsedGpus, Decision]:
    """Return the GPUs that the chosen vLLM uses, and the reason against each other GPU."""
    allowed = requested(situation)
    used = tuple(
        gpu.id
        for gpu in situation.gpus
        if gpu.id in candidate.runs and gpu.id in allowed and gpu.id not in dead
    )
    excluded = tuple(
        ExcludedGpu(id=gpu.id, reason=_reason(gpu, candidate, dead, allowed, price))
        for gpu in situation.gpus
        if gpu.id not in used
    )
    return UsedGpus(
        used=used,
        capabilities=tuple(
            sorted({gpu.cc for gpu in situation.gpus if gpu.id in used and gpu.cc}, key=numbers)
        ),
        excluded=excluded,
    ), Decision(subject="gpus", chosen=ranges(used), because=_because(situation, used))


def _reason(
    gpu: Gpu, candidate: Candidate, dead: dict[str, str], allowed: frozenset[str], price: str | None
) -> str:
    if gpu.id in dead:
        return dead[gpu.id]
    if gpu.id not in allowed:
        return "the settings leave it out"
    cost = (
        f"; using it would mean {price}"
        if price
        else "; no vLLM available here runs it beside the other GPUs"
    )
    return f"vLLM {candidate.release.version}: {candidate.leaves[gpu.id]}{cost}"


def _because(situation: Situation, used: tuple[str, ...]) -> str:
    if situation.settings.gpus not in ("auto", "all"):
        return "the settings name them"
    if len(used) == len(situation.gpus):
        return "all GPUs of this host"
    # Of GPUs with unknown memory the number is shown instead.
    have = sum(gpu.memory_gb or 0 for gpu in situation.gpus)
    take = sum(gpu.memory_gb or 0 for gpu in situation.gpus if gpu.id in used)
    share = f"{take:.0f} of {have:.0f} GB" if have else f"{len(used)} of {len(situation.gpus)}"
    if 2 * take >= have:
        return (
            f"the newest vLLM that runs GPUs with at least half of the memory runs these ({share})"
        )
    return f"no vLLM runs more of the GPU memory of this host ({share})"
