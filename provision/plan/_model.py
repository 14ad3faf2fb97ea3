"""The plan document: what to install on a host and why, or the reasons why nothing can be."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from provision.host.facts_read import Assumption, ReadFacts

SCHEMA: Final = "vllm-ready/plan/1"
OPTIONAL: Final = "flash-attn"  # the package that a plan can go without
# One distribution for each flavour of it.
OPTIONAL_DISTRIBUTIONS: Final = ("flash-attn", "flash-attn-3", "flash-attn-4")


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate that was not chosen, and the reason against it."""

    candidate: str
    reason: str


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One choice, its reason, and every candidate that was not taken."""

    subject: str
    chosen: str
    because: str
    rejected: tuple[Rejected, ...] = ()


class Package(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A distribution to install; `distribution` is its name where the key of the plan differs."""

    version: str
    source: str
    distribution: str | None = None


class UsedGpus(msgspec.Struct, frozen=True, kw_only=True):
    """The GPUs that vLLM uses, as ids in PCI order; a MIG slice is "0:1".

    `capabilities` are the compute capabilities of the used GPUs.
    """

    used: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    excluded: tuple[ExcludedGpu, ...] = ()


class ExcludedGpu(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU that is left out, and the reason."""

    id: str
    reason: str


class FlashAttn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The choice for the flash-attn package; `wheel` is the name of the chosen file."""

    mode: Literal["wheel", "build", "none"]
    flavour: str
    arches: tuple[str, ...]
    why: str
    wheel: str = ""
    origin: Literal["", "store", "authors", "third party"] = ""
    # Unset, and not "", where no published wheel is planned: a plan without it is as it always was.
    published: Literal["listed", "unknown"] | msgspec.UnsetType = msgspec.UNSET


class Attention(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The attention backend that vLLM takes on one GPU, and the origin of its code."""

    gpu: str
    backend: str
    code: Literal["native", "ptx-jit"]
    why: str
    warning: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a host needs, complete before anything changes."""

    schema: Literal["vllm-ready/plan/1"] = SCHEMA
    profile: Literal["cuda", "cpu"]
    python: str
    platform: str
    gpus: UsedGpus
    cuda: str | None
    packages: dict[str, Package | None]
    flash_attn: FlashAttn
    attention: tuple[Attention, ...]
    decisions: tuple[Decision, ...]
    uploaded_before: str
    download_mb: int
    disk_mb: int
    checks: tuple[str, ...]
    warnings: tuple[str, ...]
    advice: tuple[str, ...]
    # Of a plan that is shown; unset in the plan of an environment, which is as it always was.
    assumptions: tuple[Assumption, ...] | msgspec.UnsetType = msgspec.UNSET
    installed: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    read: ReadFacts | msgspec.UnsetType = msgspec.UNSET

    @property
    def glibc(self) -> str:
        """Return the glibc of the host that the plan is for: 2.36 for x86_64-manylinux_2_36."""
        return self.platform.partition("-manylinux_")[2].replace("_", ".")

    def package(self, name: str) -> Package:
        """Return a package that every plan has: vllm or torch."""
        package = self.packages[name]
        assert package is not None  # noqa: S101 - the planner's own promise
        return package

    def without_words(self) -> Plan:
        """Return this plan without reasons and warnings: words make no other environment."""
        # Environments made before plans had `published` keep their fingerprints.
        flash_attn = msgspec.structs.replace(self.flash_attn, published=msgspec.UNSET)
        return msgspec.structs.replace(
            self, decisions=(), warnings=(), advice=(), checks=(), flash_attn=flash_attn
        )

    def in_words_of(self, other: Plan) -> Plan:
        """Return this plan with the sentences of another one, if both decide the same.

        Some sentences are part of an environment's fingerprint: a newer vllm-ready that words them
        differently must still find the environment of an older one.
        """
        if self._decided() != other._decided():
            return self
        flash_attn = msgspec.structs.replace(self.flash_attn, why=other.flash_attn.why)
        return msgspec.structs.replace(
            self, gpus=other.gpus, attention=other.attention, flash_attn=flash_attn
        )

    def _decided(self) -> Plan:
        bare, blank = self.without_words(), msgspec.structs.replace
        excluded = tuple(blank(gpu, reason="") for gpu in bare.gpus.excluded)
        return blank(
            bare,
            gpus=blank(bare.gpus, excluded=excluded),
            attention=tuple(blank(choice, why="", warning="") for choice in bare.attention),
            flash_attn=blank(bare.flash_attn, why=""),
        )

    @property
    def optional(self) -> Package | None:
        """The optional package, where it is planned."""
        return self.packages.get(OPTIONAL)

    @property
    def resolved_with_vllm(self) -> tuple[str, ...]:
        """The requirement of the optional package where an index resolves it together with vLLM."""
        package = self.optional
        if package is None or self.flash_attn.mode != "wheel" or package.distribution is None:
            return ()
        return (f"{package.distribution}=={package.version}",)

    @property
    def compiles(self) -> bool:
        """Return whether the optional package is to be compiled."""
        return self.flash_attn.mode == "build"

    def with_optional_of(self, other: Plan, decision: Decision) -> Plan:
        """Return this plan with another plan's choice of the optional package."""
        return msgspec.structs.replace(
            self,
            packages={**self.packages, OPTIONAL: other.optional},
            flash_attn=other.flash_attn,
            decisions=tuple(decision if old.subject == OPTIONAL else old for old in self.decisions),
        )

    def without_optional(self) -> Plan:
        """Return this plan without the optional package and the decision about it."""
        # Step 90 writes this plan: its text is part of fingerprints.
        return msgspec.structs.replace(
            self,
            packages={**self.packages, OPTIONAL: None},
            flash_attn=FlashAttn(
                mode="none",
                flavour=self.flash_attn.flavour,
                arches=(),
                why="it is not in this environment",
            ),
            decisions=tuple(old for old in self.decisions if old.subject != OPTIONAL),
        )


class Reasons(msgspec.Struct, frozen=True, kw_only=True):
    """The reasons against a plan that concern one subject."""

    subject: str
    reasons: tuple[str, ...]


class Unsupported(msgspec.Struct, frozen=True, kw_only=True):
    """The document for a host that no plan exists for; exit code 3."""

    schema: Literal["vllm-ready/plan/1"] = SCHEMA
    unsupported: tuple[Reasons, ...]
    advice: tuple[str, ...]
    assumptions: tuple[Assumption, ...] | msgspec.UnsetType = msgspec.UNSET
    installed: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    read: ReadFacts | msgspec.UnsetType = msgspec.UNSET


class SilentSource(msgspec.Struct, frozen=True, kw_only=True):
    """A package source that does not answer, and the setting or variable that names it."""

    source: str
    address: str
    setting: str


class SilentSources(msgspec.Struct, frozen=True, kw_only=True):
    """The document where a needed source is silent, so that no plan can be made; exit code 4."""

    schema: Literal["vllm-ready/plan/1"] = SCHEMA
    unreachable: tuple[SilentSource, ...]


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate that the resolver or a download refused; the next plan avoids it.

    `version` is a release of vLLM, or the name of a flash-attn candidate.
    """

    package: str = "vllm"
    version: str
    reason: str
