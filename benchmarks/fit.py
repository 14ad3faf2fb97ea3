"""Compare `fit` with what vLLM printed in the recorded runs: errors per group, and every miss.

Each group of runs counts once, however many runs it has. Nothing here uses a GPU or the network.
"""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provision.fit._model import Interval
from provision.fit.size import Sized
from tests.fit import runs

# Figure: relative error, absolute error (GiB), share that must hold it, widest median interval.
TARGETS = {
    "weights_gib": (0.01, 0.0, 0.95, 0.04),
    "kv_cache_gib": (0.03, 0.5, 0.90, 0.10),
    "concurrency": (0.05, 0.0, 0.85, 0.10),
}


def predicted(sized: Sized) -> dict[str, Interval]:
    """Return the figures that vLLM prints, as they were predicted."""
    figures = {"weights_gib": sized.weights, "kv_cache_gib": sized.cache}
    if sized.pool is not None:
        figures["concurrency"] = sized.concurrency
    return figures


def by_group(values: Iterable[tuple[str, float]]) -> float:
    """Return the mean of the means of the groups."""
    groups = defaultdict(list)
    for group, value in values:
        groups[group].append(value)
    return statistics.mean(statistics.mean(group) for group in groups.values()) if groups else 0.0


def main() -> int:
    """Print the errors, each miss, and whether the targets are met."""
    cases = [(run, runs.predict(run)) for run in runs.runs()]
    met = [report(figure, cases) for figure in TARGETS]
    met.append(report_verdicts(cases))
    return 0 if all(met) else 1


def report(figure: str, cases: list[tuple[dict[str, Any], Sized]]) -> bool:
    """Print one figure over all groups."""
    relative, absolute, share, width = TARGETS[figure]
    rows = []
    for run, sized in cases:
        printed = run["printed"].get(figure)
        likely = predicted(sized).get(figure)
        if printed is None or likely is None or run.get("config_unknown"):
            continue
        if figure == "kv_cache_gib" and run.get("gib_of_other_rank"):
            continue
        error = likely.likely - printed
        good = abs(error) <= max(relative * printed, absolute)
        held = likely.low - 0.005 <= printed <= likely.high + 0.005
        rows.append((run, printed, likely, error, good, held))
    hits = by_group((run["group"], good) for run, *_, good, _ in rows)
    held_share = by_group((run["group"], held) for run, *_, held in rows)
    widths = [(i.high - i.low) / i.likely for _, _, i, _, _, _ in rows if i.likely]
    median = statistics.median(widths)
    mean = by_group((run["group"], abs(error) / printed) for run, printed, _, error, *_ in rows)
    within = f"{relative:.0%}" + (f" or {absolute:g} GiB" if absolute else "")
    print(
        f"{figure}: {len(rows)} runs; within {within}: {hits:.1%} (target {share:.0%});"
        f" mean error {mean:.2%}; interval holds {held_share:.1%} (target 90%),"
        f" median width {median:.1%} (at most {width:.0%})"
    )
    for group in dict.fromkeys(run["group"] for run, *_ in rows):
        own = [row for row in rows if row[0]["group"] == group]
        errors = [abs(row[3]) / row[1] for row in own]
        good = sum(row[4] for row in own)
        print(
            f"  {group}: {good} of {len(own)}, mean {statistics.mean(errors):.2%},"
            f" largest {max(errors):.2%}"
        )
    for run, printed, likely, error, good, held in rows:
        if not (good and held):
            what = "miss" if not good else "outside the interval"
            print(
                f"  {what}: {run['id']} {run['model']} on {run['gpu']['name']},"
                f" vLLM {run['vllm']}: printed {printed:g}, predicted {likely.low:.2f} to"
                f" {likely.high:.2f}, likely {likely.likely:.2f} ({error / printed:+.1%})"
            )
    return hits >= share and held_share >= 0.9 and median <= width


def report_verdicts(cases: list[tuple[dict[str, Any], Sized]]) -> bool:
    """Print how outcomes were predicted."""
    served = [(run, sized) for run, sized in cases if run["outcome"] == "served"]
    refused = [(run, sized) for run, sized in cases if run["outcome"] == "refused"]
    failed = [(run, sized) for run, sized in cases if run["outcome"] == "failed"]
    start = [sized.verdict in ("fits", "tight") for _, sized in served]
    fits = by_group((run["group"], sized.verdict == "fits") for run, sized in served)
    caught = [sized.verdict in ("refused", "does not fit") for _, sized in refused]
    print(
        f"verdicts: {sum(start)} of {len(start)} that served are fits or tight, {fits:.1%} fits"
        f" (target 80%); {sum(caught)} of {len(caught)} refusals predicted"
    )
    for run, sized in cases:
        wrong = (run, sized) in served and sized.verdict not in ("fits", "tight")
        wrong |= (run, sized) in refused and sized.verdict not in ("refused", "does not fit")
        wrong |= (run, sized) in failed and sized.verdict == "fits"
        if wrong or run["outcome"] != "served" or sized.verdict == "tight":
            mark = "miss" if wrong else "said"
            print(
                f"  {mark}: {run['id']} {run['model']}: {run['outcome']}"
                f" ({run.get('because', '')}) -> {sized.verdict}: {'; '.join(sized.reasons)}"
            )
    return all(start) and all(caught) and fits >= 0.8


if __name__ == "__main__":
    sys.exit(main())
