"""Choose how a plan gets flash-attn: a wheel that fits, one to look up, a build, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from provision.catalog.rows import Catalogue, FlashAttnWheels
from provision.flash_attn import build_rules
from provision.flash_attn.match import BUILT, DISTRIBUTION, Target, WheelMatch, match
from provision.plan._model import Decision, FlashAttn, Package, Plan, Refusal, Rejected
from provision.plan.candidates import Candidate
from provision.plan.situation import Situation
from provision.plan.versions import allows, minor, numbers

# Flavour -> the source of its wheels. Only flavour 2 is published as files of a release.
_SOURCE = {"2": "github", "3": "pytorch", "4": "pypi"}
_PUBLISHED: Mapping[str, Literal["listed", "unknown"]] = {"fits": "listed", "unknown": "unknown"}
_ORIGINS = ("store", "authors", "third party")
_GROUPS = {
    "store": "wheels in the store",
    "authors": "published wheels",
    "third party": "third-party wheels",
}
# The reason for a wheel of the store is hashed with the plan of its environment. If these words
# or those in `_describe` changed, `provision --only 60` would build that environment again.
WHAT_FOR = (
    "vLLM brings its own FlashAttention; "
    "this one is for transformers, training and what else you run"
)


class Choice(msgspec.Struct, frozen=True):
    """The chosen wheel, build or none, for the three places of a plan that describe it.

    `short` is the choice in a few words, for a sentence in which another choice comes first.
    """

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
    """One vLLM on one host: what every rule in this file reads."""

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
        released = (
            row.released for row in self.catalogue.torch if minor(row.version) == minor(torch)
        )
        return Target(
            torch=torch,
            torch_released=min(released, default=""),
            cuda=self.candidate.torch.cuda or "",
            python=self.candidate.python,
            cxx11_abi=self.candidate.torch.cxx11_abi,
            machine=self.situation.machine,
            glibc=self.situation.glibc,
            capabilities=self.capabilities,
        )


def candidate_name(plan: Plan) -> str:
    """Return the name of a plan's candidate in refusals: its file, requirement or build."""
    package, flash = plan.packages.get("flash-attn"), plan.flash_attn
    if package is None or flash.mode == "none":
        return ""
    if flash.mode == "build":
        return build_name(package.version)
    return flash.wheel or f"{package.distribution}=={package.version}"


def build_name(version: str) -> str:
    return f"build of {version}"


def for_cpu() -> Choice:
    return Choice(
        FlashAttn(
            mode="none",
            flavour="2",
            arches=(),
            why="its kernels need an NVIDIA GPU; on a CPU SDPA is used",
        ),
        None,
        [],
    )


def choose(
    candidate: Candidate,
    used: tuple[str, ...],
    situation: Situation,
    catalogue: Catalogue,
    refusals: tuple[Refusal, ...] = (),
) -> Choice:
    """Choose a wheel, a build or none among what the settings allow and nothing has refused."""
    case = _Case(
        candidate=candidate,
        capabilities=tuple(
            sorted({gpu.cc or "" for gpu in situation.gpus if gpu.id in used}, key=numbers)
        ),
        situation=situation,
        catalogue=catalogue,
        refused={
            refusal.version: refusal.reason
            for refusal in refusals
            if refusal.package == "flash-attn"
        },
    )
    mode = situation.settings.flash_attn.mode
    if mode == "none":
        return _none(case, "config asks for none")
    if obstacle := _obstacle(case):
        return _none(case, obstacle)
    rows: Iterable[FlashAttnWheels] = catalogue.flash_attn
    if mode == "build":
        # A kept wheel that was compiled is as good as a new build; a downloaded one is not.
        rows = (row for row in rows if row.file and row.source.startswith(BUILT))
    matches = match(rows, case.target, case.flavour)
    fitting = _first("fits", matches, case)
    certain = _wheel(fitting, case) if fitting else _without_wheel(case)
    # Wheels come before a build in the plan, so their reasons come before the build's.
    certain.rejected[:0] = _rejected(matches, case, fitting)
    unknown = _first("unknown", matches, case)
    # A wheel that is known to exist comes before a doubtful one of the same origin or a later
    # one. A doubtful wheel of the authors still comes before a certain one of a third party.
    if unknown is None or (
        fitting and _ORIGINS.index(fitting.origin) <= _ORIGINS.index(unknown.origin)
    ):
        return certain
    return _wheel(
        unknown,
        case,
        [entry for entry in certain.rejected if entry.candidate != unknown.name],
        fallback=certain,
    )


