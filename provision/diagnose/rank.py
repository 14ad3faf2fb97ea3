"""From what a log shows to causes in order: root before consequence, specific before generic."""

from __future__ import annotations

import re

import msgspec

from provision.diagnose import facts as known
from provision.diagnose._model import LEVELS, Cause, Confidence, Form, Line
from provision.diagnose.catalogue import Catalogue
from provision.diagnose.facts import Facts
from provision.diagnose.reader import Scan

_MOST_EVIDENCE = 5


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """One form that the log shows, as far as the host allows it."""

    form: Form
    confidence: Confidence
    evidence: tuple[Line, ...]
    host_facts: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    values: dict[str, str] = {}


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """A cause that the log shows, its best forms first."""

    cause: Cause
    confidence: Confidence
    because: str
    matches: tuple[Match, ...]

    @property
    def evidence(self) -> tuple[Line, ...]:
        lines = {line.line: line for match in self.matches for line in match.evidence}
        return tuple(lines.values())[:_MOST_EVIDENCE]

    @property
    def values(self) -> dict[str, str]:
        """Return what the signals say, for the commands of the fix."""
        return {
            name: value for match in reversed(self.matches) for name, value in match.values.items()
        }


def rank(found: Scan, facts: Facts, catalogue: Catalogue) -> tuple[Ranked, ...]:
    """Return every cause that the log shows, the most likely root first."""
    shown: dict[str, tuple[Match, ...]] = {}
    for name, cause in catalogue.causes.items():
        matches = [match for form in cause.shows for match in _matches(form, found, facts)]
        if matches:
            shown[name] = tuple(sorted(matches, key=lambda match: -LEVELS.index(match.confidence)))
    ranked = [_ranked(catalogue.causes[name], matches, shown) for name, matches in shown.items()]
    return tuple(sorted(ranked, key=lambda one: _order(one, shown)))


def _order(one: Ranked, shown: dict[str, tuple[Match, ...]]) -> tuple[bool, int, int, int, str]:
    first = min((line.line for line in one.evidence), default=0)
    best = one.matches[0]
    return (
        bool(_explained_by(one.cause, shown)),
        -LEVELS.index(one.confidence),
        -LEVELS.index(best.confidence) - bool(best.host_facts) - bool(best.form.beside),
        first,
        one.cause.name,
    )


def _explained_by(cause: Cause, shown: dict[str, tuple[Match, ...]]) -> str:
    """Return the cause that explains this one; one with less confidence explains nothing."""
    mine = LEVELS.index(shown[cause.name][0].confidence)
    for other in cause.yields_to:
        if other in shown and LEVELS.index(shown[other][0].confidence) >= min(mine, 1):
            return other
    return ""


def _ranked(
    cause: Cause, matches: tuple[Match, ...], shown: dict[str, tuple[Match, ...]]
) -> Ranked:
    best = matches[0]
    level, because = best.confidence, _because(best)
    if other := _explained_by(cause, shown):
        level, because = LEVELS[max(LEVELS.index(level) - 1, 0)], f"likely a consequence of {other}"
    elif level == "high" and (rival := _rival(cause.name, best, shown)):
        level, because = "medium", f"the same line also fits {rival}"
    return Ranked(cause=cause, confidence=level, because=because, matches=matches)


def _rival(name: str, best: Match, shown: dict[str, tuple[Match, ...]]) -> str:
    """Return another cause that the same line shows as clearly."""
    mine = {line.line for line in best.evidence}
    return next(
        (
            other
            for other, matches in shown.items()
            if other != name
            and matches[0].confidence == "high"
            and mine & {line.line for line in matches[0].evidence}
            and bool(matches[0].host_facts) >= bool(best.host_facts)
        ),
        "",
    )


def _because(match: Match) -> str:
    if match.unknown:
        return f"the message fits; what would decide is not known: {', '.join(match.unknown)}"
    if match.host_facts:
        return "the message fits, and so does the host"
    return {
        "high": "this message belongs to this cause",
        "medium": "the message fits this cause best, and others are possible",
        "low": "the log only hints at it",
    }[match.confidence]


def _matches(form: Form, found: Scan, facts: Facts) -> list[Match]:
    if form.without in found.hits or (form.beside and form.beside not in found.hits):
        return []
    judged = _judged(form, facts)
    if judged is None:
        return []
    confidence, host_facts, unknown = judged
    beside = tuple(found.hits[form.beside][:1]) if form.beside else ()
    results: list[tuple[tuple[Line, ...], dict[str, str]]] = []
    if form.pattern:
        hits = found.hits.get(form.pattern, [])
        results = [(tuple(hits), {})] if hits else []
    else:
        results = [
            ((signal.where,), signal.values)
            for signal in found.signals
            if signal.name == form.signal
            and all(
                re.fullmatch(wanted, signal.values.get(name, ""), re.IGNORECASE)
                for name, wanted in form.values.items()
            )
        ]
    return [
        Match(
            form=form,
            confidence=confidence,
            evidence=(*lines, *beside),
            host_facts=host_facts,
            unknown=unknown,
            values=values,
        )
        for lines, values in results
    ]


def _judged(form: Form, facts: Facts) -> tuple[Confidence, tuple[str, ...], tuple[str, ...]] | None:
    """Return the confidence that the host allows, its facts and the unknown ones; None: excluded."""
    supports, unknown = [], []
    for name, condition in form.host.items():
        fact = facts.get(name)
        verdict = known.holds(condition, fact)
        if verdict is False:
            return None
        if verdict is None:
            unknown.append(name)
        elif fact:
            supports.append(fact.text)
    if not unknown:
        return form.confidence, tuple(dict.fromkeys(supports)), ()
    lower = form.unsure or LEVELS[max(LEVELS.index(form.confidence) - 1, 0)]
    return None if lower == "none" else (lower, tuple(dict.fromkeys(supports)), tuple(unknown))
