"""Every ordered pair of GPUs: how the recording says they are joined, and what is tried with each, which may hang."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Iterator, Mapping
from typing import Any

Pair = tuple[int, int]


def pairs(count: int) -> list[Pair]:
    return list(itertools.permutations(range(count), 2))


def name(pair: Pair) -> str:
    return f"GPU {pair[0]} to {pair[1]}"


def links(facts: Mapping[str, Any], used: tuple[str, ...]) -> dict[Pair, str]:
    """NV18, PIX, SYS and so on for torch's numbers of the GPUs that are used; nothing where nobody could read it."""
    fact = facts.get("gpu_links", {})
    told = {frozenset((each["a"], each["b"])): each["kind"] for each in fact.get("pairs", ())}
    kinds = {(a, b): told.get(frozenset((used[a], used[b])), "") for a, b in pairs(len(used))}
    return {pair: kind for pair, kind in kinds.items() if kind}


def stuck(steps: Iterator[str], limit_s: float) -> str:
    """Goes through the steps, each named before it is made; the name of one that does not end, or nothing.

    In a thread: a call that waits for a GPU cannot be interrupted, only left behind.
    """
    news: queue.SimpleQueue[str | BaseException | None] = queue.SimpleQueue()

    def walk() -> None:
        try:
            for step in steps:
                news.put(step)
            news.put(None)
        except BaseException as problem:  # noqa: BLE001 - it is raised again where somebody hears it
            news.put(problem)

    threading.Thread(target=walk, daemon=True).start()
    step: str | BaseException | None = "the first step"
    while step is not None:
        now = str(step)
        try:
            step = news.get(timeout=limit_s)
        except queue.Empty:
            return now
        if isinstance(step, BaseException):
            raise step
    return ""


def suspect(facts: Mapping[str, Any]) -> str:
    """What between GPUs breaks what they send each other directly, as far as the recording can tell."""
    iommu = facts.get("iommu", {})
    seen = "; here ACS is on" if iommu.get("acs_redirects") else ""
    seen += f"; here the IOMMU is on ({iommu['groups']} groups)" if iommu.get("groups") else ""
    return f"PCIe access control (ACS) or an IOMMU breaks peer-to-peer: switch ACS off, or boot with iommu=pt{seen}"
