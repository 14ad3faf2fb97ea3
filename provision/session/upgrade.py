"""A new environment beside the verified one that it would replace: what is worse keeps it from being made current."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from provision.display.progress import Followed
from provision.doors import files
from provision.engine import environments, launch_checks, promised_checks, verified
from provision.engine.bring_up import BroughtUp
from provision.engine.check_results import Tried
from provision.engine.resolution_cache import Wanted
from provision.errors import CHECK_FAILED
from provision.report import compare, diff_as_text, read
from provision.report._comparison import Comparison
from provision.report._model import Report
from provision.session import baselines, run_report
from provision.session.request import Wish

_ANYWAY = "--set upgrade.on_regression=switch"
_MEASURED = "upgrade"  # a folder beside the verified reports: one file for each host
_SHOWN = 12


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """The speeds of two environments, one after the other in one run; `beside`: the generation that was in use."""

    beside: str
    old: Tried
    new: Tried


def judged(
    wish: Wish, resolved: Wanted, followed: Followed, came: BroughtUp, earlier: bytes, *, anew: bool
) -> BroughtUp:
    """With what is worse than in the environment in use, where that is to be kept for it."""
    came = msgspec.structs.replace(came, earlier=earlier)
    asked = wish.settings.upgrade
    before = read.where_readable(earlier)
    if asked.on_regression == "switch" or before is None:
        return came
    after = run_report.report(wish, resolved, came, {})
    if _of_another_host(baselines.diff(before, after)):
        return came
    if asked.compare == "full":
        speeds = _speeds(wish, resolved, followed, came, anew=anew)
        before, after = _with(before, speeds.old), _with(after, speeds.new)
    on_host = {one.name for one in launch_checks.discover() if one.on == "host"}  # the same for either environment
    found = compare.regressions(baselines.diff(before, after), asked.threshold)
    worse = tuple(one.text for one in found if one.subject not in on_host)
    return msgspec.structs.replace(came, regressions=worse, exit_code=CHECK_FAILED) if worse else came


def told(now: Report, came: BroughtUp, *, quiet: bool) -> str:
    """For a person who has read what is worse: what became of it, and how to switch; or what the switch changed."""
    if now.regressions:
        return f"{problem(now)}\n" if quiet else f"{problem(now)}\n{hint(now)}\n"
    before = read.where_readable(came.earlier)
    if quiet or before is None:
        return ""
    lines = diff_as_text.brief(baselines.diff(before, now)).splitlines()
    some = lines if len(lines) <= _SHOWN else [*lines[:_SHOWN], "more of it: ./setup.sh diff"]
    return "".join(f"{line}\n" for line in [f"beside {came.before}, which it replaces:", *(f"  {one}" for one in some)])


def problem(report: Report) -> str:
    """Why it is verified, and yet not made current; empty where it is."""
    if not report.regressions:
        return ""
    count = len(report.regressions)
    things = "1 thing is" if count == 1 else f"{count} things are"
    return f"{report.generation} is verified, but {things} worse or another: the one in use stays current"


def hint(report: Report) -> str:
    """How to switch all the same."""
    if not report.regressions:
        return ""
    return f"to switch all the same: ./setup.sh rollback {report.generation}, or {_ANYWAY}"


def _of_another_host(found: Comparison) -> bool:
    """Another driver, GPU or limit since: what was measured then is no measure, and it may not even run here."""
    about = {one.about.split()[0] for one in found.causes if one.area == "host"}
    return bool(about & {"driver", "gpus", "pci_gpus", "gpu_clocks"})


def _with(report: Report, tried: Tried) -> Report:
    return msgspec.structs.replace(
        report, checks=(*report.checks, *tried.checks), figures=(*report.figures, *tried.figures)
    )


def _speeds(wish: Wish, resolved: Wanted, followed: Followed, came: BroughtUp, *, anew: bool) -> Measured:
    """What the full profile measures beyond the quick one, in both; as it was measured, where nothing is tried anew."""
    new, old = Path(came.generation), Path(wish.prefix) / (came.before or "")
    kept = new / environments.STATE / _MEASURED / f"{verified.host_id()}.json"
    known = None if anew else _measured(kept)
    if known and known.beside == old.name:
        return known
    there = run_report.stood(old)
    names = sorted(
        {*promised_checks.promised(there.plan, there.lock, "full")}
        - {*promised_checks.promised(there.plan, there.lock)}
    )
    logs = Path(wish.logs)
    was = promised_checks.ours(
        there.plan, there.lock, str(old), names, logs / "before", followed, there.plan.gpus.used, came.facts
    )
    measured = sorted({one.check for one in was.figures})  # what gives no figures has nothing to compare
    is_ = promised_checks.ours(resolved.plan, resolved.lock, str(new), measured, logs, followed, came.gpus, came.facts)
    found = Measured(beside=old.name, old=_bare(was, measured), new=_bare(is_, measured))
    files.write(kept, msgspec.json.encode(found))
    return found


def _bare(tried: Tried, names: Sequence[str]) -> Tried:
    """Without evidence, which may name whom it likes and is no part of a comparison."""
    checks = (msgspec.structs.replace(one, evidence={}) for one in tried.checks if one.name in names)
    return Tried(checks=tuple(checks), figures=tried.figures)


def _measured(kept: Path) -> Measured | None:
    """What an earlier run has left, where it can be read."""
    try:
        return msgspec.json.decode(kept.read_bytes(), type=Measured)
    except (OSError, msgspec.MsgspecError):
        return None
