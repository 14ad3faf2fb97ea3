"""Differences between the checks of two runs: outcomes, promises, and GPUs they were tried on."""

from __future__ import annotations

from collections.abc import Iterator

from provision.report._comparison import Change, How
from provision.report._gpu_names import GpuNames
from provision.report._model import Report
from provision.report.short import cut, first_line
from provision.results import CheckResult

_LONG = 200  # letters of a summary; the report has the rest
# A skip decides nothing, while a warning still keeps a promise.
_FROM_BEST = ("pass", "warn", "skip", "error", "fail")


def check_changes(before: Report, after: Report, gpus: GpuNames) -> list[Change]:
    """Return changes of checks that both runs tried, and of promises.

    A check that one of the runs was not meant to try is not a change; see `untried`.
    """
    return [*_outcomes(before, after, gpus), *_promises(before, after)]


def untried(before: Report, after: Report) -> list[str]:
    """Return sentences about the checks that only one of the runs was meant to try."""
    subjects = {change.subject for change in _promises(before, after)}
    sides = (("the earlier run", after, before), ("the later run", before, after))
    sentences = []
    for run, other, own in sides:
        names = sorted(_by_name(other).keys() - _by_name(own).keys() - subjects)
        if names:
            sentences.append(f"not tried in {run}: {', '.join(names)}")
    return sentences


def _by_name(report: Report) -> dict[str, CheckResult]:
    return {check.name: check for check in report.checks}


def _outcomes(before: Report, after: Report, gpus: GpuNames) -> Iterator[Change]:
    old, new = _by_name(before), _by_name(after)
    for name in sorted(old.keys() & new.keys()):
        if old[name].outcome != new[name].outcome:
            yield _outcome_change(old[name], new[name])
        # A GPU that only one run has is a change of the host, reported once there.
        elif not gpus.are_lone({*old[name].gpus} ^ {*new[name].gpus}):
            yield _gpu_change(old[name], new[name])


def _outcome_change(old: CheckResult, new: CheckResult) -> Change:
    is_worse = _FROM_BEST.index(new.outcome) > _FROM_BEST.index(old.outcome)
    # Where a check passes now, the earlier summary tells what was wrong.
    reason = cut(first_line((old if new.outcome == "pass" else new).summary), _LONG)
    text = f"{new.name}: {old.outcome} -> {new.outcome}{f' ({reason})' if reason else ''}"
    return _change(new, "worse" if is_worse else "better", old.outcome, new.outcome, text)


def _gpu_change(old: CheckResult, new: CheckResult) -> Change:
    before, after = (
        f"GPU {', '.join(check.gpus)}" if check.gpus else "no GPU" for check in (old, new)
    )
    how: How = "changed"
    if set(new.gpus) < set(old.gpus):
        how = "worse"
    elif set(new.gpus) > set(old.gpus):
        how = "better"
    return _change(new, how, before, after, f"{new.name}: tried on {before} -> {after}")


def _promises(before: Report, after: Report) -> Iterator[Change]:
    """Yield changes of what the plans promise, and promised checks that only one run tried."""
    old, new = _by_name(before), _by_name(after)
    removed: set[str] = set()
    added: set[str] = set()
    if before.plan and after.plan:
        removed = set(before.plan.checks) - set(after.plan.checks)
        added = set(after.plan.checks) - set(before.plan.checks)
    for name in sorted(removed):
        yield _change(name, "gone", "promised", "", f"{name}: no longer promised")
    for name in sorted(added):
        yield _change(name, "new", "", "promised", f"{name}: now promised")
    for name in sorted((old.keys() - new.keys()) & set(after.promised) - removed):
        yield _change(
            old[name], "gone", old[name].outcome, "", f"{name}: promised but no longer tried"
        )
    for name in sorted((new.keys() - old.keys()) & set(before.promised) - added):
        outcome = new[name].outcome
        yield _change(new[name], "new", "", outcome, f"{name}: now tried ({outcome})")


def _change(check: CheckResult | str, how: How, before: str, after: str, text: str) -> Change:
    return Change(
        area="check",
        subject=check if isinstance(check, str) else check.name,
        how=how,
        before=before,
        after=after,
        text=text,
        gpus=() if isinstance(check, str) else check.gpus,
        about=check if isinstance(check, str) else f"{check.name} {check.proves}",
    )
