"""Ordered pairs of GPUs: the recorded link between them, and steps that may hang on one of them."""

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
    """Return the link (NV18, PIX, SYS, …) of each pair, by torch's numbers, as far as recorded."""
    rows = facts.get("gpu_links", {}).get("pairs", ())
    recorded = {frozenset((row["a"], row["b"])): row["kind"] for row in rows}
    kinds = {(a, b): recorded.get(frozenset((used[a], used[b])), "") for a, b in pairs(len(used))}
    return {pair: kind for pair, kind in kinds.items() if kind}


def find_hang(steps: Iterator[str], limit_s: float) -> str:
    """Run all steps, each named before it begins; return the name of one that hangs, or ""."""
    # In a thread: a call that waits for a GPU cannot be interrupted, only left behind.
    news: queue.SimpleQueue[str | BaseException | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            for step in steps:
                news.put(step)
            news.put(None)
        except BaseException as error:  # noqa: BLE001 - it is raised again in the caller's thread
            news.put(error)

    threading.Thread(target=run, daemon=True).start()
    step: str | BaseException | None = "the first step"
    while step is not None:
        current = str(step)
        try:
            step = news.get(timeout=limit_s)
        except queue.Empty:
            return current
        if isinstance(step, BaseException):
            raise step
    return ""


def describe_suspects(facts: Mapping[str, Any]) -> str:
    """Return what between GPUs breaks direct copies, with what the recording knows of it."""
    iommu = facts.get("iommu", {})
    known = "; here ACS is on" if iommu.get("acs_redirects") else ""
    known += f"; here the IOMMU is on ({iommu['groups']} groups)" if iommu.get("groups") else ""
    return (
        "PCIe access control (ACS) or an IOMMU breaks peer-to-peer: switch ACS off, "
        f"or boot with iommu=pt{known}"
    )
