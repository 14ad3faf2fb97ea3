"""The separate flash-attn package: a wheel that fits exactly, one to be asked for, else a build, else none; why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from provision.catalog.rows import Catalogue, FlashAttnWheels
from provision.flash_attn import build_rules
from provision.flash_attn.match import BUILT, DISTRIBUTION, Target, Verdict, verdicts
from provision.plan._model import Decision, FlashAttn, Package, Plan, Refusal, Rejected
from provision.plan.candidates import Candidate
from provision.plan.situation import Situation
from provision.plan.versions import allows, minor, numbers

_SOURCE = {"2": "github", "3": "pytorch", "4": "pypi"}
_ORIGINS = ("store", "authors", "third party")
_WHOSE = {"store": "wheels in the store", "authors": "published wheels", "third party": "third-party wheels"}
WHAT_FOR = "vLLM brings its own FlashAttention; this one is for transformers, training and what else you run"


class Choice(msgspec.Struct, frozen=True):
    """What was chosen, for the plan's three places; `short` says it where another choice goes before it."""

    plan: FlashAttn
    package: Package | None
    rejected: list[Rejected]
    short: str = ""

    @property
    def decision(self) -> Decision:
        return Decision(
            subject="flash-attn",
            chosen=f"{self.plan.mode} {self.package.version}" if self.package else self.plan.mode,
            because=self.plan.why,
            rejected=tuple(self.rejected),
        )


class _Case(msgspec.Struct, frozen=True, kw_only=True):
    """One vLLM on one host: what every rule here looks at."""

    candidate: Candidate
    capabilities: tuple[str, ...]
    situation: Situation
    catalogue: Catalogue
    refused: Mapping[str, str]

    @property
    def flavour(self) -> str:
        return self.situation.settings.flash_attn.flavour

    @property
    def target(self) -> Target:
        torch = self.candidate.torch_release.version
        minors = (row.released for row in self.catalogue.torch if minor(row.version) == minor(torch))
        return Target(
            torch=torch,
            torch_released=min(minors, default=""),
            cuda=self.candidate.torch.cuda or "",
            python=self.candidate.python,
            cxx11_abi=self.candidate.torch.cxx11_abi,
            machine=self.situation.machine,
            glibc=self.situation.glibc,
            capabilities=self.capabilities,
        )


def candidate_name(plan: Plan) -> str:
    """What a refusal of the candidate that a plan has chosen must name: its file, what is asked for, or its build."""
    package, flash = plan.packages.get("flash-attn"), plan.flash_attn
    if package is None or flash.mode == "none":
        return ""
    if flash.mode == "build":
        return build_of(package.version)
    return flash.wheel or f"{package.distribution}=={package.version}"


def build_of(version: str) -> str:
    return f"build of {version}"


def for_cpu() -> Choice:
    plan = FlashAttn(mode="none", flavour="2", arches=(), why="its kernels need an NVIDIA GPU; on a CPU SDPA is used")
    return Choice(plan, None, [])


def choose(
    candidate: Candidate,
    used: tuple[str, ...],
    situation: Situation,
    catalogue: Catalogue,
    refusals: tuple[Refusal, ...] = (),
) -> Choice:
    """Wheel, build or none, within what the settings allow and without what was refused."""
    case = _Case(
        candidate=candidate,
        capabilities=tuple(sorted({gpu.cc or "" for gpu in situation.gpus if gpu.id in used}, key=numbers)),
        situation=situation,
        catalogue=catalogue,
        refused={one.version: one.reason for one in refusals if one.package == "flash-attn"},
    )
    mode = situation.settings.flash_attn.mode
    if mode == "none":
        return _none(case, "config asks for none")
    if ruled_out := _ruled_out(case):
        return _none(case, ruled_out)
    rows: Iterable[FlashAttnWheels] = catalogue.flash_attn
    if mode == "build":
        rows = (row for row in rows if row.file and row.source.startswith(BUILT))
    found = verdicts(rows, case.target, case.flavour)
    fitting = _first("fits", found, case)
    sure = _wheel(fitting, case) if fitting else _without_a_wheel(case)
    sure.rejected[:0] = _not_taken(found, case, fitting)
    unknown = _first("unknown", found, case)
    if unknown is None or (fitting and _ORIGINS.index(fitting.origin) <= _ORIGINS.index(unknown.origin)):
        return sure  # a certain wheel goes before a doubtful one, but for one of the authors before a third party's
    rest = [one for one in sure.rejected if one.candidate != unknown.name]
    return _wheel(unknown, case, rest, instead=sure)


def _none(case: _Case, why: str, rejected: list[Rejected] | None = None) -> Choice:
    plan = FlashAttn(mode="none", flavour=case.flavour, arches=(), why=f"{why}. {_what_for(case)}")
    return Choice(plan, None, rejected or [], f"none, since {why}")


def _what_for(case: _Case) -> str:
    """What the package buys here: nothing for most vLLMs, and for some the vision part of a few models."""
    return f"{WHAT_FOR}{_sentence(_said('use', 'flash-attn', case))}"


def _said(kind: str, package: str, case: _Case) -> str:
    """What a package is to this vLLM, where somebody has found out: a harm, or of use."""
    for rule in case.catalogue.rules:
        ours = rule.kind == kind and rule.package == package
        if ours and allows(rule.versions, case.candidate.release.version):
            return rule.why
    return ""


def _sentence(text: str) -> str:
    return f". {text[0].upper()}{text[1:]}" if text else ""


