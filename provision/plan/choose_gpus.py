"""Which GPUs a plan may use, which it leaves out, and what taking them in would cost."""

from __future__ import annotations

from collections.abc import Iterable

from provision.catalog.rows import Catalogue, DriverLimit
from provision.errors import WrongSetting
from provision.host.gpus import Gpu
from provision.plan._model import Decision, ExcludedGpu, UsedGpus
from provision.plan.dead_gpus import driver_wanted
from provision.plan.candidates import Candidate
from provision.plan.situation import Situation
from provision.plan.versions import numbers


def against_driver(situation: Situation, catalogue: Catalogue) -> dict[str, str]:
    """GPUs that the driver cannot run at all, whatever vLLM: newer than it, dropped by it, or cut to pieces."""
    limits = {limit.cc: limit for limit in catalogue.drivers}
    reasons = {gpu.id: _against(gpu, situation, limits.get(gpu.cc or ""), catalogue) for gpu in situation.gpus}
    return {gpu: reason for gpu, reason in reasons.items() if reason}


def _against(gpu: Gpu, situation: Situation, limit: DriverLimit | None, catalogue: Catalogue) -> str:
    driver = situation.driver or ""
    branch = numbers(driver)[:1]
    if gpu.cc is None:
        return f"nothing is known of a `{gpu.name}`: describe it with its compute capability to use it"
    if gpu.mig and ":" not in gpu.id:
        return "MIG is on and no instance exists: create one, or switch MIG off"
    if limit is None or not branch:
        return ""
    if limit.first is not None and branch < (limit.first,):
        return f"driver {driver} is older than the {gpu.name} ({gpu.cc}); it needs branch {limit.first} or newer"
    if limit.last is not None and branch > (limit.last,):
        return f"driver {driver} has dropped the {gpu.name} ({gpu.cc}); it needs {driver_wanted(limit, catalogue)}"
    if limit.open_only and situation.driver_flavour == "proprietary":
        return f"the {gpu.name} ({gpu.cc}) needs the open kernel modules; this driver is the proprietary flavour"
    return ""


def asked_for(situation: Situation) -> frozenset[str]:
    """The ids that the settings allow; an id that the host does not have is refused."""
    here = [gpu.id for gpu in situation.gpus]
    asked = situation.settings.gpus
    if asked in ("auto", "all"):
        return frozenset(here)
    wanted = [str(gpu) for gpu in asked]
    unknown = [gpu for gpu in wanted if gpu not in here]
    if unknown or not wanted:
        what = f"gpus: there is no GPU {unknown[0]}" if unknown else "gpus: the list is empty"
        raise WrongSetting(what, hint=f"this host has {ranges(here)}")
    return frozenset(wanted)


def usable(situation: Situation, catalogue: Catalogue) -> frozenset[str]:
    """Return the ids that the settings allow and the driver can run."""
    return asked_for(situation) - against_driver(situation, catalogue).keys()


def ranges(ids: Iterable[str]) -> str:
    """GPUs as every text names them: 0, 1, 2, 3 -> 0-3."""
    runs: list[list[str]] = []
    for one in ids:
        if runs and one.isdecimal() and runs[-1][-1].isdecimal() and int(one) == int(runs[-1][-1]) + 1:
            runs[-1].append(one)
        else:
            runs.append([one])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def settle(
    candidate: Candidate, situation: Situation, dead: dict[str, str], price: str | None
) -> tuple[UsedGpus, Decision]:
    """The GPUs that the chosen vLLM uses, and the others with their reasons."""
    allowed = asked_for(situation)
    used = tuple(
        gpu.id for gpu in situation.gpus if gpu.id in candidate.runs and gpu.id in allowed and gpu.id not in dead
    )
    excluded = tuple(
        ExcludedGpu(id=gpu.id, reason=_reason(gpu, candidate, dead, allowed, price))
        for gpu in situation.gpus
        if gpu.id not in used
    )
    capabilities = tuple(sorted({gpu.cc for gpu in situation.gpus if gpu.id in used and gpu.cc}, key=numbers))
    return UsedGpus(used=used, capabilities=capabilities, excluded=excluded), Decision(
        subject="gpus", chosen=ranges(used), because=_because(situation, used)
    )


def _reason(gpu: Gpu, candidate: Candidate, dead: dict[str, str], allowed: frozenset[str], price: str | None) -> str:
    if gpu.id in dead:
        return dead[gpu.id]
    if gpu.id not in allowed:
        return "config leaves it out"
    cost = f"; taking it in would mean {price}" if price else "; no vLLM that can be had here runs it beside the others"
    return f"vLLM {candidate.release.version}: {candidate.leaves[gpu.id]}{cost}"


def _because(situation: Situation, used: tuple[str, ...]) -> str:
    if situation.settings.gpus not in ("auto", "all"):
        return "config names them"
    if len(used) == len(situation.gpus):
        return "all GPUs of this host"
    have = sum(gpu.memory_gb or 0 for gpu in situation.gpus)
    take = sum(gpu.memory_gb or 0 for gpu in situation.gpus if gpu.id in used)
    share = f"{take:.0f} of {have:.0f} GB" if have else f"{len(used)} of {len(situation.gpus)}"
    return (
        f"the newest vLLM that runs GPUs with at least half of the memory ({share})"
        if 2 * take >= have
        else (f"the most GPU memory that any vLLM runs here ({share})")
    )
