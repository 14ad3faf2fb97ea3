"""The predictions beside what vLLM printed: errors per group, every miss, and the targets."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from provision.fit._model import Interval
from provision.fit.size import Sized
from tests.fit import runs

# Figure: relative error, absolute error (GiB), share that must hold it, widest median interval.
TARGETS = {
    "weights_gib": (0.01, 0.0, 0.95, 0.04),
    "kv_cache_gib": (0.03, 0.5, 0.90, 0.10),
    "concurrency": (0.05, 0.0, 0.85, 0.10),
}
STARTS = ("fits", "tight")
_ROUNDING = 0.005  # vLLM prints two digits

Case = tuple[dict[str, Any], Sized]


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One printed figure beside its prediction."""

    run: dict[str, Any]
    printed: float
    predicted: Interval
    good: bool
    held: bool

    @property
    def error(self) -> float:
        return self.predicted.likely / self.printed - 1


def cases() -> list[Case]:
    return [(run, runs.predict(run)) for run in runs.runs()]


def predicted(sized: Sized) -> dict[str, Interval]:
    """Return the figures that vLLM prints, as they were predicted."""
    figures = {"weights_gib": sized.rank.weights, "kv_cache_gib": sized.cache}
    if sized.pool is not None:
        figures["concurrency"] = sized.concurrency
    return figures


def compared(figure: str, of: Iterable[Case]) -> Iterator[Compared]:
    """Yield every run whose source names this figure of the rank that is predicted."""
    relative, absolute, *_ = TARGETS[figure]
    for run, sized in of:
        printed, likely = run["printed"].get(figure), predicted(sized).get(figure)
        other = figure == "kv_cache_gib" and run.get("gib_of_other_rank")
        if printed is None or likely is None or other or run.get("config_unknown"):
            continue
        yield Compared(
            run=run,
            printed=printed,
            predicted=likely,
            good=abs(likely.likely - printed) <= max(relative * printed, absolute),
            held=likely.low - _ROUNDING <= printed <= likely.high + _ROUNDING,
        )


def by_group(values: Iterable[tuple[str, float]]) -> float:
    """Return the mean of the means of the groups: a group counts once, however many runs it has."""
    groups = defaultdict(list)
    for group, value in values:
        groups[group].append(value)
    return statistics.mean(statistics.mean(group) for group in groups.values()) if groups else 0.0


def figure_lines(figure: str, of: Iterable[Case]) -> tuple[bool, list[str]]:
    """Return whether a figure meets its target, and its errors over all groups."""
    relative, absolute, share, width = TARGETS[figure]
    rows = list(compared(figure, of))
    hits = by_group((row.run["group"], row.good) for row in rows)
    held = by_group((row.run["group"], row.held) for row in rows)
    widths = [
        (row.predicted.high - row.predicted.low) / row.predicted.likely
        for row in rows
        if row.predicted.likely
    ]
    median = statistics.median(widths)
    mean = by_group((row.run["group"], abs(row.error)) for row in rows)
    within = f"{relative:.0%}" + (f" or {absolute:g} GiB" if absolute else "")
    lines = [
        f"{figure}: {len(rows)} runs; within {within}: {hits:.1%} (target {share:.0%})",
        f"  mean error {mean:.2%}; the interval holds {held:.1%} (target 90%)",
        f"  median width of the interval {median:.1%} (at most {width:.0%})",
    ]
    for group in dict.fromkeys(row.run["group"] for row in rows):
        own = [row for row in rows if row.run["group"] == group]
        errors = [abs(row.error) for row in own]
        lines.append(
            f"  {group}: {sum(row.good for row in own)} of {len(own)},"
            f" mean {statistics.mean(errors):.2%}, largest {max(errors):.2%}"
        )
    lines += [_miss(row) for row in rows if not (row.good and row.held)]
    return hits >= share and held >= 0.9 and median <= width, lines


def _miss(row: Compared) -> str:
    what = "outside the interval" if row.good else "miss"
    low, likely, high = row.predicted.low, row.predicted.likely, row.predicted.high
    return (
        f"  {what}: {row.run['id']} {row.run['model']}, vLLM {row.run['vllm']}:"
        f" printed {row.printed:g}, predicted {likely:.2f} ({low:.2f} to {high:.2f}),"
        f" {row.error:+.1%}"
    )


def verdict_lines(of: Iterable[Case]) -> tuple[bool, list[str]]:
    """Return whether all outcomes were predicted, and how."""
    served = [case for case in of if case[0]["outcome"] == "served"]
    others = [case for case in of if case[0]["outcome"] != "served"]
    start = sum(sized.verdict in STARTS for _, sized in served)
    fits = by_group((run["group"], sized.verdict == "fits") for run, sized in served)
    caught = sum(sized.verdict != "fits" for _, sized in others)
    lines = [
        f"verdicts: {start} of {len(served)} that served are fits or tight",
        f"  {fits:.1%} of them are fits (target 80%)",
        f"  {caught} of {len(others)} that were refused or failed are not fits",
    ]
    for run, sized in [*served, *others]:
        if sized.verdict != "fits" or run["outcome"] != "served":
            because = f" ({run['because']})" if run.get("because") else ""
            lines.append(
                f"  {run['id']} {run['model']}: {run['outcome']}{because} -> {sized.verdict}:"
                f" {'; '.join(sized.reasons)}"
            )
    return start == len(served) and caught == len(others) and fits >= 0.8, lines


def everything() -> tuple[bool, list[str]]:
    """Return whether all targets are met, and every line."""
    known = cases()
    parts = [*(figure_lines(figure, known) for figure in TARGETS), verdict_lines(known)]
    return all(met for met, _ in parts), [line for _, lines in parts for line in lines]