def _ruled_out(case: _Case) -> str:
    """What no wheel and no build can change."""
    oldest = min((sm for source in case.catalogue.flash_attn_source for sm in source.sm), key=numbers, default="")
    too_old = [capability for capability in case.capabilities if numbers(capability) < numbers(oldest)]
    if too_old:
        return f"flash-attn needs {oldest} or newer, and this plan uses {', '.join(too_old)}: SDPA is used there"
    if case.flavour == "3" and any(not capability.startswith("9.") for capability in case.capabilities):
        return f"FlashAttention 3 is for Hopper (9.0), and this plan uses {', '.join(case.capabilities)}"
    harm = _said("harm", "flash-attn-4", case) if case.flavour == "4" else ""
    return f"vLLM {case.candidate.release.version} is harmed by it: {harm}" if harm else ""


def _first(verdict: str, found: list[Verdict], case: _Case) -> Verdict | None:
    return next((one for one in found if one.verdict == verdict and not _against(one, case)), None)


def _against(one: Verdict, case: _Case) -> str:
    """What stands against a candidate apart from what it is."""
    source = _SOURCE[one.row.flavour]
    if one.row.third_party and not case.situation.settings.flash_attn.third_party:
        return "config says flash_attn.third_party: false"
    if one.origin != "store" and not case.situation.sources[source]:
        return case.situation.why_not(source)
    return case.refused.get(one.name, "")


def _not_taken(found: list[Verdict], case: _Case, chosen: Verdict | None) -> list[Rejected]:
    """Every wheel before the chosen one: by name, else all of an origin in one line, which the newest has."""
    told: dict[str, str] = {}
    before = found[: found.index(chosen)] if chosen else found
    for one in before:
        whole = "" if one.name in case.refused else _against(one, case)
        if whole:
            told.setdefault(_WHOSE[one.origin], whole)
        elif one.name in case.refused or not one.is_far:
            told[one.name] = case.refused.get(one.name) or one.reason
        else:
            theirs = [other for other in before if other.origin == one.origin]
            far = [other for other in theirs if other.is_far]
            others = "" if len(far) == len(theirs) else "other "
            told.setdefault(f"{others}{_WHOSE[one.origin]}", max(far, key=lambda each: numbers(each.newest)).reason)
    return [Rejected(candidate=candidate, reason=reason) for candidate, reason in told.items()]


def _wheel(
    chosen: Verdict, case: _Case, rejected: list[Rejected] | None = None, instead: Choice | None = None
) -> Choice:
    """A wheel that fits; or one that would, with what is done where it is not there."""
    row, taken = chosen.row, _taken(chosen)
    otherwise = f"; else {instead.short}" if instead else ""
    harm = _sentence(_said("harm", "flash-attn", case)) if row.flavour != "3" else ""  # it has another module's name
    plan = FlashAttn(
        mode="wheel",
        flavour=row.flavour,
        arches=case.capabilities,
        why=f"{taken}{otherwise}. {_what_for(case)}{harm}",
        wheel=chosen.name if row.flavour == "2" else "",
        origin=chosen.origin,
    )
    source = "find-links" if chosen.origin == "store" else _SOURCE[row.flavour]
    package = Package(version=row.version, source=source, distribution=DISTRIBUTION.get(row.flavour))
    return Choice(plan, package, rejected or [], taken)


def _taken(chosen: Verdict) -> str:
    row = chosen.row
    if chosen.origin == "store":
        return f"a wheel fits: {row.source}"
    whose = "a third party's wheel" if row.third_party else "a published wheel"
    if chosen.verdict == "unknown":
        return f"{whose} if there is one, which is asked first: {chosen.reason}"
    truth = "" if row.basis == "read" else "; that it is there and what it carries is inferred, and read after download"
    if not row.sm:
        truth = "; what architectures it carries is read after download"
    misnamed = f"; its file is named {row.named}" if row.named != row.version else ""
    return f"{whose} fits torch, CUDA, Python and ABI{truth}{misnamed}"


def _without_a_wheel(case: _Case) -> Choice:
    """From the source release, for the architectures of this host only; or not at all."""
    wish = case.situation.settings.flash_attn
    if wish.mode == "wheel":
        return _none(case, "no published wheel can be used, and config asks for one")
    if case.flavour != "2":
        return _none(case, f"no wheel of FlashAttention {case.flavour} can be used, and it is not built here")
    source = next(iter(case.catalogue.flash_attn_source), None)
    if source is None:
        return _none(case, "no source release is known")
    name = build_of(source.version)
    release = case.candidate.torch_release
    reason = build_rules.against(source, case.capabilities, case.target.cuda, release, case.situation, case.catalogue)
    reason = reason or case.refused.get(name, "")
    if reason:
        return _none(case, reason, [Rejected(candidate=name, reason=reason)])
    waits = "" if wish.build == "now" else ", which vLLM does not wait for"
    how = build_rules.how(source, case.capabilities, release, case.situation)
    compiled = f"compiled {how}{waits}"
    harm = _sentence(_said("harm", "flash-attn", case))
    why = f"no wheel can be used; it can be {compiled}. {_what_for(case)}{harm}"
    arches = build_rules.arches(source, case.capabilities)
    plan = FlashAttn(mode="build", flavour=case.flavour, arches=arches, why=why)
    return Choice(plan, Package(version=source.version, source="pypi"), [], f"it is {compiled}")
