"""The candidates of one vLLM release on a CUDA host, and the rules that judge them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from provision.catalog.rows import Catalogue, TorchBuild, TorchRelease, VllmBuild, VllmRelease
from provision.plan.situation import Situation
from provision.plan.versions import allows, minor, numbers, reaches, serves
from provision.settings import Settings


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One vLLM wheel beside one torch wheel for one Python, with the GPUs it runs and why it does not run others."""

    release: VllmRelease
    build: VllmBuild
    torch_release: TorchRelease
    torch: TorchBuild
    python: str
    runs: tuple[str, ...] = ()
    leaves: dict[str, str] = {}

    @property
    def name(self) -> str:
        return wheel_name(self.release, self.build)


def wheel_name(release: VllmRelease, build: VllmBuild) -> str:
    """0.32.0 for the wheel on PyPI, 0.32.0+cu129 for another variant."""
    return release.version if build.where == "pypi" else f"{release.version}+{build.variant}"


def judge(
    release: VllmRelease, situation: Situation, catalogue: Catalogue, python: str
) -> tuple[list[Candidate], dict[str, str]]:
    """Every candidate of a release that its wheel allows, and the reason against every wheel that it does not.

    What stands against the release as a whole is under its own version; its wheels are looked at all the same, so
    that one reason does not hide another.
    """
    fit: list[Candidate] = []
    against: dict[str, str] = {}
    torch_release = next((row for row in catalogue.torch if row.version == release.torch), None)
    whole = _against_release(release, torch_release, situation, catalogue, python)
    if whole == not_asked_for(situation.settings):
        return [], {"": whole}  # what else stands against it is not what the user asks about
    if whole or torch_release is None:
        against[""] = whole
    for build in release.builds:
        if build.machine != situation.machine or build.cuda is None:
            continue
        reason = _against_build(build, situation, catalogue)
        pairs: list[Candidate] = []
        if torch_release and not reason:
            pairs = [
                Candidate(release=release, build=build, torch_release=torch_release, torch=torch, python=python)
                for torch in _torch_for(build, torch_release, situation)
            ]
        if not pairs:
            against[wheel_name(release, build)] = reason or _no_torch(build, torch_release, situation)
        fit += [_with_gpus(one, situation, catalogue) for one in pairs]
    if not fit and not against:
        against[""] = f"no CUDA build for {situation.machine}"
    return ([] if whole else fit), {wheel: reason for wheel, reason in against.items() if reason}


def _against_release(
    release: VllmRelease, torch: TorchRelease | None, situation: Situation, catalogue: Catalogue, python: str
) -> str:
    """What stands against a release before any of its wheels is looked at."""
    settings = situation.settings
    if settings.vllm != "latest" and not allows(settings.vllm, release.version):
        return not_asked_for(settings)
    if settings.torch != "auto" and not allows(settings.torch.split("+")[0], release.torch):
        return f"it pins torch {release.torch}; config asks for torch {settings.torch}"
    if torch is None:
        return f"nothing is known of torch {release.torch}, which it pins"
    if not allows(release.python, python):
        return f"Python {python}: it needs {release.python}"
    if f"cp{python.replace('.', '')}" not in torch.cpython:
        return f"Python {python}: torch {torch.version} has no wheel for it"
    for rule in catalogue.rules:
        applies = rule.kind == "python" and rule.machine in (None, situation.machine)
        if applies and allows(rule.versions, release.version) and not allows(rule.value, python):
            return f"Python {python}: {rule.why}"
    return ""


def _against_build(build: VllmBuild, situation: Situation, catalogue: Catalogue) -> str:
    """What stands against one wheel, whatever GPU it is for."""
    settings, cuda = situation.settings, build.cuda or ""
    if not any(build.core and serves(build.core.sm, gpu.cc or "") for gpu in situation.gpus):
        return _no_code(sorted({gpu.cc or "" for gpu in situation.gpus}), "vLLM's kernels")
    if settings.cuda not in ("auto", cuda):
        return f"built for CUDA {cuda}; config asks for {settings.cuda}"
    if build.yanked:
        return "withdrawn by its publisher"
    if build.where == "pypi" and not situation.sources["pypi"]:
        return situation.why_not("pypi")
    if build.where == "vllm" and not (situation.sources["vllm"] or situation.sources["github"]):
        return " and ".join(situation.why_not(source) for source in ("vllm", "github"))
    needed = next((row.driver for row in catalogue.cuda_major if row.major == cuda.split(".")[0]), None)
    if needed is None:
        return f"nothing is known of the driver that CUDA {cuda} needs"
    if situation.driver is None or not reaches(situation.driver, needed):
        least = needed.removesuffix(".0")
        return f"CUDA {cuda} needs driver {least} or newer; this host has {situation.driver or 'none'}"
    if situation.no_glibc:
        return situation.no_glibc
    if not reaches(situation.glibc, build.glibc):
        return f"glibc {situation.glibc}: {build.glibc} needed ({build.glibc_why})"
    return ""


