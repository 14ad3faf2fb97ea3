"""What a plan for a GPU and a plan for a CPU have in common: the Python, the platform, the day to resolve at."""

from __future__ import annotations

from datetime import date, timedelta

from provision.plan._model import Decision, Reasons, Rejected
from provision.plan.choose_vllm import grouped
from provision.plan.situation import Situation

FETCHED_PYTHON = "3.12"  # what uv fetches where a host has no usable Python: every release since 0.6 allows it


def pythons(situation: Situation) -> tuple[str, ...]:
    """The Pythons to try, newest first."""
    return situation.pythons or (FETCHED_PYTHON,)


def platform(situation: Situation) -> str:
    return f"{situation.machine}-manylinux_{situation.glibc.replace('.', '_')}"


def day_after(day: str) -> str:
    """Dependencies that vLLM leaves open are taken as they were when it was released."""
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()


def python_decision(situation: Situation, python: str, allows: dict[str, str]) -> Decision:
    """Why this Python, and what each of the others allows."""
    if situation.settings.python != "auto":
        because = "config asks for it"
    elif not situation.pythons:
        because = "no usable Python on this host; uv fetches one"
    else:
        because = "the newest on this host that allows the best choice"
    others = tuple(
        Rejected(candidate=other, reason=f"allows vLLM {vllm}" if vllm else "allows no vLLM here")
        for other, vllm in allows.items()
        if other != python
    )
    return Decision(subject="python", chosen=python, because=because, rejected=grouped(others))


def unheard(situation: Situation) -> tuple[Reasons, ...]:
    """Why sources are silent, where no plan came about: it may be all that is wrong."""
    return (Reasons(subject="sources", reasons=situation.silence),) if situation.silence else ()
