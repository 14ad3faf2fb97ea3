"""The plan for a host whose NVIDIA GPUs run vLLM."""

from __future__ import annotations

from functools import partial

import msgspec

from provision.catalog.rows import Catalogue
from provision.plan import advice, choose_attention, choose_gpus, make_cpu, sizes, warn, way_out
from provision.plan._model import (
    Decision,
    Package,
    Plan,
    Reasons,
    Refusal,
    Rejected,
    Unsupported,
    UsedGpus,
)
from provision.plan.candidates import Candidate, Releases, wheel_name
from provision.plan.choose_vllm import (
    VllmChoice,
    choose,
    grouped,
    of_request,
    refused_releases,
    rejections,
)
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
from provision.plan.versions import major, newer


def search(releases: Releases, situation: Situation) -> tuple[str, dict[str, VllmChoice]]:
    """Return the choice for every Python, and the Python with the newest vLLM."""
    usable = choose_gpus.usable(situation, releases.catalogue)
    choices = {python: choose(releases, situation, python, usable) for python in pythons(situation)}
    return best_python(choices, _newer), choices


def _expected(releases: Releases, situation: Situation) -> advice.ExpectedVllm | None:
    python, choices = search(releases, situation)
    candidate = choices[python].candidate
    return _as_expected(candidate, situation, releases.catalogue) if candidate else None


def _as_expected(
    candidate: Candidate, situation: Situation, catalogue: Catalogue
) -> advice.ExpectedVllm:
    used = choose_gpus.usable(situation, catalogue) & set(candidate.runs)
    return advice.ExpectedVllm(
        version=candidate.release.version,
        name=candidate.name,
        memory_gb=sum(gpu.memory_gb or 1 for gpu in situation.gpus if gpu.id in used),
    )


def _newer(choice: VllmChoice, than: VllmChoice) -> bool:
    if choice.candidate is None or than.candidate is None:
        return than.candidate is None and choice.candidate is not None
    return newer(choice.candidate.release.version, than.candidate.release.version)


def plan(
    situation: Situation,
    catalogue: Catalogue,
    profile: Decision,
    refusals: tuple[Refusal, ...],
    checks: tuple[str, ...],
    optional: Chooser,
) -> Plan | Unsupported:
    releases = Releases(situation, catalogue, refused_releases(refusals))
    dead = choose_gpus.against_driver(situation, catalogue)
    usable = choose_gpus.usable(situation, catalogue)
    python, choices = search(releases, situation)
    candidate = choices[python].candidate
    rejected = rejections(releases, situation, python, usable, candidate)
    # A candidate may run only GPUs that the driver or the settings exclude.
    if candidate is None or not usable & set(candidate.runs):
        return _no_vllm(situation, releases, dead, rejected)
    candidate = msgspec.structs.replace(candidate, python=python)
    price = _price(situation, releases) if len(candidate.runs) < len(situation.gpus) else None
    gpus, gpus_decision = choose_gpus.settle(candidate, situation, dead, price)
    flash = optional.choose(candidate, gpus.used, situation, catalogue, refusals)
    if situation.settings.flash_attn.mode == "require" and flash.package is None:
        return _without_required(flash, candidate)
    names = {python: choice.name for python, choice in choices.items()}
    attention = choose_attention.choose(candidate, situation, gpus.used, catalogue)
    download, disk = sizes.cuda(candidate, catalogue)
    return Plan(
        profile="cuda",
        python=python,
        platform=platform(situation),
        gpus=gpus,
        cuda=candidate.build.cuda,
        packages={**_packages(candidate, situation), "flash-attn": flash.package},
        flash_attn=flash.plan,
        attention=attention,
        decisions=(
            profile,
            gpus_decision,
            python_decision(situation, python, names),
            _vllm_decision(candidate, rejected, situation, enough=choices[python].enough),
            _torch_decision(candidate),
            flash.decision,
        ),
        uploaded_before=day_after(candidate.build.uploaded or candidate.release.released),
        download_mb=download,
        disk_mb=disk,
        checks=checks,
        warnings=(
            *warn.of_any(situation, python, disk, catalogue),
            *warn.of_gpus(candidate, situation, gpus.used, attention, catalogue),
        ),
        advice=_advice(situation, releases, candidate, gpus, price),
    )


