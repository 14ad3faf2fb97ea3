"""What became another of an environment: Python, packages and their files, and what its plan decided."""

from __future__ import annotations

from collections.abc import Iterator

from provision.report._comparison import Change, change
from provision.report._gpu_names import GpuNames
from provision.report._model import Package, Report

_FLASH_ATTN = "flash-attn"
_FIRST = ("vllm", "torch", "triton")  # of many packages those that matter most


def environment_changes(before: Report, after: Report, gpus: GpuNames) -> list[Change]:
    """Each one by itself; a wheel for another Python or platform is no news beside that."""
    decided = list(_decisions(before, after, gpus))
    subjects = {one.subject for one in decided}
    old, new = _packages(before), _packages(after)
    if _FLASH_ATTN in subjects:
        old.pop(_FLASH_ATTN, None)
        new.pop(_FLASH_ATTN, None)
    packages = _package_changes(old, new, with_files=not subjects & {"Python", "platform"})
    return [*decided, *packages]


def _decisions(before: Report, after: Report, gpus: GpuNames) -> Iterator[Change]:
    for subject, told in (("vllm-ready", _tool), ("Python", _python), ("platform", _platform), (_FLASH_ATTN, _mode)):
        old, new = told(before), told(after)
        if old != new and old and new:
            yield change("environment", subject, old, new)
    one, other = before.plan, after.plan
    if one is None or other is None:
        return
    for subject, was, is_ in (
        ("profile", one.profile, other.profile),
        ("CUDA", one.cuda or "none", other.cuda or "none"),
    ):
        if was != is_:
            yield change("environment", subject, was, is_)
    used = [plan.gpus.used for plan in (one, other)]
    if not gpus.are_lone({*used[0]} ^ {*used[1]}):
        yield change("environment", "used GPUs", *(", ".join(ids) or "none" for ids in used))
    yield from _attention(before, after)


def _attention(before: Report, after: Report) -> Iterator[Change]:
    sides = [{one.gpu: f"{one.backend} ({one.code})" for one in of.plan.attention} for of in (before, after) if of.plan]
    same: dict[tuple[str, str], list[str]] = {}
    for gpu in sorted(set(sides[0]) & set(sides[1])):
        if sides[0][gpu] != sides[1][gpu]:
            same.setdefault((sides[0][gpu], sides[1][gpu]), []).append(gpu)
    for (was, is_), gpus in same.items():
        yield change("environment", f"attention backend of GPU {', '.join(gpus)}", was, is_, gpus, "attention")


def _tool(report: Report) -> str:
    return report.tool


def _python(report: Report) -> str:
    if report.plan:
        return report.plan.python
    python = report.host.get("python")
    return str(python.get("version", "")) if isinstance(python, dict) else ""


def _platform(report: Report) -> str:
    return str(report.host.get("platform", ""))


def _mode(report: Report) -> str:
    """A flash-attn that is planned and not there yet is none."""
    if report.plan is None or not report.packages:
        return ""
    there = any(name.startswith(_FLASH_ATTN) for name in _packages(report))
    return report.plan.flash_attn.mode if there else "none"


def _packages(report: Report) -> dict[str, Package]:
    return {name.replace("_", "-").lower(): package for name, package in report.packages.items()}


def _package_changes(old: dict[str, Package], new: dict[str, Package], *, with_files: bool) -> Iterator[Change]:
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
