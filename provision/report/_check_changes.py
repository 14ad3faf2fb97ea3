"""How the checks of two runs differ: what ended otherwise, what was promised, and what only one of them tried."""

from __future__ import annotations

from collections.abc import Iterator

from provision.engine.check_results import CheckResult
from provision.report._comparison import Change, How
from provision.report._gpu_names import GpuNames
from provision.report._model import Report
from provision.report.short import cut, first_line

_LONG = 200  # letters of a summary; all of it is in its report
# A skip decides nothing, where a warning lets a promise stand.
_FROM_BEST = ("pass", "warn", "skip", "error", "fail")


def check_changes(before: Report, after: Report, gpus: GpuNames) -> list[Change]:
    """Of checks that both tried, and of promises; what a run of another depth did not try is not gone."""
    return [*_outcomes(before, after, gpus), *_promises(before, after)]


def untried(before: Report, after: Report) -> list[str]:
    """What one of the runs had not set out to try, in sentences."""
    told = {one.subject for one in _promises(before, after)}
    sides = (("the run before", after, before), ("the run after", before, after))
    said = []
    for who, other, self in sides:
        names = sorted(_named(other).keys() - _named(self).keys() - told)
        if names:
            said.append(f"not tried in {who}: {', '.join(names)}")
    return said


def _named(report: Report) -> dict[str, CheckResult]:
    return {one.name: one for one in report.checks}


def _outcomes(before: Report, after: Report, gpus: GpuNames) -> Iterator[Change]:
    old, new = _named(before), _named(after)
    for name in sorted(old.keys() & new.keys()):
        was, is_ = old[name], new[name]
        if was.outcome != is_.outcome:
            is_worse = _FROM_BEST.index(is_.outcome) > _FROM_BEST.index(was.outcome)
            said = cut(first_line(is_.summary if is_.outcome != "pass" else was.summary), _LONG)
            text = f"{name}: {was.outcome} -> {is_.outcome}{f' ({said})' if said else ''}"
            yield _change(is_, "worse" if is_worse else "better", was.outcome, is_.outcome, text)
        elif not gpus.are_lone({*was.gpus} ^ {*is_.gpus}):  # a GPU that is gone is said once
            before_on, after_on = (f"GPU {', '.join(one.gpus)}" if one.gpus else "no GPU" for one in (was, is_))
            how: How = (
                "worse" if set(is_.gpus) < set(was.gpus) else "better" if set(is_.gpus) > set(was.gpus) else "changed"
            )
            yield _change(is_, how, before_on, after_on, f"{name}: tried on {before_on} -> {after_on}")


def _promises(before: Report, after: Report) -> Iterator[Change]:
    """A promise is the plan's; what this very run was asked to try may be less, or more."""
    old, new = _named(before), _named(after)
    planned = [set(one.plan.checks) for one in (before, after) if one.plan]
    removed, added = (planned[0] - planned[1], planned[1] - planned[0]) if len(planned) == 2 else (set(), set())
    for name in sorted(removed):
        yield Change(
            area="check", subject=name, how="gone", before="promised", text=f"{name}: not promised any more", about=name
        )
    for name in sorted(added):
        yield Change(area="check", subject=name, how="new", after="promised", text=f"{name}: promised now", about=name)
    for name in sorted((old.keys() - new.keys()) & set(after.promised) - removed):
        yield _change(old[name], "gone", old[name].outcome, "", f"{name}: promised, and not tried any more")
    for name in sorted((new.keys() - old.keys()) & set(before.promised) - added):
        yield _change(new[name], "new", "", new[name].outcome, f"{name}: tried now ({new[name].outcome})")


def _change(of: CheckResult, how: How, before: str, after: str, text: str) -> Change:
    about = f"{of.name} {of.proves}"
    return Change(
        area="check", subject=of.name, how=how, before=before, after=after, text=text, gpus=of.gpus, about=about
    )
