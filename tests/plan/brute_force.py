"""An independent planner: it tries every combination of published builds, rule by rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from provision.catalog.rows import Catalogue, TorchBuild, TorchRelease, VllmBuild, VllmRelease
from provision.plan._model import Plan, Unsupported

INTEGRATED = {(7, 2), (8, 7), (11, 0)}  # these load no code but their own


@dataclass(frozen=True)
class Card:
    """The properties of a GPU that decide: its capability and its memory."""

    name: str
    cc: str
    memory_gb: float


@dataclass(frozen=True)
class Machine:
    """The properties of a host that decide; `requested` is None for `gpus: auto`."""

    cards: tuple[Card, ...]
    driver: str
    python: str
    glibc: str
    machine: str
    sources: frozenset[str]
    requested: frozenset[int] | None = None


@dataclass(frozen=True)
class Pair:
    """A published vLLM wheel with a published torch wheel."""

    release: VllmRelease
    vllm: VllmBuild
    torch_release: TorchRelease
    torch: TorchBuild


@cache
def number(text: str) -> Version:
    return Version(text)


@cache
def allows(specifier: str, version: str) -> bool:
    return version in SpecifierSet(specifier)


def as_pair(cc: str) -> tuple[int, int]:
    major, minor = cc.split(".")
    return int(major), int(minor)


def loads(code: tuple[str, ...], card: Card) -> bool:
    """Return True if a list has machine code for a GPU: same major, and no higher minor."""
    mine = as_pair(card.cc)
    theirs = [as_pair(cc) for cc in code]
    if mine in INTEGRATED:
        return mine in theirs
    return any(major == mine[0] and minor <= mine[1] for major, minor in theirs)


def pairs(machine: str, catalogue: Catalogue) -> Iterator[Pair]:
    """Yield every CUDA build of vLLM for a machine with every CUDA build of its torch."""
    torches = {torch.version: torch for torch in catalogue.torch}
    for release in catalogue.vllm:
        torch_release = torches[release.torch]
        for vllm in release.builds:
            for torch in torch_release.builds:
                if vllm.cuda and torch.cuda and machine == vllm.machine == torch.machine:
                    yield Pair(release=release, vllm=vllm, torch_release=torch_release, torch=torch)


def against_host(pair: Pair, host: Machine, catalogue: Catalogue) -> list[str]:
    """Return the reasons against a pair that concern the host."""
    builds = (pair.vllm, pair.torch)
    majors = [(build.cuda or "").split(".")[0] for build in builds]
    oldest = {row.major: row.driver for row in catalogue.cuda_major}
    tag = "cp" + host.python.replace(".", "")
    reasons = []
    if majors[0] != majors[1]:
        reasons.append(f"CUDA {majors[0]} beside CUDA {majors[1]}")
    reasons += [f"driver for CUDA {m}" for m in majors if number(host.driver) < number(oldest[m])]
    reasons += [f"glibc {b.glibc}" for b in builds if number(host.glibc) < number(b.glibc)]
    reasons += [f"{b.where} does not answer" for b in builds if b.where not in host.sources]
    if not allows(pair.release.python, host.python) or tag not in pair.torch_release.cpython:
        reasons.append(f"Python {host.python}")
    for rule in catalogue.rules:
        if rule.kind == "python" and rule.machine in (None, host.machine):
            outside = allows(rule.versions, pair.release.version) and not allows(
                rule.value, host.python
            )
            reasons += [rule.why] if outside else []
    return reasons


def against_card(pair: Pair, card: Card, host: Machine, catalogue: Catalogue) -> list[str]:
    """Return the reasons against a pair on one GPU."""
    reasons = []
    branch = int(host.driver.split(".")[0])
    for limit in catalogue.drivers:
        if limit.cc == card.cc:
            reasons += ["the driver is too old for it"] if branch < (limit.first or 0) else []
            reasons += ["the driver has dropped it"] if branch > (limit.last or branch) else []
    if pair.vllm.core is None or not loads(pair.vllm.core.sm, card):
        reasons.append("no code in vLLM")
    if not loads(pair.torch.sm, card):
        reasons.append("no code in torch")
    for rule in catalogue.rules:
        if (
            rule.kind == "triton"
            and card.cc in rule.cc
            and allows(rule.versions, pair.release.torch)
        ):
            reasons.append(rule.why)
    return reasons


def served(pair: Pair, host: Machine, catalogue: Catalogue) -> frozenset[int]:
    """Return the GPUs that a pair runs on; none where the host rules it out."""
    if against_host(pair, host, catalogue):
        return frozenset()
    good = {card: not against_card(pair, card, host, catalogue) for card in set(host.cards)}
    return frozenset(i for i, card in enumerate(host.cards) if good[card])


def memory(host: Machine, ids: frozenset[int]) -> float:
    return sum(host.cards[i].memory_gb for i in ids)


def newest(host: Machine, catalogue: Catalogue) -> tuple[str, frozenset[frozenset[int]]] | None:
    """Return the newest release that runs enough GPUs, and the sets of GPUs that its builds run."""
    results = [(pair, served(pair, host, catalogue)) for pair in pairs(host.machine, catalogue)]
    if host.requested is not None:
        enough = [(pair, host.requested) for pair, ids in results if host.requested <= ids]
    else:
        most = max((memory(host, ids) for _, ids in results), default=0)
        goal = min(most, memory(host, frozenset(range(len(host.cards)))) / 2)
        enough = [(pair, ids) for pair, ids in results if ids and memory(host, ids) >= goal]
    if not enough:
        return None
    version = max((pair.release.version for pair, _ in enough), key=number)
    return version, frozenset(ids for pair, ids in enough if pair.release.version == version)


def named(version: str, build: VllmBuild | TorchBuild) -> str:
    """Return a wheel's version in a plan: PyPI's has no local part, others have their variant."""
    return version if build.where == "pypi" else f"{version}+{build.variant}"


def chosen(plan: Plan, host: Machine, catalogue: Catalogue) -> Pair | None:
    """Return the published pair that a plan names."""
    packages = (plan.packages["vllm"], plan.packages["torch"])
    versions = tuple(package.version for package in packages if package)
    for pair in pairs(host.machine, catalogue):
        release = pair.release
        if versions == (named(release.version, pair.vllm), named(release.torch, pair.torch)):
            return pair
    return None


def faults(plan: Plan | Unsupported, host: Machine, catalogue: Catalogue) -> list[str]:
    """Return all faults of a plan; none where it is valid and no newer release is possible."""
    best = newest(host, catalogue)
    if isinstance(plan, Unsupported) or best is None:
        agreed = isinstance(plan, Unsupported) and best is None
        return [] if agreed else [f"the newest possible is {best and best[0]}"]
    pair = chosen(plan, host, catalogue)
    if pair is None:
        return ["no such wheels are published for this machine"]
    used = frozenset(int(gpu) for gpu in plan.gpus.used)
    wrong = against_host(pair, host, catalogue)
    for gpu in sorted(used):
        wrong += [
            f"GPU {gpu}: {why}" for why in against_card(pair, host.cards[gpu], host, catalogue)
        ]
    if pair.release.version != best[0]:
        wrong.append(f"the newest possible is {best[0]}")
    elif memory(host, used) < max(memory(host, ids) for ids in best[1]):
        wrong.append("the same release runs more of the GPU memory")
    if used | {int(gpu.id) for gpu in plan.gpus.excluded} != set(range(len(host.cards))):
        wrong.append("a GPU is neither used nor excluded")
    if plan.cuda != pair.vllm.cuda:
        wrong.append(f"vLLM's wheel is built for CUDA {pair.vllm.cuda}")
    return wrong
