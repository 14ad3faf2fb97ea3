"""How the figures of two runs differ: slower or faster beyond noise, another word, new and gone."""

from __future__ import annotations

from collections.abc import Iterator

from provision.engine.check_results import Figure
from provision.report import short
from provision.report._comparison import Change, How
from provision.report._gpu_names import GpuNames, on
from provision.report._model import Report

# Two medians differ where neither run's scatter reaches the other's: the intervals median ± spread do not overlap. The
# spread is that of single samples, so medians of ten lie far closer together, and drawing alone hardly ever parts them.
# But two runs differ by what no sample within one shows (a warmer card, another boost clock, memory laid out
# otherwise): below this part of the larger one nothing is said, however small the spreads are.
FLOOR = 0.05
# A number measured once has no spread, and a first start after an installation or beside other work takes several times
# as long: it is judged by nobody, and told where it differs like this.
_HUGE = 2.0
_LONG = 60  # letters of a word, such as all tokens of a text
_TOLD = ("pass", "warn")  # of other checks the outcome says more than a figure that is missing


def figure_changes(before: Report, after: Report, gpus: GpuNames) -> tuple[list[Change], list[str]]:
    """The changes, and what was measured only once and differs; nothing of GPUs that only one run has."""
    changes: list[Change] = []
    unjudged: list[str] = []
    old, new = _named(before), _named(after)
    if not old or not new:  # a shallow run, or one of before there were figures: nothing is gone
        return [], []
    fit = [{one.name for one in run.checks if one.outcome in _TOLD} for run in (before, after)]
    for key in sorted({*old, *new}):
        was, is_ = old.get(key), new.get(key)
        one = was or is_
        if one is None or any(gpus.are_lone({gpu}) for gpu in on(one)):
            continue
        if was is None or is_ is None:
            if one.check in fit[0] & fit[1]:
                changes.append(_lone(one, "gone" if was else "new"))
            continue
        changes += _lost(was, is_)
        if isinstance(was.value, str) or isinstance(is_.value, str) or was.unit != is_.unit:
            changes += _word(was, is_)
        elif changed := _number(was, is_, was.value, is_.value):
            changes.append(changed)
        elif _is_single(was, is_) and _apart(was.value, is_.value) >= 1 - 1 / _HUGE:
            unjudged.append(f"{_subject(is_)}: {short.with_unit(was)} -> {short.with_unit(is_)}")
    return changes, unjudged


def _named(report: Report) -> dict[tuple[str, str, str], Figure]:
    return {(one.check, one.name, short.of(one)): one for one in report.figures}


def _subject(figure: Figure) -> str:
    of = short.of(figure)
    return f"{figure.check} {figure.name}{f' ({of})' if of else ''}"


def _change(of: Figure, how: How, before: str, after: str, text: str, part: float = 0.0) -> Change:
    return Change(
        area="figure",
        subject=_subject(of),
        name=of.name,
        how=how,
        before=before,
        after=after,
        text=text,
        gpus=on(of),
        about=f"{of.check} {of.name} {short.of(of)}".rstrip(),
        part=round(part, 4),
    )


def _lone(figure: Figure, how: How) -> Change:
    value = short.with_unit(figure)
    sides = (value, "") if how == "gone" else ("", value)
    return _change(figure, how, *sides, f"{_subject(figure)} {how}: {value}")


def _lost(was: Figure, is_: Figure) -> Iterator[Change]:
    """Samples that were measured and are not there."""
    if (len(was.samples) < was.repeats) != (len(is_.samples) < is_.repeats):
        before, after = (f"{len(one.samples)} of {one.repeats} samples" for one in (was, is_))
        how: How = "worse" if len(is_.samples) < is_.repeats else "better"
        yield _change(is_, how, before, after, f"{_subject(is_)}: {before} -> {after}")


def _word(was: Figure, is_: Figure) -> Iterator[Change]:
    """A word instead of a number is a measurement that came to nothing."""
    before, after = short.with_unit(was), short.with_unit(is_)
    if before != after:
        numbers = [isinstance(one.value, (int, float)) for one in (was, is_)]
        how: How = "changed" if numbers[0] == numbers[1] else "worse" if numbers[0] else "better"
        yield _change(is_, how, before, after, f"{_subject(is_)}: {' -> '.join(_apart_from(before, after))}")


def _apart_from(before: str, after: str) -> tuple[str, ...]:
    """Long words from a little before where they part."""
    same = next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
    )
    start = same - 10 if max(len(before), len(after)) > _LONG and same > 10 else 0
    parts = ((one[start : start + _LONG], one[start + _LONG :]) for one in (before, after))
    return tuple(f"{'…' * bool(start)}{shown}{'…' * bool(rest)}" for shown, rest in parts)


def _is_single(was: Figure, is_: Figure) -> bool:
    return min(len(was.samples), len(is_.samples), was.repeats, is_.repeats) <= 1


def _apart(one: float, other: float) -> float:
    """As a part of the larger one: the same whichever came first."""
    largest = max(abs(one), abs(other))
    return abs(one - other) / largest if largest else 0.0


def differ(was: Figure, is_: Figure, one: float, other: float) -> bool:
    """Whether two numbers are two, and not the noise of one; see above."""
    if _is_single(was, is_):
        return False
    between = abs(other - one) - abs(one) * was.spread - abs(other) * is_.spread
    return between > 0 and _apart(one, other) > FLOOR


def _number(was: Figure, is_: Figure, one: float, other: float) -> Change | None:
    if not differ(was, is_, one, other):
        return None
    part = abs(other - one) / abs(one) if one else 1.0
    spreads = f"spreads {100 * was.spread:.2g} % and {100 * is_.spread:.2g} %"
    values = f"{short.value(was)} -> {short.with_unit(is_)}"
    how: How = "changed"
    word = "higher" if other > one else "lower"
    if is_.better != "same":
        how = "better" if (other > one) == (is_.better == "higher") else "worse"
        word = _PACE[how] if _is_pace(is_.unit) else word
    text = f"{_subject(is_)}: {word} by {100 * part:.3g} %: {values} ({spreads})"
    return _change(is_, how, short.with_unit(was), short.with_unit(is_), text, part)


_PACE = {"better": "faster", "worse": "slower"}


def _is_pace(unit: str) -> bool:
    return unit.endswith("/s") or unit in ("s", "ms", "us", "µs", "ns")