def _none(case: _Case, why: str, rejected: list[Rejected] | None = None) -> Choice:
    return Choice(
        FlashAttn(mode="none", flavour=case.flavour, arches=(), why=f"{why}. {_what_for(case)}"),
        None,
        rejected or [],
        f"none, since {why}",
    )


def _what_for(case: _Case) -> str:
    return f"{WHAT_FOR}{_sentence(_effect('use', 'flash-attn', case))}"


def _effect(kind: str, package: str, case: _Case) -> str:
    """Return the catalogued harm or use of a package for this vLLM; "" if none is known."""
    rules = (rule for rule in case.catalogue.rules if (rule.kind, rule.package) == (kind, package))
    version = case.candidate.release.version
    return next((rule.why for rule in rules if allows(rule.versions, version)), "")


def _sentence(text: str) -> str:
    return f". {text[0].upper()}{text[1:]}" if text else ""


def _obstacle(case: _Case) -> str:
    """Return why no wheel and no build can work on these GPUs or beside this vLLM."""
    known = (sm for source in case.catalogue.flash_attn_source for sm in source.sm)
    oldest = min(known, key=numbers, default="")
    if too_old := ", ".join(sm for sm in case.capabilities if numbers(sm) < numbers(oldest)):
        return (
            f"flash-attn needs {oldest} or newer, and this plan uses {too_old}: SDPA is used there"
        )
    if case.flavour == "3" and any(not sm.startswith("9.") for sm in case.capabilities):
        used = ", ".join(case.capabilities)
        return f"FlashAttention 3 is for Hopper (9.0), and this plan uses {used}"
    harm = _effect("harm", "flash-attn-4", case) if case.flavour == "4" else ""
    return f"it breaks vLLM {case.candidate.release.version}: {harm}" if harm else ""


def _first(result: str, matches: list[WheelMatch], case: _Case) -> WheelMatch | None:
    return next(
        (wheel for wheel in matches if wheel.result == result and not _excluded(wheel, case)), None
    )


def _excluded(wheel: WheelMatch, case: _Case) -> str:
    """Return why a candidate is excluded even if it fits: settings, a silent source, a refusal."""
    source = _SOURCE[wheel.row.flavour]
    if wheel.row.third_party and not case.situation.settings.flash_attn.third_party:
        return "config says flash_attn.third_party: false"
    if wheel.origin != "store" and not case.situation.sources[source]:
        return case.situation.why_not(source)
    return case.refused.get(wheel.name, "")


def _rejected(matches: list[WheelMatch], case: _Case, chosen: WheelMatch | None) -> list[Rejected]:
    """List every wheel before the chosen one with its reason.

    Wheels of one origin that share a reason become one line, with the reason of the newest.
    """
    reasons: dict[str, str] = {}  # in the order of preference, without repetitions
    before = matches[: matches.index(chosen)] if chosen else matches
    for wheel in before:
        is_refused = wheel.name in case.refused
        if not is_refused and (exclusion := _excluded(wheel, case)):
            reasons.setdefault(_GROUPS[wheel.origin], exclusion)
        elif is_refused or not wheel.is_far:
            reasons[wheel.name] = case.refused.get(wheel.name) or wheel.reason
        else:
            group = [other for other in before if other.origin == wheel.origin]
            far = [other for other in group if other.is_far]
            others = "" if len(far) == len(group) else "other "
            newest = max(far, key=lambda other: numbers(other.newest))
            reasons.setdefault(f"{others}{_GROUPS[wheel.origin]}", newest.reason)
    return [Rejected(candidate=name, reason=reason) for name, reason in reasons.items()]


