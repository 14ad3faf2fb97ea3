"""The separate flash-attn package: a published wheel that fits exactly, else a build, else none, with reasons."""

from __future__ import annotations

import msgspec

from provision.catalog.rows import Catalogue, FlashAttnSource, FlashAttnWheels
from provision.plan._model import Decision, FlashAttn, Package, Rejected
from provision.plan.candidates import Candidate
from provision.plan.situation import Situation
from provision.plan.versions import allows, minor, newer, numbers, reaches, serves

_SOURCE = {"2": "github", "3": "pytorch", "4": "pypi"}
_DISTRIBUTION = {"3": "flash_attn_3", "4": "flash-attn-4"}
WHAT_FOR = "vLLM brings its own FlashAttention; this one is for transformers and training"


class Choice(msgspec.Struct, frozen=True):
    """What was chosen, for the plan's three places."""

    plan: FlashAttn
    package: Package | None
    rejected: list[Rejected]

    @property
    def decision(self) -> Decision:
        return Decision(
            subject="flash-attn",
            chosen=f"{self.plan.mode} {self.package.version}" if self.package else self.plan.mode,
            because=self.plan.why,
            rejected=tuple(self.rejected),
        )


def for_cpu() -> Choice:
    plan = FlashAttn(mode="none", flavour="2", arches=(), why="its kernels need an NVIDIA GPU; on a CPU SDPA is used")
    return Choice(plan, None, [])


def choose(candidate: Candidate, used: tuple[str, ...], situation: Situation, catalogue: Catalogue) -> Choice:
    """Wheel, build or none, within what the settings allow."""
    wish = situation.settings.flash_attn
    flavour = wish.flavour
    capabilities = sorted({gpu.cc or "" for gpu in situation.gpus if gpu.id in used}, key=numbers)
    rejected: list[Rejected] = []
    if wish.mode == "none":
        return _none(flavour, "config asks for none", rejected)
    ruled_out = _ruled_out(candidate, capabilities, flavour, catalogue)
    if ruled_out:
        return _none(flavour, ruled_out, rejected)
    if wish.mode != "build":
        fitting, rejected = _look_through(catalogue, candidate, capabilities, situation)
        if fitting:
            return _wheel(fitting, capabilities, rejected, _harm("flash-attn", candidate, catalogue))
    if wish.mode == "wheel":
        return _none(flavour, "no published wheel can be used, and config asks for one", rejected)
    return _build(candidate, capabilities, situation, catalogue, rejected)


def _none(flavour: str, why: str, rejected: list[Rejected]) -> Choice:
    return Choice(FlashAttn(mode="none", flavour=flavour, arches=(), why=f"{why}. {WHAT_FOR}"), None, rejected)


def _ruled_out(candidate: Candidate, capabilities: list[str], flavour: str, catalogue: Catalogue) -> str:
    """What no wheel and no build can change."""
    oldest = min((sm for source in catalogue.flash_attn_source for sm in source.sm), key=numbers, default="")
    too_old = [capability for capability in capabilities if numbers(capability) < numbers(oldest)]
    if too_old:
        return f"flash-attn needs {oldest} or newer, and this plan uses {', '.join(too_old)}: SDPA is used there"
    if flavour == "3" and any(not capability.startswith("9.") for capability in capabilities):
        return f"FlashAttention 3 is for Hopper (9.0), and this plan uses {', '.join(capabilities)}"
    harm = _harm("flash-attn-4", candidate, catalogue) if flavour == "4" else ""
    return f"vLLM {candidate.release.version} is harmed by it: {harm}" if harm else ""


def _harm(package: str, candidate: Candidate, catalogue: Catalogue) -> str:
    """What a package does to this vLLM, where somebody has found out."""
    for rule in catalogue.rules:
        if rule.kind == "harm" and rule.package == package and allows(rule.versions, candidate.release.version):
            return rule.why
    return ""


def _look_through(
    catalogue: Catalogue, candidate: Candidate, capabilities: list[str], situation: Situation
) -> tuple[FlashAttnWheels | None, list[Rejected]]:
    """The newest wheel that fits, the authors' before anybody else's; and why those for this torch do not."""
    wish = situation.settings.flash_attn
    torch = minor(candidate.torch_release.version)
    rejected: list[Rejected] = []
    known = [row for row in catalogue.flash_attn if row.flavour == wish.flavour]
    for third_party in (False, True):
        rows = [row for row in reversed(known) if row.third_party == third_party]
        who = "third-party wheels" if third_party else "published wheels"
        if third_party and rows and not wish.third_party:
            rejected.append(Rejected(candidate=who, reason="config says flash_attn.third_party: false"))
            continue
        near = [row for row in rows if torch in row.torch]
        if rows and not near:
            newest = max((row.torch[-1] for row in rows), key=numbers)
            rejected.append(Rejected(candidate=who, reason=f"none for torch {torch}; the newest are for {newest}"))
        for row in near:
            reason = _against_wheel(row, candidate, capabilities, situation)
            if not reason:
                return row, rejected
            rejected.append(Rejected(candidate=f"{row.version} {row.toolkit} wheel", reason=reason))
    return None, rejected


