"""A plan, or the lack of one, for a person: what, why, what was not taken, what to know."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from provision.plan._model import Attention, Plan, Unsupported, UsedGpus
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
    if not_taken.row_count:
        parts += [_heading("Not taken"), not_taken]
    parts += _listed("Left out", [f"GPU {gpu.id}: {gpu.reason}" for gpu in plan.gpus.excluded], "yellow")
    parts += _listed("Warnings", plan.warnings, "yellow")
    parts += _listed("Advice", plan.advice, "cyan")
    return Group(*parts)


def in_one_line(plan: Plan | Unsupported) -> str:
    """For --quiet."""
    if isinstance(plan, Unsupported):
        return "no vLLM can run here: " + "; ".join(reason for one in plan.unsupported for reason in one.reasons[:1])
    chosen = ", ".join(f"{name} {package.version}" for name, package in plan.packages.items() if package)
    return f"{chosen}, Python {plan.python}, {f'CUDA {plan.cuda}' if plan.cuda else 'CPU'}"


def _chosen(plan: Plan) -> Table:
    table = _table()
    because = {decision.subject: decision.because for decision in plan.decisions}
    for name in ("vllm", "torch", "flash-attn"):
        package = plan.packages[name]
        if package is None:
            continue
        what = package.version if package.distribution is None else f"{package.version} ({package.distribution})"
        table.add_row(name, Text(what, style="bold"), Text(f"from {_SOURCES[package.source]}: {because[name]}"))
    if plan.packages["flash-attn"] is None:
        table.add_row("flash-attn", Text("none", style="bold"), Text(plan.flash_attn.why))
    table.add_row("python", Text(plan.python, style="bold"), because["python"])
    runs_on = f"CUDA {plan.cuda}" if plan.cuda else "CPU"
    table.add_row("runs on", Text(runs_on, style="bold"), Text(_where(plan.gpus, because)))
    table.add_row(
        "size",
        Text(f"{plan.disk_mb / 1000:.1f} GB", style="bold"),
        f"on disk after a download of {plan.download_mb / 1000:.1f} GB; both are estimates",
    )
    return table


def _where(gpus: UsedGpus, because: dict[str, str]) -> str:
    if not gpus.used:
        return because["profile"]
    return f"GPU {_ranges(gpus.used)}: {because['gpus']}; {because['profile']}"


def _ranges(ids: tuple[str, ...]) -> str:
    """0, 1, 2, 3 -> 0-3."""
    runs: list[list[str]] = []
    for one in ids:
        if runs and one.isdigit() and runs[-1][-1].isdigit() and int(one) == int(runs[-1][-1]) + 1:
            runs[-1].append(one)
        else:
            runs.append([one])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _attention(attention: tuple[Attention, ...]) -> Table:
    """One line for all GPUs that are served alike."""
    table = _table()
    alike: dict[tuple[str, str, str], list[str]] = {}
    for one in attention:
        alike.setdefault((one.backend, one.code, one.why), []).append(one.gpu)
    for (backend, code, why), ids in alike.items():
        table.add_row(f"GPU {_ranges(tuple(ids))}", Text(backend, style="bold"), Text(f"{code}: {why}"))
    return table


def _not_taken(plan: Plan) -> Table:
    table = _table()
    for decision in plan.decisions:
        for one in decision.rejected:
            table.add_row(decision.subject, one.candidate, Text(one.reason))
    return table


def _unsupported(plan: Unsupported) -> RenderableType:
    parts: list[RenderableType] = [Text("No vLLM can run here.", style="bold red")]
    table = _table(columns=2)
    for one in plan.unsupported:
        for i, reason in enumerate(one.reasons):
            table.add_row(one.subject if i == 0 else "", Text(reason))
    return Group(*parts, table, *_listed("Advice", plan.advice, "cyan"))


def _listed(title: str, lines: tuple[str, ...] | list[str], style: str) -> list[RenderableType]:
    if not lines:
        return []
    table = Table.grid(padding=(0, 1))
    for line in lines:
        table.add_row(Text("•", style=style), Text(line))
    return [_heading(title), Padding(table, (0, 0, 0, 1))]


def _heading(title: str) -> Text:
    return Text(f"\n{title}", style="bold")


def _table(columns: int = 3) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 1), pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    for _ in range(columns - 1):
        table.add_column(overflow="fold")
    return table
