"""What of a host matters to who reads a report: GPUs, driver, kernel, system, memory; facts may be of any shape."""

from __future__ import annotations

from typing import Any

from provision.plan.choose_gpus import ranges
from provision.report._model import Report
from provision.report.short import number


def shown(report: Report) -> list[tuple[str, str]]:
    """Labels and what is known."""
    facts = report.host.get("facts")
    facts = facts if isinstance(facts, dict) else {}
    rows = [("GPUs", one) for one in _gpus(facts.get("gpus"))]
    rows += [(label, said) for label, name, fields in _FACTS if (said := _said(facts.get(name), fields))]
    platform = report.host.get("platform")
    if isinstance(platform, str):
        rows.append(("Platform", platform))
    python = report.host.get("python")
    if isinstance(python, dict):
        rows.append(("Python", _said(python, ("version", "path"))))
    return rows


_FACTS = (
    ("Driver", "driver", ("version", "flavour")),
    ("Kernel", "kernel", ()),
    ("System", "os_release", ("name",)),
    ("Memory", "memory", ("total_gb", "available_gb", "limit_gb")),
    ("Processor", "cpu", ("model", "cores", "quota")),
    ("glibc", "glibc", ()),
    ("Container", "container", ("engine",)),
)
_WORDS = {
    "total_gb": "{} GiB",
    "available_gb": "{} GiB available",
    "limit_gb": "limited to {} GiB",
    "cores": "{} cores",
    "quota": "limited to {} of them",
}


def _said(fact: Any, fields: tuple[str, ...]) -> str:  # noqa: ANN401 - as the report has it
    if isinstance(fact, str):
        return fact
    if not isinstance(fact, dict):
        return ""
    if fact.get("type") == "Missing":
        return ": ".join(str(fact[part]) for part in ("why", "detail") if fact.get(part))
    known = [(name, fact[name]) for name in fields if fact.get(name) not in (None, "")]
    return ", ".join(_WORDS.get(name, "{}").format(_plain(value)) for name, value in known)


def _plain(value: Any) -> str:  # noqa: ANN401 - as above
    return number(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def _gpus(gpus: Any) -> list[str]:  # noqa: ANN401 - as above
    """Those that are alike in one row."""
    if isinstance(gpus, dict):
        return [_said(gpus, ())]
    alike: dict[str, list[str]] = {}
    for gpu in gpus if isinstance(gpus, (list, tuple)) else ():
        if isinstance(gpu, dict):
            alike.setdefault(_gpu(gpu), []).append(str(gpu.get("id", "?")))
    return [f"{len(ids)} x {said} (GPU {ranges(ids)})" for said, ids in alike.items()]


def _gpu(gpu: dict[str, Any]) -> str:
    said = [str(gpu.get("name", "unknown"))]
    said += [f"{_plain(gpu['memory_gb'])} GB"] if gpu.get("memory_gb") else []
    said += [f"compute capability {gpu['cc']}"] if gpu.get("cc") else []
    said += ["MIG"] if gpu.get("mig") else []
    return ", ".join(said)
