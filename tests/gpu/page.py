"""One page of what the proof kit measured: verdicts, bounds, figures, repetitions, controls."""

from __future__ import annotations

from typing import Any

BAD = ("fail", "error", "warn")
GOAL_QUICK_S, GOAL_RATIO = 60.0, 0.03
# The figure of a check by its name and a word of what it is of, for each figure of bare.py.
_SAME = {
    "copy in GPU memory": ("speed_copy", "copy in GPU memory", {}),
    "to GPU": ("speed_host_link", "host link", {"way": "to GPU"}),
    "to host": ("speed_host_link", "host link", {"way": "to host"}),
    "product of 8192": ("speed_matmul", "product", {"size": "8192"}),
    "product of 1024": ("speed_matmul", "product", {"size": "1024"}),
    "SDPA flash, 8192": (
        "speed_attention",
        "attention",
        {"way": "SDPA flash", "tokens": "8192", "pass": "forward"},
    ),
    "SDPA flash, 512": (
        "speed_attention",
        "attention",
        {"way": "SDPA flash", "tokens": "512", "pass": "forward"},
    ),
}
Result = dict[str, Any]


def text(results: list[Result], about: dict[str, str]) -> str:
    versions: Result = next((result["facts"] for result in results if "facts" in result), {})
    gpus = ", ".join(versions.get("gpus") or ["no GPU"])
    line = [about["date"], about["host"], f"torch {versions.get('torch')}"]
    line += [f"CUDA {versions.get('cuda')}", gpus]
    lines = [
        "# Proof on a GPU" if versions.get("gpus") else "# The proof kit without a GPU",
        "",
        ", ".join(line) + f". `{about['command']}`",
        "",
        *_table(
            ("part", "job", "seconds", "result"),
            ((r["part"], r["job"], r.get("seconds", ""), outcome(r)) for r in results),
        ),
        *_section("Checks", ("check", "outcome", "worst share", "summary"), _checks(results)),
        *_section(
            "Probes and controls",
            ("name", "expected", "outcome", "worst share", "text"),
            _rows(results),
        ),
        *_section(
            "Figures beside a bare script", ("figure", "check", "bare", "apart"), _figures(results)
        ),
        *_section("Goals", ("goal", "measured"), _goals(results)),
    ]
    return "\n".join(lines) + "\n"


def outcome(result: Result) -> str:
    """Return in a few words how a job ended."""
    if "untried" in result:
        return f"not tried: {result['untried']}"
    if "broken" in result:
        return f"broken: {' '.join(result['broken'].split())[-160:]}"
    if "checks" in result:
        counts: dict[str, int] = {}
        for check in result["checks"]:
            counts[check["outcome"]] = counts.get(check["outcome"], 0) + 1
        return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    if "rows" in result:
        wrong = [row for row in result["rows"] if row["expected"] != row["outcome"]]
        return f"{len(result['rows']) - len(wrong)} of {len(result['rows'])} as expected"
    return "done"


def status(results: list[Result]) -> int:
    """Return 0 if all is as expected, 1 for a wrong verdict, 5 for what was not tried."""
    if any(wrong(result) for result in results):
        return 1
    return 5 if any("untried" in result or "broken" in result for result in results) else 0


def wrong(result: Result) -> bool:
    rows = [row for row in result.get("rows", ()) if row["expected"] != row["outcome"]]
    bad = [check for check in result.get("checks", ()) if check["outcome"] in BAD]
    return bool(rows or bad)


def worst(evidence: Any) -> float:
    """Return the largest part of a bound that any of the cases took."""
    if not isinstance(evidence, dict):
        return 0.0
    return max([float(evidence.get("worst_of_allowed", 0.0)), *map(worst, evidence.values())])


def _checks(results: list[Result]) -> list[tuple[object, ...]]:
    """Return each check once, by its first result; repetitions are a goal of their own."""
    seen: dict[str, tuple[object, ...]] = {}
    for result in results:
        for check in result.get("checks", ()):
            share = worst(check.get("evidence"))
            row = (check["name"], check["outcome"], share or "", check["summary"])
            seen.setdefault(check["name"], row)
    return list(seen.values())


def _rows(results: list[Result]) -> list[tuple[object, ...]]:
    return [
        (row["name"], row["expected"], row["outcome"], row["worst"] or "", row["text"])
        for result in results
        for row in result.get("rows", ())
    ]


def _figures(results: list[Result]) -> list[tuple[object, ...]]:
    bare: dict[str, float] = next(
        (
            result["figures"]
            for result in results
            if result["kind"] == "figures" and "figures" in result
        ),
        {},
    )
    measured = [
        row for result in results if result["kind"] == "checks" for row in result.get("figures", ())
    ]
    lines: list[tuple[object, ...]] = []
    for name, value in bare.items():
        check, figure, of = _SAME[name]
        own = next(
            (
                row
                for row in measured
                if (row["check"], row["name"]) == (check, figure)
                and of.items() <= row["of"].items()
            ),
            None,
        )
        if own:
            apart = own["value"] / value - 1
            lines.append((name, f"{own['value']:g} {own['unit']}", f"{value:.5g}", f"{apart:+.1%}"))
    return lines


def _goals(results: list[Result]) -> list[tuple[object, ...]]:
    again = [result for result in results if str(result["job"]).startswith("again ")]
    fine = [result for result in again if "checks" in result and not wrong(result)]
    quick = next(
        (result.get("seconds") for result in results if result["job"] == "quick profile"), None
    )
    apart = [abs(float(str(row[3]).strip("%+")) / 100) for row in _figures(results)]
    rows: list[tuple[object, ...]] = [
        ("repetitions without a false verdict", f"{len(fine)} of {len(again)}"),
    ]
    if quick is not None:
        rows.append((f"quick profile in {GOAL_QUICK_S:g} s", f"{quick} s"))
    if apart:
        rows.append(
            (
                f"figures within {GOAL_RATIO:.0%} of the bare script",
                f"at most {max(apart):.1%} apart",
            )
        )
    return rows


def _section(title: str, head: tuple[str, ...], rows: list[tuple[object, ...]]) -> list[str]:
    return ["", f"## {title}", "", *_table(head, rows)] if rows else []


def _table(head: tuple[str, ...], rows: Any) -> list[str]:
    cells = [
        " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows
    ]
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {row} |" for row in cells)]
