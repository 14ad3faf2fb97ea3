"""The plan for a host whose CPU is to run vLLM."""

from __future__ import annotations

from provision.catalog.rows import Catalogue
from provision.plan import advise, choose_cpu, choose_flash_attn, sizes
from provision.plan._model import (
    Decision,
    ExcludedGpu,
    Plan,
    Reasons,
    Refusal,
    Unsupported,
    UsedGpus,
)
from provision.plan.choose_vllm import grouped
from provision.plan.frame import day_after, platform, python_decision, pythons
from provision.plan.situation import Situation
from provision.plan.versions import newer


def plan(
    situation: Situation,
    catalogue: Catalogue,
    profile: Decision,
    refusals: tuple[Refusal, ...],
    checks: tuple[str, ...],
) -> Plan | Unsupported:
    tried = {python: choose_cpu.choose(situation, catalogue, python, refusals) for python in pythons(situation)}
    best, rejected = next(iter(tried.values()))
    for choice, against in tried.values():
        if choice and (best is None or _better(choice, best)):
            best, rejected = choice, against
    if best is None:
        lines = tuple(f"{one.candidate}: {one.reason}" for one in grouped(rejected))
        silent = ("no source answers that has a vLLM for CPUs: the vLLM index, GitHub or PyPI",)
        return Unsupported(
            unsupported=(Reasons(subject="vllm", reasons=lines or silent), *advise.unheard(situation)),
            advice=advise.for_cpu(situation, catalogue, None),
        )
    allows = {python: _in_words(choice) for python, (choice, _) in tried.items()}
    flash = choose_flash_attn.for_cpu()
    download, disk = sizes.cpu(best, catalogue)
    override = (choose_cpu.OVERRIDE,) if best.torch_is_for_cuda else ()
    excluded = tuple(ExcludedGpu(id=gpu.id, reason="config asks for the CPU") for gpu in situation.gpus)
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
            python_decision(situation, best.python, allows),
            Decision(subject="vllm", chosen=best.vllm.version, because=best.because, rejected=grouped(rejected)),
            Decision(
                subject="torch",
                chosen=best.torch.version,
                because=_torch_because(best),
            ),
            flash.decision,
        ),
        uploaded_before=day_after(best.released),
        download_mb=download,
        disk_mb=disk,
        checks=checks,
        warnings=(
            *situation.warnings,
            *advise.about_sources(situation),
            *advise.about_python(situation, best.python),
            *override,
        ),
        advice=advise.for_cpu(situation, catalogue, best),
    )


def _better(choice: choose_cpu.CpuChoice, than: choose_cpu.CpuChoice) -> bool:
    if choice.version != than.version:
        return newer(choice.version, than.version)
    return than.torch_is_for_cuda and not choice.torch_is_for_cuda


def _in_words(choice: choose_cpu.CpuChoice | None) -> str:
    if choice is None:
        return ""
    return f"{choice.version} beside a torch for CUDA" if choice.torch_is_for_cuda else choice.version


def _torch_because(choice: choose_cpu.CpuChoice) -> str:
    if not choice.torch_is_for_cuda:
        return "pinned by vLLM"
    return "pinned by vLLM; its build for CPUs is on the PyTorch index, which does not answer, and in no local folder"
