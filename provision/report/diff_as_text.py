"""The comparison of two runs in a screen of plain text: hidden changes for the worse come first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from provision.report._comparison import Change, Comparison
from provision.report.short import printable

_MOST = 12  # lines of one kind; --json has the others
_UNCAUSED = "no change of host or environment was recorded"


def text(comparison: Comparison) -> str:
    """Return both runs, the changes that an equal verdict hides, and every change by cause."""
    before, after = comparison.before, comparison.after
    lines = [
        f"before  {before.run}  {before.verdict}",
        f"after   {after.run}  {after.verdict}",
        *(["the two runs are of different hosts"] if comparison.other_host else []),
    ]
    if comparison.silent:
        lines += ["", f"still {after.verdict}, but:", *_some(comparison.silent)]
    # Without a cause the list above is complete; it is not repeated.
    is_complete = not comparison.causes and {*comparison.effects} == {*comparison.silent}
    changes = [_UNCAUSED] if is_complete and comparison.silent else _changes(comparison)
    return _page([*lines, "", *changes, *_asides(comparison)])


def brief(comparison: Comparison) -> str:
    return _page(_changes(comparison))


def _page(lines: Iterable[str]) -> str:
    return "".join(f"{printable(line)}\n" for line in lines)


def _changes(comparison: Comparison) -> Iterator[str]:
    causes, effects = comparison.causes, comparison.effects
    if not causes and not effects:
        yield "no change was recorded"
        return
    if not causes:
        yield f"{_UNCAUSED}, but:"
    for group in comparison.groups:
        if group.effects:
            yield from _heading(group.causes)
            yield from _some(group.effects)
    idle = [group.causes[0] for group in comparison.groups if not group.effects]
    # Causes without an effect stand alone, so they are not indented.
    yield from (line.removeprefix("  ") for line in _some(idle))
    if len(causes) == 1:
        yield "everything else is unchanged"


def _heading(causes: Sequence[Change]) -> Iterator[str]:
    if len(causes) == 1:
        yield causes[0].text
    elif causes:
        yield "one of these changes:"
        yield from _some(causes)
        yield "may have caused:"


def _some(changes: Sequence[Change]) -> Iterator[str]:
    yield from (f"  {change.text}" for change in changes[:_MOST])
    if len(changes) > _MOST:
        yield f"  and {len(changes) - _MOST} more (all with --json)"


def _asides(comparison: Comparison) -> Iterable[str]:
    unjudged = comparison.unjudged
    if unjudged:
        more = f"; and {len(unjudged) - 3} more" if len(unjudged) > 3 else ""
        yield f"measured only once, so not judged: {'; '.join(unjudged[:3])}{more}"
    yield from comparison.notes
