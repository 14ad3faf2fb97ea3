"""Differences between two environments: Python, packages and their files, decisions of the plan."""

from __future__ import annotations

from collections.abc import Iterator

from provision.plan._model import Plan
from provision.report._comparison import Change, change
from provision.report._gpu_names import GpuNames
from provision.report._model import Package, Report

_FLASH_ATTN = "flash-attn"
_FIRST = ("vllm", "torch", "triton")  # shown before all other packages


def environment_changes(before: Report, after: Report, gpus: GpuNames) -> list[Change]:
    """Return each change once; other files of a package are none where Python changed too."""
    decisions = list(_decisions(before, after, gpus))
    subjects = {decision.subject for decision in decisions}
    old, new = _packages(before), _packages(after)
    if _FLASH_ATTN in subjects:
        # The change of its mode tells more than that of its version.
        old.pop(_FLASH_ATTN, None)
        new.pop(_FLASH_ATTN, None)
    # Another Python or platform needs other wheels of the same version.
    return [
        *decisions,
        *_package_changes(old, new, with_files=not subjects & {"Python", "platform"}),
    ]


def _decisions(before: Report, after: Report, gpus: GpuNames) -> Iterator[Change]:
    for subject, old, new in (
        ("vllm-ready", before.tool, after.tool),
        ("Python", _python(before), _python(after)),
        ("platform", *(str(report.host.get("platform", "")) for report in (before, after))),
        (_FLASH_ATTN, _flash_attn_mode(before), _flash_attn_mode(after)),
    ):
        if old != new and old and new:
            yield change("environment", subject, old, new)
    if before.plan is None or after.plan is None:
        return
    yield from _plan_changes(before.plan, after.plan, gpus)
    yield from _attention(before.plan, after.plan)


def _plan_changes(before: Plan, after: Plan, gpus: GpuNames) -> Iterator[Change]:
    if before.profile != after.profile:
        yield change("environment", "profile", before.profile, after.profile)
    if before.cuda != after.cuda:
        yield change("environment", "CUDA", before.cuda or "none", after.cuda or "none")
    used = before.gpus.used, after.gpus.used
    if not gpus.are_lone({*used[0]} ^ {*used[1]}):
        yield change("environment", "used GPUs", *(", ".join(ids) or "none" for ids in used))


def _attention(before: Plan, after: Plan) -> Iterator[Change]:
    """Yield the changes of attention backends; GPUs with the same change share one."""
    old, new = (
        {choice.gpu: f"{choice.backend} ({choice.code})" for choice in plan.attention}
        for plan in (before, after)
    )
    gpus_by_change: dict[tuple[str, str], list[str]] = {}
    for gpu in sorted(old.keys() & new.keys()):
        if old[gpu] != new[gpu]:
            gpus_by_change.setdefault((old[gpu], new[gpu]), []).append(gpu)
    for (was, is_), gpus in gpus_by_change.items():
        subject = f"attention backend of GPU {', '.join(gpus)}"
        yield change("environment", subject, was, is_, gpus, "attention")


def _python(report: Report) -> str:
    if report.plan:
        return report.plan.python
    python = report.host.get("python")
    return str(python.get("version", "")) if isinstance(python, dict) else ""


def _flash_attn_mode(report: Report) -> str:
    """Return the mode of an installed flash-attn; a planned one that is missing counts as none."""
    if report.plan is None or not report.packages:
        return ""
    return (
        report.plan.flash_attn.mode
        if any(name.startswith(_FLASH_ATTN) for name in _packages(report))
        else "none"
    )


def _packages(report: Report) -> dict[str, Package]:
    return {name.replace("_", "-").lower(): package for name, package in report.packages.items()}


def _package_changes(
    old: dict[str, Package], new: dict[str, Package], *, with_files: bool
) -> Iterator[Change]:
    # Reports of older versions have no packages.
    if not old or not new:
        return
    for name in sorted({*old, *new}, key=lambda name: (name not in _FIRST, name)):
        was, is_ = old.get(name), new.get(name)
        versions = was.version if was else "", is_.version if is_ else ""
        if was is None or is_ is None or was.version != is_.version:
            yield change("environment", name, *versions)
        elif with_files and was.sha256 and is_.sha256 and was.sha256 != is_.sha256:
            files = f"the file {was.sha256}", f"{is_.sha256}, the same version"
            yield change("environment", f"{name} {was.version}", *files, about=name)
