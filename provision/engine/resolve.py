"""A plan becomes a lock of exact files before anything changes; what the index lacks goes back to the planner."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from provision.catalog.rows import Catalogue
from provision.doors import files, process
from provision.engine import pylock, refusals
from provision.engine.uv import planned
from provision.errors import SourceFailed, WrongSetting
from provision.host._model import Host
from provision.host._scrub import Scrubber
from provision.plan._model import OPTIONAL, Plan, Reasons, Refusal, Unsupported
from provision.plan.choose_toolkit import torch_cuda
from provision.plan.make import make
from provision.plan.optional import Chooser
from provision.settings import Settings
from provision.steps.model import Lock

DEADLINE_S: Final = 900.0
ROUNDS: Final = 12  # each costs the user seconds; a host whose dozen newest releases are refused has another problem
# Beside a torch for CPUs PyPI's builds of these do not load, and transformers then imports no model; vLLM does
# without them.
_CUDA_ONLY: Final = ("torchvision", "torchaudio", "torchcodec")
_TOOLKIT: Final = ("nvidia-cuda-nvcc", "nvidia-cuda-crt", "nvidia-cuda-cccl", "nvidia-nvvm")
_NEVER: Final = 'python_version < "0"'
# What comes from the PyTorch index and the vLLM index, which say of no file when it came.
_UNDATED: Final = {"pytorch": ("torch", "torchvision", "torchaudio", "torchcodec", "triton"), "vllm": ("vllm",)}


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """This cannot be installed here: the index lacks something that it needs, or vLLM beside it does not allow it."""

    package: str = "vllm"
    version: str
    reason: str


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """A lock, and what the user should know about how it came about."""

    lock: Lock
    note: str = ""


class Said(NamedTuple):
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
    """The newest plan that this index can fulfil; `env` is uv's environment, which depends on the plan's sources.

    `refused` are candidates that were refused before.
    """
    met = list(refused)
    while sum(one.package == "vllm" for one in met) < ROUNDS:
        plan = make(host, settings, catalogue, tuple(met), checks, optional=optional)
        if isinstance(plan, Unsupported):
            return plan
        found = resolve(plan, settings, uv, env(plan), folder)
        if isinstance(found, Resolved):
            noted = (*plan.warnings, found.note) if found.note else plan.warnings
            return msgspec.structs.replace(plan, warnings=noted), found.lock
        met.append(Refusal(package=found.package, version=found.version, reason=found.reason))
    reasons = tuple(f"{one.version}: {one.reason}" for one in met if one.package == "vllm")
    return Unsupported(unsupported=(Reasons(subject="vllm", reasons=reasons),), advice=())


def resolve(plan: Plan, settings: Settings, uv: str, env: Mapping[str, str], folder: Path) -> Resolved | Refused:
    """One plan's lock, or the requirement that this index cannot fulfil. The requirements stay in `folder`."""
    _write(folder, inputs(plan, settings))
    if plan.profile == "cpu" and settings.extra_packages:
        needed = _needed_by_extras(plan, settings, uv, env, folder)
        if isinstance(needed, Refused):
            return needed
        _write(folder, inputs(plan, settings, needed))
    note = ""
    said = compiled(plan, uv, env, folder, dated=True)
    if said.refusal:
        if against := _against_optional(said, plan, uv, env, folder, dated=True):
            return against
        note = _note(said.refusal, plan.uploaded_before)
        said = compiled(plan, uv, env, folder, dated=False)
    if said.refusal:
        if against := _against_optional(said, plan, uv, env, folder, dated=False):
            return against
        _complain_of_extras(plan, settings, uv, env, folder)
        return _refused(plan, refusals.sentence(said.refusal))
    return Resolved(lock=Lock(pins=pylock.pins(said.text, plan.python, plan.platform)), note=note)


def _write(folder: Path, texts: Mapping[str, Sequence[str]]) -> None:
    for name, lines in texts.items():
        files.write(folder / name, "".join(f"{line}\n" for line in lines))


def _refused(plan: Plan, reason: str) -> Refused:
    return Refused(version=planned(plan, "vllm").version.partition("+")[0], reason=reason)


def _needed_by_extras(
    plan: Plan, settings: Settings, uv: str, env: Mapping[str, str], folder: Path
) -> frozenset[str] | Refused:
    """What extra packages need of that which is overridden for a CPU: it must not be taken from them unsaid."""
    said = compiled(plan, uv, env, folder, "extras-beside-torch.in", dated=False)
    if said.refusal:
        _complain_of_extras(plan, settings, uv, env, folder)
        return _refused(plan, f"extra_packages: {refusals.sentence(said.refusal)}")
    pins = [pin for pin in pylock.pins(said.text, plan.python, plan.platform) if pin.name in _CUDA_ONLY]
    for pin in pins:
        if "+cpu" not in pin.version:
            raise WrongSetting(
                f"extra_packages: {pin.name} {pin.version}, which they need, does not load beside a torch for CPUs",
                hint="take out what needs it; the PyTorch index has builds for CPUs (sources.pytorch)",
            )
    return frozenset(pin.name for pin in pins)


