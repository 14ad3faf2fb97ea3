"""A diagnosis as text for a terminal: each finding with its evidence, fix and proof."""

from __future__ import annotations

import textwrap

from provision.diagnose._model import Diagnosis, Finding

_WIDTH = 100
_MOST = 5


def text(diagnosis: Diagnosis) -> str:
    parts = [_finding(number, one) for number, one in enumerate(diagnosis.findings[:_MOST], 1)]
    if all(one.confidence == "low" for one in diagnosis.findings):
        parts.insert(0, _unknown(diagnosis))
    elif more := diagnosis.findings[_MOST:]:
        parts.append(f"also possible: {', '.join(one.cause for one in more)}\n")
    return "\n".join(parts)


def in_one_line(diagnosis: Diagnosis) -> str:
    if not diagnosis.findings:
        return "nothing known matches\n"
    first = diagnosis.findings[0]
    return f"{first.cause} ({first.confidence}): {first.summary}\n"


def _finding(number: int, one: Finding) -> str:
    lines = [f"{number}. {one.cause} ({one.confidence}: {one.because})", *_wrapped(one.summary)]
    lines += [f"   line {line.line}: {line.text}" for line in one.evidence]
    lines += [f"   host: {fact}" for fact in one.host_facts]
    lines += ["   fix, the least invasive first:", *(f"     {step}" for step in one.fix)]
    lines += [f"   proof: {one.proof}"]
    lines += [
        f"   not to be confused with {other.cause}: {other.differs}" for other in one.look_alikes
    ]
    lines += [f"   more: docs/causes/{one.cause}.md"]
    return "\n".join(lines) + "\n"


def _unknown(diagnosis: Diagnosis) -> str:
    if not (diagnosis.findings or diagnosis.root_lines):
        return "No known failure shows here.\n"
    lines = ["The cause is not known." if not diagnosis.findings else "The cause is not sure."]
    if diagnosis.root_lines:
        lines += ["The first errors:"]
        lines += [f"   line {line.line}: {line.text}" for line in diagnosis.root_lines]
    lines += ["To find out, collect:", *(f"   {step}" for step in diagnosis.collect)]
    return "\n".join(lines) + "\n"


def _wrapped(sentence: str) -> list[str]:
    return textwrap.wrap(sentence, _WIDTH, initial_indent="   ", subsequent_indent="   ")
