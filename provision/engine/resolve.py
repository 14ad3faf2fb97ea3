"""Resolve a plan into a lock of exact files; a refusal of the resolver goes back to the planner."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from provision.catalog.rows import Catalogue
from provision.doors import files, process
from provision.engine import pylock, refusals
from provision.errors import SourceFailed, WrongSetting
from provision.host._model import Host
from provision.host._scrub import Scrubber
from provision.plan._model import OPTIONAL, Plan, Reasons, Refusal, Unsupported
from provision.plan.choose_toolkit import torch_cuda
from provision.plan.make import make
from provision.plan.optional import Chooser
from provision.settings import Settings
from provision.steps.model import INSTALLERS, Lock

DEADLINE_S: Final = 900.0
# Every round takes seconds. A host on which a dozen releases are refused has another problem.
ROUNDS: Final = 12
# PyPI's builds of these cannot be loaded beside a torch for CPUs, and transformers then imports no
# model. vLLM works without them.
_CUDA_ONLY: Final = ("torchvision", "torchaudio", "torchcodec")
_TOOLKIT: Final = ("nvidia-cuda-nvcc", "nvidia-cuda-crt", "nvidia-cuda-cccl", "nvidia-nvvm")
_NEVER: Final = 'python_version < "0"'
# Packages from the PyTorch index and the vLLM index, which give no upload dates.
_UNDATED: Final = {
    "pytorch": ("torch", "torchvision", "torchaudio", "torchcodec", "triton"),
    "vllm": ("vllm",),
}


class RefusedPackage(msgspec.Struct, frozen=True, kw_only=True):
    """A package that cannot be installed here, and why.

    The index lacks something that it needs, or vLLM does not allow it.
    """

    package: str = "vllm"
    version: str
    reason: str


class ResolvedLock(msgspec.Struct, frozen=True, kw_only=True):
    """A lock, and a note for the user about how it was resolved."""

    lock: Lock
    note: str = ""


class Compiled(NamedTuple):
    """The output of one run of uv: a lock, or its explanation of why there is none."""

    text: str
    refusal: str


def plan_and_resolve(
    host: Host,
    settings: Settings,
    catalogue: Catalogue,
    uv: str,
    env: Callable[[Plan], Mapping[str, str]],
    folder: Path,
    checks: tuple[str, ...] = (),
    refused: tuple[Refusal, ...] = (),
    *,
    optional: Chooser,
) -> tuple[Plan, Lock] | Unsupported:
    """Return the newest plan that the index can fulfil, with its lock.

    `env` returns uv's environment for a plan, because it depends on the plan's sources. `refused`
    holds refusals from elsewhere, and `optional` chooses the optional package.
    """
    refusals_so_far = list(refused)
    while sum(refusal.package == "vllm" for refusal in refusals_so_far) < ROUNDS:
        plan = make(host, settings, catalogue, tuple(refusals_so_far), checks, optional=optional)
        if isinstance(plan, Unsupported):
            return plan
        result = resolve(plan, settings, uv, env(plan), folder)
        if isinstance(result, ResolvedLock):
            warnings = (*plan.warnings, result.note) if result.note else plan.warnings
            return msgspec.structs.replace(plan, warnings=warnings), result.lock
        refusals_so_far.append(
            Refusal(package=result.package, version=result.version, reason=result.reason)
        )
    reasons = tuple(
        f"{refusal.version}: {refusal.reason}"
        for refusal in refusals_so_far
        if refusal.package == "vllm"
    )
    return Unsupported(unsupported=(Reasons(subject="vllm", reasons=reasons),), advice=())


def resolve(
    plan: Plan, settings: Settings, uv: str, env: Mapping[str, str], folder: Path
) -> ResolvedLock | RefusedPackage:
    """Resolve one plan into a lock, or return the requirement that the index cannot fulfil.

    The requirement files stay in `folder`.
    """
    _write(folder, requirement_files(plan, settings))
    if plan.profile == "cpu" and settings.extra_packages:
        needed = _needed_by_extras(plan, settings, uv, env, folder)
        if isinstance(needed, RefusedPackage):
            return needed
        _write(folder, requirement_files(plan, settings, needed))
    note = ""
    # Dependencies that are newer than this vLLM were never tested with it: avoid them if possible.
    for dated in (True, False):
        output = compile_lock(plan, uv, env, folder, dated=dated)
        if not output.refusal:
            return ResolvedLock(lock=_lock(output, plan), note=note)
        if refused := _refused_optional(output, plan, uv, env, folder, dated=dated):
            return refused
        # Without the cut-off day there may be a solution.
        note = _note(output.refusal, plan.uploaded_before)
    _refuse_impossible_extras(plan, settings, uv, env, folder)
    return _refused_vllm(plan, refusals.describe(output.refusal))


def _lock(output: Compiled, plan: Plan) -> Lock:
    return Lock(pins=pylock.pins(output.text, plan.python, plan.platform))


def _write(folder: Path, texts: Mapping[str, Sequence[str]]) -> None:
    for name, lines in texts.items():
        files.write(folder / name, "".join(f"{line}\n" for line in lines))


def _refused_vllm(plan: Plan, reason: str) -> RefusedPackage:
    return RefusedPackage(version=plan.package("vllm").version.partition("+")[0], reason=reason)


def _refused_optional(
    output: Compiled, plan: Plan, uv: str, env: Mapping[str, str], folder: Path, *, dated: bool
) -> RefusedPackage | None:
    """Refuse the optional package if everything else resolves without it, as of the same day."""
    if (
        not plan.resolved_with_vllm
        or compile_lock(plan, uv, env, folder, "without-optional.in", dated=dated).refusal
    ):
        return None
    vllm = plan.package("vllm").version
    return RefusedPackage(
        package=OPTIONAL,
        version=plan.resolved_with_vllm[0],
        reason=f"beside vLLM {vllm}: {refusals.describe(output.refusal)}",
    )


def _needed_by_extras(
    plan: Plan, settings: Settings, uv: str, env: Mapping[str, str], folder: Path
) -> frozenset[str] | RefusedPackage:
    """Return the overridden CUDA packages that extra packages need.

    They must not be taken from the extra packages silently.
    """
    output = compile_lock(plan, uv, env, folder, "extras-beside-torch.in", dated=False)
    if output.refusal:
        _refuse_impossible_extras(plan, settings, uv, env, folder)
        return _refused_vllm(plan, f"extra_packages: {refusals.describe(output.refusal)}")
    pins = [pin for pin in _lock(output, plan).pins if pin.name in _CUDA_ONLY]
    for pin in pins:
        if "+cpu" not in pin.version:
            raise WrongSetting(
                f"extra_packages need {pin.name} {pin.version},"
                " which cannot be loaded beside a torch for CPUs",
                hint="remove the package that needs it;"
                " the PyTorch index has builds for CPUs (sources.pytorch)",
            )
    return frozenset(pin.name for pin in pins)


def _refuse_impossible_extras(
    plan: Plan, settings: Settings, uv: str, env: Mapping[str, str], folder: Path
) -> None:
    """Raise WrongSetting if the extra packages cannot be resolved even alone.

    No other vLLM would help then.
    """
    if settings.extra_packages:
        alone = compile_lock(plan, uv, env, folder, "extras.in", dated=False)
        if alone.refusal:
            raise WrongSetting(
                f"extra_packages: {refusals.describe(alone.refusal)}",
                hint="remove it, or require another version",
            )


def requirement_files(
    plan: Plan, settings: Settings, needed: frozenset[str] = frozenset()
) -> dict[str, tuple[str, ...]]:
    """Return uv's input files by name: requirements, constraints and overrides.

    Packages that are `needed` by extra packages are not overridden.
    """
    vllm, torch = plan.package("vllm"), plan.package("torch")
    overrides: tuple[str, ...] = ()
    if plan.profile == "cpu":
        overrides = tuple(f"{name}; {_NEVER}" for name in _CUDA_ONLY if name not in needed)
        if torch.source == "pypi":  # it replaces the +cpu build that vLLM pins
            overrides += (_exactly("torch", torch.version),)
    base = (
        _exactly(vllm.distribution or "vllm", vllm.version),
        _exactly("torch", torch.version),
        "einops",
        *settings.extra_packages,
    )
    return {
        "requirements.in": (*base, *plan.resolved_with_vllm),
        "without-optional.in": base,
        "constraints.in": _constraints(plan),
        "overrides.in": overrides,
        "extras.in": tuple(settings.extra_packages),
        "extras-beside-torch.in": (*settings.extra_packages, _exactly("torch", torch.version)),
    }


def _exactly(name: str, version: str) -> str:
    # ==2.13.0 also allows 2.13.0+cpu, if a find-links folder or index has it; ===2.13.0 does not.
    return f"{name}=={version}" if "+" in version else f"{name}==={version}"


def _constraints(plan: Plan) -> tuple[str, ...]:
    """Return constraints for packages that vLLM leaves open and that must fit CUDA 13."""
    cuda = torch_cuda(plan)
    if not cuda.startswith("13."):
        return ()
    # Left open, uv would take cuda-python 12 beside cuda-bindings 13, which overwrite each other's
    # files, and the newest compiler beside torch's headers, which refuse it with an #error when
    # FlashInfer compiles its first kernel.
    return ("cuda-python>=13", *(f"{name}=={cuda}.*" for name in _TOOLKIT))


def compile_command(
    plan: Plan, uv: str, folder: Path, requirements: str = "requirements.in", *, dated: bool
) -> list[str]:
    """Return uv's command to resolve for the target's Python and platform.

    It takes wheels only: a build would run foreign code on this host.
    """
    argv = [uv, "pip", "compile", str(folder / requirements), "--quiet", "--no-build"]
    argv += ["--format", "pylock.toml", "--constraints", str(folder / "constraints.in")]
    if not requirements.startswith("extras"):  # extra packages are resolved without overrides
        argv += ["--overrides", str(folder / "overrides.in")]
    argv += ["--no-header", "--color", "never"]
    argv += ["--python", sys.executable, "--no-python-downloads", "--python-version", plan.python]
    argv += ["--python-platform", pylock.platform(plan.platform)]
    if dated:
        # A date without a time would include its whole day.
        argv += ["--exclude-newer", f"{plan.uploaded_before}T00:00:00Z"]
        sources = {plan.package(name).source for name in ("torch", "vllm")}
        undated = [
            name for source in sorted(sources & _UNDATED.keys()) for name in _UNDATED[source]
        ]
        # A beta of it is required by version, which may be newer than this vLLM.
        optional = [package.partition("==")[0] for package in plan.resolved_with_vllm]
        for name in (*undated, *optional):
            argv += ["--exclude-newer-package", f"{name}=false"]
    return argv


def compile_lock(
    plan: Plan,
    uv: str,
    env: Mapping[str, str],
    folder: Path,
    requirements: str = "requirements.in",
    *,
    dated: bool,
) -> Compiled:
    """Run uv's resolver. Raise SourceFailed if it fails for any reason but a refusal."""
    finished = process.run(
        compile_command(plan, uv, folder, requirements, dated=dated), deadline_s=DEADLINE_S, env=env
    )
    if finished.ok:
        return Compiled(finished.stdout, "")
    stderr = Scrubber().text(finished.stderr)
    if refusals.is_refusal(stderr):
        return Compiled("", stderr)
    # uv reports a network fault with its causes on the next lines.
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    problem = "; ".join(lines[:3]) if lines else Scrubber().text(finished.problem())
    remedy = (
        "free some space there"
        if "No space left" in problem
        else "check the network, the index and its certificates"
    )
    raise SourceFailed(
        f"the packages could not be resolved: {problem}",
        hint=f"{remedy}; nothing was changed, retry with the same command",
    )


