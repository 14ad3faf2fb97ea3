"""The facts of a host that a report shows: GPUs, driver, kernel, system, memory."""

from __future__ import annotations

from typing import Any

from provision.plan.choose_gpus import ranges
from provision.report._model import Report
from provision.report.short import number

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


def rows(report: Report) -> list[tuple[str, str]]:
    """Return a label and a text for each known fact; a fact may have any JSON shape."""
    lines = [("GPUs", text) for text in _gpus(report.facts.get("gpus"))]
    texts = ((label, _text(report.facts.get(name), fields)) for label, name, fields in _FACTS)
    lines += [(label, text) for label, text in texts if text]
    platform = report.host.get("platform")
    if isinstance(platform, str):
        lines.append(("Platform", platform))
    python = report.host.get("python")
    if isinstance(python, dict):
        lines.append(("Python", _text(python, ("version", "path"))))
    return lines


def _text(fact: Any, fields: tuple[str, ...]) -> str:  # noqa: ANN401 - any JSON
    if isinstance(fact, str):
        return fact
    if not isinstance(fact, dict):
        return ""
    if fact.get("type") == "Missing":
        return ": ".join(str(fact[part]) for part in ("why", "detail") if fact.get(part))
    return ", ".join(
        _WORDS.get(name, "{}").format(_value(fact[name]))
        for name in fields
        if fact.get(name) not in (None, "")
    )


def _value(value: Any) -> str:  # noqa: ANN401 - any JSON
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number(value) if is_number else str(value)


def _gpus(gpus: Any) -> list[str]:  # noqa: ANN401 - any JSON
    if isinstance(gpus, dict):
        return [_text(gpus, ())]
    # A host with eight equal GPUs shows one line.
    kinds: dict[str, list[str]] = {}
    for gpu in gpus if isinstance(gpus, (list, tuple)) else ():
        if isinstance(gpu, dict):
            kinds.setdefault(_gpu(gpu), []).append(str(gpu.get("id", "?")))
    return [f"{len(ids)} x {kind} (GPU {ranges(ids)})" for kind, ids in kinds.items()]


def _gpu(gpu: dict[str, Any]) -> str:
    parts = [str(gpu.get("name", "unknown"))]
    parts += [f"{_value(gpu['memory_gb'])} GB"] if gpu.get("memory_gb") else []
    parts += [f"compute capability {gpu['cc']}"] if gpu.get("cc") else []
    parts += ["MIG"] if gpu.get("mig") else []
    return ", ".join(parts)
