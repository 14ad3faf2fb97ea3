"""The parts that CUDA and CPU plans share: the Python, the platform, the day to resolve at."""

from __future__ import annotations

from datetime import date, timedelta

from provision.plan._model import Decision, Reasons, Rejected
from provision.plan.choose_vllm import grouped
from provision.plan.situation import Situation

# uv fetches it where a host has no usable Python: every vLLM since 0.6 allows it.
FETCHED_PYTHON = "3.12"


def pythons(situation: Situation) -> tuple[str, ...]:
    """Return the Pythons to try, newest first."""
    return situation.pythons or (FETCHED_PYTHON,)


def platform(situation: Situation) -> str:
    return f"{situation.machine}-manylinux_{situation.glibc.replace('.', '_')}"


def day_after(day: str) -> str:
    """Return the day at which dependencies are resolved: the day after the release of vLLM."""
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()


def python_decision(situation: Situation, python: str, allows: dict[str, str]) -> Decision:
    """Return the reason for a Python, and the vLLM that each other Python allows."""
    if situation.settings.python != "auto":
        because = "the settings ask for it"
    elif not situation.pythons:
        because = "this host has no usable Python; uv downloads one"
    else:
        because = "the newest Python of this host that allows the newest vLLM"
    others = tuple(
        Rejected(
            candidate=other, reason=f"allows vLLM {vllm}" if vllm else "allows no vLLM on this host"
        )
        for other, vllm in allows.items()
        if other != python
    )
    return Decision(subject="python", chosen=python, because=because, rejected=grouped(others))


def silent_sources(situation: Situation) -> tuple[Reasons, ...]:
    """Return the sources that do not answer: they may be the only cause of a missing plan."""
    return (
        (Reasons(subject="sources", reasons=situation.source_failures),)
        if situation.source_failures
        else ()
    )
