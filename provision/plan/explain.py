"""A plan, or the lack of one, for a person: what, why, what was not taken, what to know."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from provision.display.tables import Rows
from provision.plan._model import Attention, ExcludedGpu, Plan, Unsupported, UsedGpus
from provision.plan.choose_gpus import ranges
from provision.plan.situation import SOURCE_NAMES

_SOURCES = {**SOURCE_NAMES, "find-links": "a find-links folder"}


def explained(plan: Plan | Unsupported) -> RenderableType:
    """Everything a reader needs before saying yes."""
    if isinstance(plan, Unsupported):
        return _unsupported(plan)
    parts: list[RenderableType] = [_chosen(plan)]
    if plan.attention:
        parts += [_heading("Attention"), _attention(plan.attention)]
    not_taken = _not_taken(plan)
    if not_taken.rows:
        parts += [_heading("Not taken"), not_taken]
    parts += _listed("Left out", _left_out(plan.gpus.excluded), "yellow")
    parts += _listed("Warnings", plan.warnings, "yellow")
    parts += _listed("Advice", plan.advice, "cyan")
    return Group(*parts)


def in_one_line(plan: Plan | Unsupported) -> str:
    """For --quiet."""
    if isinstance(plan, Unsupported):
        return f"no plan: {_binding(plan)}"
    chosen = ", ".join(f"{name} {package.version}" for name, package in plan.packages.items() if package)
    return f"{chosen}, Python {plan.python}, {f'CUDA {plan.cuda}' if plan.cuda else 'CPU'}"


def _binding(plan: Unsupported) -> str:
    """What must change first: of the releases' reasons the last, because the oldest one asks for least."""
    first = plan.unsupported[0]
    binds = first.reasons[-1] if first.subject == "vllm" else first.reasons[0]
    others = sum(len(one.reasons) for one in plan.unsupported) - 1
    more = f" (and {others} more {'reason' if others == 1 else 'reasons'})" if others else ""
    return f"{binds}{more}"


def _chosen(plan: Plan) -> Rows:
    rows = []
    because = {decision.subject: decision.because for decision in plan.decisions}
    for name in ("vllm", "torch", "flash-attn"):
        package = plan.packages[name]
        if package is None:
            continue
        what = package.version if package.distribution is None else f"{package.version} ({package.distribution})"
        source = _SOURCES[package.source]
        if name == "flash-attn" and plan.flash_attn.origin == "store":
            what, source = what.partition("+")[0], "the store"  # what it was made for is in its name, and fits
        rows.append((name, what, f"from {source}: {because[name]}"))
    if plan.packages["flash-attn"] is None:
        rows.append(("flash-attn", "none", plan.flash_attn.why))
    rows.append(("python", plan.python, because["python"]))
    rows.append(("runs on", f"CUDA {plan.cuda}" if plan.cuda else "CPU", _where(plan.gpus, because)))
    size = f"on disk after a download of {plan.download_mb / 1000:.1f} GB; both are estimates"
    return Rows([*rows, ("size", f"{plan.disk_mb / 1000:.1f} GB", size)])


def _where(gpus: UsedGpus, because: dict[str, str]) -> str:
    if not gpus.used:
        return because["profile"]
    return f"GPU {ranges(gpus.used)}: {because['gpus']}; {because['profile']}"


def _attention(attention: tuple[Attention, ...]) -> Rows:
    """One line for all GPUs that are served alike."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for one in attention:
        alike.setdefault((one.backend, one.code, one.why), []).append(one.gpu)
    return Rows((f"GPU {ranges(ids)}", backend, f"{code}: {why}") for (backend, code, why), ids in alike.items())


def _left_out(excluded: tuple[ExcludedGpu, ...]) -> list[str]:
    """One line for all GPUs that are left out for the same reason."""
    alike: dict[str, list[str]] = {}
    for gpu in excluded:
        alike.setdefault(gpu.reason, []).append(gpu.id)
    return [f"GPU {ranges(ids)}: {reason}" for reason, ids in alike.items()]


def _not_taken(plan: Plan) -> Rows:
    return Rows(
        ((decision.subject, one.candidate, one.reason) for decision in plan.decisions for one in decision.rejected),
        value_style="",
    )


def _unsupported(plan: Unsupported) -> RenderableType:
    reasons = Rows(
        (one.subject if i == 0 else "", reason) for one in plan.unsupported for i, reason in enumerate(one.reasons)
    )
    headline = Text("There is no plan for this host.", style="bold red")
    return Group(headline, reasons, *_listed("Advice", plan.advice, "cyan"))


def _listed(title: str, lines: tuple[str, ...] | list[str], style: str) -> list[RenderableType]:
    if not lines:
        return []
    table = Table.grid(padding=(0, 1))
    for line in lines:
        table.add_row(Text("•", style=style), Text(line))
    return [_heading(title), Padding(table, (0, 0, 0, 1))]


def _heading(title: str) -> Text:
    return Text(f"\n{title}", style="bold")
