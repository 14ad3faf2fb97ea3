"""What changed between two runs, in a screen of plain text: what got worse unsaid comes first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from provision.report._comparison import Change, Comparison
from provision.report.short import printable

_MOST = 12  # lines of one kind: whoever wants all has --json
_UNCAUSED = "nothing that is recorded of host and environment changed"


def text(found: Comparison) -> str:
    """Which runs, what must not be missed, and every change under its cause."""
    before, after = found.before, found.after
    lines = [
        f"before  {before.run}  {before.verdict}",
        f"after   {after.run}  {after.verdict}",
        *(["these are two hosts"] if found.other_host else []),
    ]
    if found.silent:
        lines += ["", f"{after.verdict} as before, and yet:", *_some(found.silent)]
    all_of_it = not found.causes and {*found.effects} == {*found.silent}
    changes = [_UNCAUSED] if all_of_it and found.silent else _changes(found)
    return _page([*lines, "", *changes, *_asides(found)])


def brief(found: Comparison) -> str:
    """Only the changes, for who knows which runs they are between."""
    return _page(_changes(found))


def _page(lines: Iterable[str]) -> str:
    return "".join(f"{printable(line)}\n" for line in lines)


def _changes(found: Comparison) -> Iterator[str]:
    causes, effects = found.causes, found.effects
    if not causes and not effects:
        yield "nothing that is recorded changed"
        return
    if not causes:
        yield f"{_UNCAUSED}, and yet:"
    idle = [group.causes[0] for group in found.groups if not group.effects]
    for group in found.groups:
        if group.effects:
            yield from _headed(group.causes)
            yield from _some(group.effects)
    yield from (one.removeprefix("  ") for one in _some(idle))
    if len(causes) == 1:
        yield "everything else is as before"


def _headed(causes: Sequence[Change]) -> Iterator[str]:
    if len(causes) == 1:
        yield causes[0].text
    elif causes:
        yield "one of these:"
        yield from _some(causes)
        yield "can have caused:"


def _some(changes: Sequence[Change]) -> Iterator[str]:
    yield from (f"  {one.text}" for one in changes[:_MOST])
    if len(changes) > _MOST:
        yield f"  and {len(changes) - _MOST} more; --json has all"


def _asides(found: Comparison) -> Iterable[str]:
    if found.unjudged:
        more = f"; and {len(found.unjudged) - 3} more" if len(found.unjudged) > 3 else ""
        yield f"measured once, so not judged: {'; '.join(found.unjudged[:3])}{more}"
    yield from found.notes