def _wheel(
    chosen: WheelMatch,
    case: _Case,
    rejected: list[Rejected] | None = None,
    fallback: Choice | None = None,
) -> Choice:
    """Plan a wheel; `fallback` is what follows if its release turns out not to have it."""
    row, short = chosen.row, _describe(chosen)
    otherwise = f"; else {fallback.short}" if fallback else ""
    # Flavour 3 has a module name of its own, so it cannot get in vLLM's way.
    harm = _sentence(_effect("harm", "flash-attn", case)) if row.flavour != "3" else ""
    plan = FlashAttn(
        mode="wheel",
        flavour=row.flavour,
        arches=case.capabilities,
        why=f"{short}{otherwise}. {_what_for(case)}{harm}",
        # Flavours 3 and 4 have no file name yet: the resolver picks their wheel beside vLLM.
        wheel=chosen.name if row.flavour == "2" else "",
        origin=chosen.origin,
        published=_PUBLISHED[chosen.result] if chosen.origin != "store" else msgspec.UNSET,
    )
    return Choice(
        plan,
        Package(
            version=row.version,
            source="find-links" if chosen.origin == "store" else _SOURCE[row.flavour],
            distribution=DISTRIBUTION.get(row.flavour),
        ),
        rejected or [],
        short,
    )


def _describe(chosen: WheelMatch) -> str:
    """Say in a few words which wheel is taken, and what of it is not certain yet."""
    row = chosen.row
    if chosen.origin == "store":
        return f"a wheel fits: {row.source}"
    publisher = "a third party's wheel" if row.third_party else "a published wheel"
    if chosen.result == "unknown":
        return f"{publisher}, if there is one ({chosen.reason}; it is looked up first)"
    caveat = "" if row.basis == "read" else "; it is inferred to exist, and read after download"
    if not row.sm:
        caveat = "; its architectures are read after download"
    misnamed = f"; its file is named {row.named}" if row.named != row.version else ""
    return f"{publisher} fits torch, CUDA, Python and ABI{caveat}{misnamed}"


def _without_wheel(case: _Case) -> Choice:
    """Plan a build from the source release for the GPUs of this host only, or none."""
    settings = case.situation.settings.flash_attn
    if settings.mode == "wheel":
        return _none(case, "no published wheel can be used, and config asks for one")
    if case.flavour != "2":
        return _none(
            case, f"no wheel of FlashAttention {case.flavour} can be used, and it is not built here"
        )
    source = next(iter(case.catalogue.flash_attn_source), None)
    if source is None:
        return _none(case, "no source release is known")
    name = build_name(source.version)
    release, capabilities = case.candidate.torch_release, case.capabilities
    reason = build_rules.obstacle(
        source, capabilities, case.target.cuda, release, case.situation, case.catalogue
    )
    reason = reason or case.refused.get(name, "")
    if reason:
        return _none(case, reason, [Rejected(candidate=name, reason=reason)])
    waiting = "" if settings.build == "now" else "; vLLM does not wait for it"
    cost = build_rules.describe(source, capabilities, release, case.situation)
    harm = _sentence(_effect("harm", "flash-attn", case))
    plan = FlashAttn(
        mode="build",
        flavour=case.flavour,
        arches=build_rules.arches(source, capabilities),
        why=f"no wheel can be used; it can be compiled {cost}{waiting}. {_what_for(case)}{harm}",
    )
    return Choice(
        plan, Package(version=source.version, source="pypi"), [], f"it is compiled {cost}{waiting}"
    )
