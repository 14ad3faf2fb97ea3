"""The parts that CUDA and CPU plans share: the Python, the platform, the day to resolve at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import TypeVar

from provision.plan._model import Decision, Reasons, Rejected
from provision.plan.choose_vllm import grouped
from provision.plan.situation import Situation

# uv fetches it where a host has no usable Python: every vLLM since 0.6 allows it.
FETCHED_PYTHON = "3.12"
T = TypeVar("T")


def pythons(situation: Situation) -> tuple[str, ...]:
    """Return the Pythons to try, newest first."""
    return situation.pythons or (FETCHED_PYTHON,)


def best_python(choices: Mapping[str, T], better: Callable[[T, T], bool]) -> str:
    """Return the Python with the best choice; the first, which is the newest, among equals."""
    best = next(iter(choices))
    for python, choice in choices.items():
        if better(choice, choices[best]):
            best = python
    return best


def platform(situation: Situation) -> str:
    return f"{situation.machine}-manylinux_{situation.glibc.replace('.', '_')}"


def day_after(day: str) -> str:
    """Return the day at which dependencies are resolved: the day after the release of vLLM."""
    # Dependencies that vLLM leaves open are taken as of its release; the limit is exclusive.
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()


def python_decision(situation: Situation, python: str, allows: dict[str, str]) -> Decision:
    """Return the reason for a Python, and the vLLM that each other Python allows."""
    if situation.settings.python != "auto":
        because = "the settings ask for it"
    elif not situation.pythons:
        because = "this host has no usable Python; uv downloads one"
    else:
        because = "the newest Python of this host that allows the newest vLLM"
    # The other Pythons show what a reader would get by choosing one.
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
