"""Differences between the figures of two runs: slower or faster beyond noise, other words, gone."""

from __future__ import annotations

from collections.abc import Iterator

from provision.report import short
from provision.report._comparison import Change, How
from provision.report._gpu_names import GpuNames, on
from provision.report._model import Report
from provision.results import Figure

# Two medians differ where the intervals median ± spread do not overlap. The spread is that of
# single samples; medians of ten samples lie far closer together, so chance hardly ever separates
# them. But two runs also differ by effects that no sample within one run shows (a warmer card,
# another boost clock, another memory layout): below this fraction of the larger median nothing is
# reported, however small the spreads are.
FLOOR = 0.05
# A number measured once has no spread, and a first start after an installation or beside other
# work takes several times as long. It is never judged, only mentioned from this factor on.
_HUGE = 2.0
_LONG = 60  # letters of a word, such as all tokens of a text
_MEASURES = ("pass", "warn")  # for other outcomes the outcome says more than a missing figure
_PACE = {"better": "faster", "worse": "slower"}


def figure_changes(before: Report, after: Report, gpus: GpuNames) -> tuple[list[Change], list[str]]:
    """Return the changes, and sentences about differing figures that were measured only once.

    Figures of a GPU that only one run has are left out.
    """
    changes: list[Change] = []
    unjudged: list[str] = []
    old, new = _by_key(before), _by_key(after)
    if not old or not new:  # one run measured nothing, so no figure is gone or new
        return [], []
    measuring = _measuring(before) & _measuring(after)
    for key in sorted({*old, *new}):
        was, is_ = old.get(key), new.get(key)
        if was is None or is_ is None:
            figure = was or is_
            if figure and figure.check in measuring and not _is_lone(figure, gpus):
                changes.append(_lone(figure, "gone" if was else "new"))
        elif not _is_lone(is_, gpus):
            changes += _lost_samples(was, is_)
            old_value, new_value = was.value, is_.value
            if isinstance(old_value, str) or isinstance(new_value, str) or was.unit != is_.unit:
                changes += _word_changes(was, is_)
            elif _differ(was, is_, old_value, new_value):
                changes.append(_number_change(was, is_, old_value, new_value))
            elif _is_single(was, is_) and _distance(old_value, new_value) >= 1 - 1 / _HUGE:
                texts = short.with_unit(was), short.with_unit(is_)
                unjudged.append(f"{_subject(is_)}: {' -> '.join(texts)}")
    return changes, unjudged


def _by_key(report: Report) -> dict[tuple[str, str, str], Figure]:
    return {(figure.check, figure.name, short.of(figure)): figure for figure in report.figures}


def _measuring(report: Report) -> set[str]:
    return {check.name for check in report.checks if check.outcome in _MEASURES}


def _is_lone(figure: Figure, gpus: GpuNames) -> bool:
    return any(gpus.are_lone({gpu}) for gpu in on(figure))


def _subject(figure: Figure) -> str:
    of = short.of(figure)
    return f"{figure.check} {figure.name}{f' ({of})' if of else ''}"


def _change(
    figure: Figure, how: How, before: str, after: str, text: str, part: float = 0.0
) -> Change:
    return Change(
        area="figure",
        subject=_subject(figure),
        name=figure.name,
        how=how,
        before=before,
        after=after,
        text=text,
        gpus=on(figure),
        about=f"{figure.check} {figure.name} {short.of(figure)}".rstrip(),
        part=round(part, 4),
    )


def _lone(figure: Figure, how: How) -> Change:
    value = short.with_unit(figure)
    sides = (value, "") if how == "gone" else ("", value)
    return _change(figure, how, *sides, f"{_subject(figure)} {how}: {value}")


def _lost_samples(was: Figure, is_: Figure) -> Iterator[Change]:
    """Yield a change where only one of the runs has all samples that it measured."""
    if (len(was.samples) < was.repeats) != (len(is_.samples) < is_.repeats):
        before, after = (
            f"{len(figure.samples)} of {figure.repeats} samples" for figure in (was, is_)
        )
        how: How = "worse" if len(is_.samples) < is_.repeats else "better"
        yield _change(is_, how, before, after, f"{_subject(is_)}: {before} -> {after}")


def _word_changes(was: Figure, is_: Figure) -> Iterator[Change]:
    """Yield a change of a word; a word in place of a number is a measurement that failed."""
    before, after = short.with_unit(was), short.with_unit(is_)
    if before != after:
        numbers = [isinstance(figure.value, (int, float)) for figure in (was, is_)]
        how: How = "changed"
        if numbers[0] != numbers[1]:
            how = "worse" if numbers[0] else "better"
        text = f"{_subject(is_)}: {' -> '.join(_excerpts(before, after))}"
        yield _change(is_, how, before, after, text)


def _excerpts(before: str, after: str) -> tuple[str, ...]:
    pairs = enumerate(zip(before, after, strict=False))
    same = next((i for i, (a, b) in pairs if a != b), min(len(before), len(after)))
    # Ten letters of context before the first difference.
    start = same - 10 if max(len(before), len(after)) > _LONG and same > 10 else 0
    parts = ((word[start : start + _LONG], word[start + _LONG :]) for word in (before, after))
    return tuple(f"{'…' * bool(start)}{shown}{'…' * bool(rest)}" for shown, rest in parts)


def _is_single(was: Figure, is_: Figure) -> bool:
    return min(len(was.samples), len(is_.samples), was.repeats, is_.repeats) <= 1


def _distance(first: float, second: float) -> float:
    largest = max(abs(first), abs(second))
    return abs(first - second) / largest if largest else 0.0


def _differ(was: Figure, is_: Figure, before: float, after: float) -> bool:
    """Return whether two values differ by more than noise; see FLOOR."""
    if _is_single(was, is_):
        return False
    gap = abs(after - before) - abs(before) * was.spread - abs(after) * is_.spread
    return gap > 0 and _distance(before, after) > FLOOR


def _number_change(was: Figure, is_: Figure, before: float, after: float) -> Change:
    part = abs(after - before) / abs(before) if before else 1.0
    how: How = "changed"
    word = "higher" if after > before else "lower"
    if is_.better != "same":
        how = "better" if (after > before) == (is_.better == "higher") else "worse"
        word = _PACE[how] if _is_pace(is_.unit) else word
    values = f"{short.value(was)} -> {short.with_unit(is_)}"
    spreads = f"spreads {100 * was.spread:.2g} % and {100 * is_.spread:.2g} %"
    text = f"{_subject(is_)}: {word} by {100 * part:.3g} %: {values} ({spreads})"
    return _change(is_, how, short.with_unit(was), short.with_unit(is_), text, part)


def _is_pace(unit: str) -> bool:
    return unit.endswith("/s") or unit in ("s", "ms", "us", "µs", "ns")