def _torch_for(build: VllmBuild, release: TorchRelease, situation: Situation) -> Iterator[TorchBuild]:
    """The wheels of the pinned torch that may stand beside this vLLM wheel: one CUDA major in an environment."""
    asked = situation.settings.torch.partition("+")[2]
    for torch in release.builds:
        if torch.machine != situation.machine or torch.cuda is None or (asked and torch.variant != asked):
            continue
        same_major = torch.cuda.split(".")[0] == (build.cuda or "").split(".")[0]
        if same_major and situation.sources[torch.where] and reaches(situation.glibc, torch.glibc):
            yield torch


def _no_torch(build: VllmBuild, release: TorchRelease | None, situation: Situation) -> str:
    """Why no wheel of the pinned torch may stand beside a wheel of vLLM: the first thing that leaves none."""
    if release is None:
        return ""  # said of the whole release
    major = (build.cuda or "").split(".")[0]
    name = f"torch {release.version} for CUDA {major} on {situation.machine}"
    have = [t for t in release.builds if t.machine == situation.machine and (t.cuda or "").split(".")[0] == major]
    if not have:
        return f"there is no {name}"
    asked = situation.settings.torch.partition("+")[2]
    have = [torch for torch in have if asked in ("", torch.variant)]
    if not have:
        return f"config asks for torch +{asked}, and this build is for CUDA {build.cuda}"
    answering = [torch for torch in have if situation.sources[torch.where]]
    if not answering:
        where = dict.fromkeys(torch.where for torch in have)
        return f"{name}: {' and '.join(situation.why_not(one) for one in where)}"
    return f"glibc {situation.glibc}: {name} needs {answering[0].glibc}"


def _with_gpus(candidate: Candidate, situation: Situation, catalogue: Catalogue) -> Candidate:
    capabilities = {gpu.cc or "" for gpu in situation.gpus}  # most hosts have eight of a kind
    against = {capability: _against_capability(candidate, capability, catalogue) for capability in capabilities}
    reasons = {gpu.id: against[gpu.cc or ""] for gpu in situation.gpus}
    return msgspec.structs.replace(
        candidate,
        runs=tuple(gpu for gpu, reason in reasons.items() if not reason),
        leaves={gpu: reason for gpu, reason in reasons.items() if reason},
    )


def _against_capability(candidate: Candidate, capability: str, catalogue: Catalogue) -> str:
    """What stands against GPUs of it: code that is not in the files, or a Triton that cannot make it."""
    core = candidate.build.core
    if core is None or not serves(core.sm, capability):
        return _no_code([capability], "vLLM's kernels")
    if not serves(candidate.torch.sm, capability):
        return _no_code([capability], f"torch {torch_name(candidate)}")
    for rule in catalogue.rules:
        of_vllm = rule.kind == "capability" and allows(rule.versions, candidate.release.version)
        if of_vllm and numbers(capability) < numbers(rule.value):
            return f"{rule.why}; this GPU has {capability}"
        if rule.kind == "triton" and capability in rule.cc and allows(rule.versions, candidate.torch_release.version):
            return f"{rule.why} ({capability})"
    return ""


def _no_code(capabilities: list[str], where: str) -> str:
    return f"no machine code for {', '.join(capabilities)} in {where}"


def torch_name(candidate: Candidate) -> str:
    return torch_wheel_name(candidate.torch_release, candidate.torch)


def torch_wheel_name(release: TorchRelease, build: TorchBuild) -> str:
    """2.13.0 for PyPI's wheel, 2.13.0+cu129 for one from the PyTorch index."""
    return release.version if build.where == "pypi" else f"{release.version}+{build.variant}"


def not_asked_for(settings: Settings) -> str:
    """The reason against every release that the settings rule out."""
    return f"config asks for vllm {settings.vllm}"


def preference(candidate: Candidate) -> tuple[bool, bool, bool, tuple[int, ...]]:
    """Among equals: vLLM's own choice of CUDA, then torch of the same CUDA minor, then PyPI, then the newest CUDA."""
    same_minor = minor(candidate.build.cuda or "") == minor(candidate.torch.cuda or "")
    return (
        candidate.build.where == "pypi",
        same_minor,
        candidate.torch.where == "pypi",
        numbers(candidate.build.cuda or "") + numbers(candidate.torch.cuda or ""),
    )