def _advice(
    situation: Situation,
    releases: Releases,
    candidate: Candidate,
    gpus: UsedGpus,
    price: str | None,
) -> tuple[str, ...]:
    catalogue, answer = releases.catalogue, partial(_expected, releases)
    now = _as_expected(candidate, situation, catalogue)
    hints = list(advice.newer_vllm(situation, catalogue, now, answer))
    # With a price the sentence beside the excluded GPU already names the vLLM.
    if price is None and len(gpus.used) < len(choose_gpus.requested(situation)):
        hints += advice.more_gpus(situation, catalogue, now, answer)
    return (*hints, *advice.forward_compatibility(situation, catalogue, now, answer))


def _without_required(flash: OptionalChoice, candidate: Candidate) -> Unsupported:
    hint = f"without `flash_attn.mode: require` this host gets vLLM {candidate.name}"
    # The summary may repeat a rejection word for word: show it once.
    lines = (
        f"{rejection.candidate}: {rejection.reason}"
        for rejection in flash.rejected
        if rejection.reason not in flash.plan.why
    )
    return Unsupported(
        unsupported=(Reasons(subject="flash-attn", reasons=(flash.plan.why, *lines)),),
        advice=(hint,),
    )


def _price(situation: Situation, releases: Releases) -> str | None:
    everything = msgspec.structs.replace(
        situation, settings=msgspec.structs.replace(situation.settings, gpus="all")
    )
    expected = _expected(releases, everything)
    return f"vLLM {expected.name}" if expected else None


def _no_vllm(
    situation: Situation, releases: Releases, dead: dict[str, str], rejected: tuple[Rejected, ...]
) -> Unsupported:
    reasons = []
    dead = {**choose_gpus.without_torch(situation, releases.catalogue), **dead}
    if dead:
        reasons.append(Reasons(subject="GPUs", reasons=tuple(dict.fromkeys(dead.values()))))
    lines = tuple(
        f"{rejection.candidate}: {rejection.reason}"
        for rejection in grouped(of_request(rejected, situation.settings))
        if rejection.reason
    )
    if len(dead) < len(situation.gpus) and lines:
        reasons.append(Reasons(subject="vllm", reasons=lines))
    return Unsupported(
        unsupported=(*reasons, *silent_sources(situation)),
        advice=tuple(
            way_out.find(
                situation,
                releases.catalogue,
                partial(_expected, releases),
                make_cpu.expected(releases.catalogue, (), situation),
            )
        ),
    )


def _packages(candidate: Candidate, situation: Situation) -> dict[str, Package | None]:
    vllm: str = candidate.build.where
    if vllm != "pypi" and not situation.sources["vllm"]:
        vllm = "github"  # which has the wheels of the vLLM index, too
    return {
        "torch": Package(version=candidate.torch_name, source=candidate.torch.where),
        "vllm": Package(version=candidate.name, source=vllm),
    }


def _vllm_decision(
    candidate: Candidate, rejected: tuple[Rejected, ...], situation: Situation, *, enough: bool
) -> Decision:
    choice = "the newest release that this host can run" if rejected else "the newest release known"
    if not enough:
        choice = "the newest release that runs most of the GPU memory"
    if situation.settings.vllm != "latest":
        choice = f"the newest release that `vllm: {situation.settings.vllm}` in the settings allows"
    return Decision(
        subject="vllm",
        chosen=candidate.name,
        because=f"{choice}; built for CUDA {candidate.build.cuda}, its architectures"
        f" {_basis(candidate.build.basis)}",
        rejected=grouped(rejected),
    )


def _torch_decision(candidate: Candidate) -> Decision:
    beside = f"CUDA {candidate.torch.cuda} beside vLLM's {candidate.build.cuda}"
    cuda = major(candidate.build.cuda)
    return Decision(
        subject="torch",
        chosen=candidate.torch_name,
        because=f"pinned by vLLM; {beside}, its architectures {_basis(candidate.torch.basis)}",
        rejected=tuple(
            Rejected(
                candidate=wheel_name(candidate.torch_release, torch),
                reason=_against_torch(torch.cuda or "", cuda),
            )
            for torch in candidate.torch_release.builds
            if torch.machine == candidate.torch.machine
            and torch.cuda is not None
            and torch is not candidate.torch
        ),
    )


def _basis(basis: str) -> str:
    return "read in the wheel" if basis == "read" else "inferred from build lists"


def _against_torch(cuda: str, vllm_major: str) -> str:
    if major(cuda) != vllm_major:
        return (
            f"it is for CUDA {cuda}, vLLM for CUDA {vllm_major}: an environment has one CUDA major"
        )
    return "another wheel fits better: nearer to vLLM's CUDA, or on PyPI"
