"""The way out of a refusal: the smallest changes that make a plan, and what remains without one."""

from __future__ import annotations

from collections.abc import Iterator

from provision.catalog.rows import Catalogue
from provision.plan import other_accelerators
from provision.plan.advice import (
    NARROWING,
    ExpectedVllm,
    Search,
    forward_compatibility,
    in_words,
    newer_vllm,
    without,
    without_settings,
)
from provision.plan.dead_gpus import lowest_capability
from provision.plan.situation import Situation
from provision.plan.versions import EXACT_CODE_ONLY, numbers
from provision.settings import Settings


def find(
    situation: Situation, catalogue: Catalogue, search: Search, on_the_cpu: ExpectedVllm | None
) -> Iterator[str]:
    """Yield the nearest alternatives for a host that cannot run what the settings ask for."""
    ways = list(_ways_out(situation, catalogue, search, on_the_cpu))
    yield from ways or [_without_settings_and_more(situation, catalogue, search)]


def _without_settings_and_more(situation: Situation, catalogue: Catalogue, search: Search) -> str:
    """Return the smallest change that helps once no setting narrows the choice."""
    plain = Settings()
    narrowed = tuple(
        name for name in NARROWING if getattr(situation.settings, name) != getattr(plain, name)
    )
    free = without(narrowed, situation, plain)
    change = next(newer_vllm(free, catalogue, None, search), "") if narrowed else ""
    if change:
        return f"without {in_words(narrowed, situation.settings)} in the settings, {change}"
    return "use another GPU or another host, or build vLLM from source"


def _ways_out(
    situation: Situation, catalogue: Catalogue, search: Search, on_the_cpu: ExpectedVllm | None
) -> Iterator[str]:
    hints = [*without_settings(situation, search), *newer_vllm(situation, catalogue, None, search)]
    yield from hints
    yield from forward_compatibility(situation, catalogue, None, search)
    lowest = lowest_capability(catalogue)
    old = {gpu.name for gpu in situation.gpus if gpu.cc and numbers(gpu.cc) < numbers(lowest)}
    if old:
        yield (
            f"{', '.join(sorted(old))}: no published vLLM has code for it;"
            f" use a GPU of {lowest} or newer, or build vLLM from source"
        )
    if any(gpu.cc in EXACT_CODE_ONLY for gpu in situation.gpus):
        yield from other_accelerators.ways_of("jetson", catalogue)
    if situation.missing_glibc:
        yield "a container with glibc (Ubuntu, Debian, Rocky) on this host would run vLLM"
    elif not hints and on_the_cpu:
        yield (
            f"the CPU of this host could run a small model with vLLM {on_the_cpu.name}: --set"
            " profile=cpu"
        )