def _against_optional(
    said: Said, plan: Plan, uv: str, env: Mapping[str, str], folder: Path, *, dated: bool
) -> Refused | None:
    """Blame the optional package where the rest resolves without it, as of the same day."""
    if not plan.resolved_with_vllm:
        return None
    if compiled(plan, uv, env, folder, "without-optional.in", dated=dated).refusal:
        return None
    vllm = planned(plan, "vllm").version
    reason = f"beside vLLM {vllm}: {refusals.sentence(said.refusal)}"
    return Refused(package=OPTIONAL, version=plan.resolved_with_vllm[0], reason=reason)


def inputs(plan: Plan, settings: Settings, needed: frozenset[str] = frozenset()) -> dict[str, tuple[str, ...]]:
    """What uv is asked for, by file: requirements, constraints and overrides, but none of what is `needed`."""
    vllm, torch = planned(plan, "vllm"), planned(plan, "torch")
    overrides: tuple[str, ...] = ()
    if plan.profile == "cpu":
        overrides = tuple(f"{name}; {_NEVER}" for name in _CUDA_ONLY if name not in needed)
        if torch.source == "pypi":
            overrides += (_exactly("torch", torch.version),)  # it stands in for the +cpu build that vLLM pins
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
    """==2.13.0 takes 2.13.0+cpu too, where a find-links folder or an index has one; ===2.13.0 takes nothing else."""
    return f"{name}=={version}" if "+" in version else f"{name}==={version}"


def _constraints(plan: Plan) -> tuple[str, ...]:
    """What nobody pins and must fit all the same, for CUDA 13; older CUDAs have other packages."""
    cuda = torch_cuda(plan)
    if not cuda.startswith("13."):
        return ()
    # Left open, uv takes cuda-python 12 beside cuda-bindings 13, which overwrite each other's files, and the newest
    # compiler beside torch's headers, which refuse it with an #error when FlashInfer compiles its first kernel.
    return ("cuda-python>=13", *(f"{name}=={cuda}.*" for name in _TOOLKIT))


def command(plan: Plan, uv: str, folder: Path, requirements: str = "requirements.in", *, dated: bool) -> list[str]:
    """uv's own resolver, for the target's Python and platform. Only wheels: a build would run foreign code here."""
    argv = [uv, "pip", "compile", str(folder / requirements), "--quiet", "--no-build", "--format", "pylock.toml"]
    argv += ["--constraints", str(folder / "constraints.in")]
    if not requirements.startswith("extras"):  # these are judged as they are
        argv += ["--overrides", str(folder / "overrides.in")]
    argv += ["--no-header", "--color", "never"]
    argv += ["--python", sys.executable, "--no-python-downloads", "--python-version", plan.python]
    argv += ["--python-platform", pylock.platform(plan.platform)]
    if dated:
        argv += ["--exclude-newer", f"{plan.uploaded_before}T00:00:00Z"]  # a bare date would include its whole day
        sources = {planned(plan, name).source for name in ("torch", "vllm")}
        undated = [name for source in sorted(sources & _UNDATED.keys()) for name in _UNDATED[source]]
        # a beta of the optional package is asked for by its version, which may be newer than this vLLM
        for name in (*undated, *(one.partition("==")[0] for one in plan.resolved_with_vllm)):
            argv += ["--exclude-newer-package", f"{name}=false"]
    return argv


def compiled(
    plan: Plan, uv: str, env: Mapping[str, str], folder: Path, requirements: str = "requirements.in", *, dated: bool
) -> Said:
    argv = command(plan, uv, folder, requirements, dated=dated)
    done = process.run(argv, deadline_s=DEADLINE_S, env=env)
    if done.ok:
        return Said(done.stdout, "")
    stderr = Scrubber().text(done.stderr)
    if refusals.is_refusal(stderr):
        return Said("", stderr)
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    what = "; ".join(lines[:3]) if lines else Scrubber().text(done.problem())
    look = "free some space there" if "No space left" in what else "look at the network, the index and its certificates"
    raise SourceFailed(
        f"the packages could not be resolved: {what}", hint=f"{look}; nothing was changed, run the same command again"
    )


def _complain_of_extras(plan: Plan, settings: Settings, uv: str, env: Mapping[str, str], folder: Path) -> None:
    """An extra package that cannot be had even alone is the config's matter: no other vLLM would help."""
    if settings.extra_packages:
        alone = compiled(plan, uv, env, folder, "extras.in", dated=False)
        if alone.refusal:
            raise WrongSetting(
                f"extra_packages: {refusals.sentence(alone.refusal)}", hint="take it out, or ask for another version"
            )


def _note(refusal: str, day: str) -> str:
    if refusals.gives_no_dates(refusal):
        return "the package index gives no upload dates: dependencies that vLLM leaves open are the newest it has"
    return f"as of {day} there is no solution ({refusals.sentence(refusal)}): newer dependencies are taken"


def beside(
    plan: Plan, lock: Lock, wanted: tuple[str, ...], uv: str, env: Mapping[str, str], folder: Path
) -> Lock | str:
    """A lock of some of a lock's distributions and of others beside them; or why there is none."""
    held = {pin.name: _exactly(pin.name, pin.version) for pin in lock.pins}
    asked, others = [held.get(name, name) for name in wanted], [held[name] for name in held if name not in wanted]
    _write(folder, {"requirements.in": asked, "constraints.in": others, "overrides.in": ()})
    said = compiled(plan, uv, env, folder, dated=False)
    if said.refusal:
        return refusals.sentence(said.refusal)
    return Lock(pins=pylock.pins(said.text, plan.python, plan.platform))