def _note(refusal: str, day: str) -> str:
    if refusals.lacks_upload_dates(refusal):
        return (
            "the package index gives no upload dates:"
            " dependencies that vLLM leaves open are the newest it has"
        )
    return (
        f"as of {day} there is no solution ({refusals.describe(refusal)}):"
        " newer dependencies are used"
    )


def resolve_beside(
    plan: Plan,
    lock: Lock,
    names: tuple[str, ...],
    uv: str,
    env: Mapping[str, str],
    folder: Path,
    *,
    dated: bool = False,
) -> Lock | str:
    """Lock the named packages beside those of a lock, or return why there is no solution.

    Named packages that the lock has keep their versions; its others are constraints.
    """
    locked = {pin.name: _exactly(pin.name, pin.version) for pin in lock.pins}
    texts: dict[str, Sequence[str]] = {
        "requirements.in": [locked.get(name, name) for name in names],
        "constraints.in": [locked[name] for name in locked if name not in names],
        "overrides.in": (),
    }
    _write(folder, texts)
    output = compile_lock(plan, uv, env, folder, dated=dated)
    return refusals.describe(output.refusal) if output.refusal else _lock(output, plan)


def with_installers(
    plan: Plan, lock: Lock, uv: str, env: Mapping[str, str], folder: Path
) -> tuple[Lock, str]:
    """Add pip and uv to a lock, for what people install later; return why that is impossible.

    They are as old as the lock, so that a new release of them is no upgrade.
    """
    missing = tuple(name for name in INSTALLERS if lock.version(name) is None)
    reason = ""
    for dated in (True, False) if missing else ():
        beside = resolve_beside(plan, lock, missing, uv, env, folder, dated=dated)
        if isinstance(beside, Lock):
            pins = sorted((*lock.pins, *beside.some(missing)), key=lambda pin: pin.name)
            return Lock(pins=tuple(pins)), ""
        reason = f"the environment gets no pip of its own: {beside}"
    return lock, reason