def _against_wheel(row: FlashAttnWheels, candidate: Candidate, capabilities: list[str], situation: Situation) -> str:
    """What a wheel for this torch is checked for: CUDA major, Python, ABI, machine, libc, architectures, source."""
    cuda = candidate.torch.cuda or ""
    if row.cuda.split(".")[0] != cuda.split(".")[0]:
        return f"for CUDA {row.cuda.split('.')[0]}, not {cuda}"
    if f"cp{candidate.python.replace('.', '')}" not in row.cpython:
        return f"for {', '.join(row.cpython)}, not Python {candidate.python}"
    if candidate.torch.cxx11_abi is not None and candidate.torch.cxx11_abi not in row.cxx11_abi:
        return f"none with the C++ ABI of this torch ({'new' if candidate.torch.cxx11_abi else 'old'})"
    if situation.machine not in row.machines:
        return f"for {', '.join(row.machines)}, not {situation.machine}"
    if not reaches(situation.glibc, row.glibc):
        return f"glibc {situation.glibc}: {row.glibc} needed"
    lacking = [capability for capability in capabilities if row.sm and not serves(row.sm, capability)]
    if lacking:
        return f"no machine code for {', '.join(lacking)} (it carries {' '.join(row.sm)})"
    if not situation.sources[_SOURCE[row.flavour]]:
        return situation.why_not(_SOURCE[row.flavour])
    return ""


def _wheel(row: FlashAttnWheels, capabilities: list[str], rejected: list[Rejected], harm: str) -> Choice:
    whose = "a third party's wheel" if row.third_party else "a published wheel"
    if not row.sm:
        truth = "; what architectures it carries is read after download"
    else:
        truth = (
            "" if row.basis == "read" else "; that it is there and what it carries is inferred, and read after download"
        )
    misnamed = f"; its file is named {row.named}" if row.named != row.version else ""
    why = f"{whose} fits torch, CUDA, Python and ABI{truth}{misnamed}. {WHAT_FOR}{_sentence(harm)}"
    plan = FlashAttn(mode="wheel", flavour=row.flavour, arches=tuple(capabilities), why=why)
    package = Package(version=row.version, source=_SOURCE[row.flavour], distribution=_DISTRIBUTION.get(row.flavour))
    return Choice(plan, package, rejected)


def _sentence(text: str) -> str:
    return f". {text[0].upper()}{text[1:]}" if text else ""


def _build(
    candidate: Candidate,
    capabilities: list[str],
    situation: Situation,
    catalogue: Catalogue,
    rejected: list[Rejected],
) -> Choice:
    """From the source release, for the architectures of this host only."""
    flavour = situation.settings.flash_attn.flavour
    source = next(iter(catalogue.flash_attn_source), None)
    reason = _against_build(source, candidate, capabilities, situation)
    if source is None or reason:
        rejected.append(Rejected(candidate=f"build of {source.version if source else 'flash-attn'}", reason=reason))
        return _none(flavour, reason, rejected)
    arches = tuple(sorted({source.served_by.get(one, one) for one in capabilities}, key=numbers))
    hours = source.cpu_hours_per_arch * len(arches)
    standard = (
        " as C++20 (its own setup asks for C++17, which this torch refuses)"
        if candidate.torch_release.cxx > source.cxx
        else ""
    )
    why = (
        f"no published wheel can be used; it can be compiled for {' '.join(arches)}{standard}, about {hours:.1f} "
        f"CPU hours, which this version leaves to you and vLLM does not wait for. {WHAT_FOR}"
        f"{_sentence(_harm('flash-attn', candidate, catalogue))}"
    )
    plan = FlashAttn(mode="build", flavour=flavour, arches=arches, why=why)
    return Choice(plan, Package(version=source.version, source="pypi"), rejected)


def _against_build(
    source: FlashAttnSource | None, candidate: Candidate, capabilities: list[str], situation: Situation
) -> str:
    wish = situation.settings.flash_attn
    cuda = candidate.torch.cuda or ""
    if source is None:
        return "no source release is known"
    if wish.build == "no":
        return "no published wheel can be used, and config says flash_attn.build: no"
    if wish.flavour != "2":
        return f"FlashAttention {wish.flavour} is not built here, and no published wheel can be used"
    if not situation.sources["pypi"]:
        return f"its source release is on PyPI: {situation.why_not('pypi')}"
    for capability in capabilities:
        target = source.served_by.get(capability, capability)
        if target not in source.sm:
            return f"flash-attn {source.version} cannot be compiled for {capability} (it knows {' '.join(source.sm)})"
        least = source.cuda_min_for.get(target, source.cuda_min)
        if newer(least, cuda):
            return f"compiling for {target} needs CUDA {least}; this torch has {cuda}"
    return ""
