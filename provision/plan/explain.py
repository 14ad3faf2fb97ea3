"""A plan for a person: the choices, their reasons, the rejected candidates, warnings and advice."""

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


def render(plan: Plan | Unsupported, installed: tuple[str, ...] = ()) -> RenderableType:
    """Return everything that a reader needs before confirming.

    `installed` compares the plan with the packages that are there.
    """
    if isinstance(plan, Unsupported):
        return _unsupported(plan)
    parts: list[RenderableType] = [_chosen(plan)]
    parts += _listed("Installed there", installed, "")
    parts += _assumed(plan)
    if plan.attention:
        parts += [_heading("Attention"), _attention(plan.attention)]
    rejected = _rejected(plan)
    if rejected.rows:
        parts += [_heading("Not taken"), rejected]
    parts += _listed("Left out", _left_out(plan.gpus.excluded), "yellow")
    parts += _listed("Warnings", plan.warnings, "yellow")
    parts += _listed("Advice", plan.advice, "cyan")
    return Group(*parts)


def in_one_line(plan: Plan | Unsupported) -> str:
    """Return the plan in one line, for --quiet."""
    if isinstance(plan, Unsupported):
        return f"no plan: {_binding(plan)}"
    chosen = ", ".join(
        f"{name} {package.version}" for name, package in plan.packages.items() if package
    )
    return f"{chosen}, Python {plan.python}, {f'CUDA {plan.cuda}' if plan.cuda else 'CPU'}"


def _binding(plan: Unsupported) -> str:
    """Return the reason to remove first, and the number of others."""
    first = plan.unsupported[0]
    # Of the releases the last counts: the oldest needs the least.
    binding = first.reasons[-1] if first.subject == "vllm" else first.reasons[0]
    others = sum(len(subject.reasons) for subject in plan.unsupported) - 1
    more = f" (and {others} more {'reason' if others == 1 else 'reasons'})" if others else ""
    return f"{binding}{more}"


def _chosen(plan: Plan) -> Rows:
    rows = []
    because = {decision.subject: decision.because for decision in plan.decisions}
    for name in ("vllm", "torch", "flash-attn"):
        package = plan.packages[name]
        if package is None:
            continue
        version, source = package.version, _SOURCES[package.source]
        if package.distribution is not None:
            version = f"{version} ({package.distribution})"
        if name == "flash-attn" and plan.flash_attn.origin == "store":
            # The local part says what the wheel was built for, and it fits.
            version, source = version.partition("+")[0], "the store"
        rows.append((name, version, f"from {source}: {_first_sentence(because[name])}"))
    if plan.packages["flash-attn"] is None:
        rows.append(("flash-attn", "none", _first_sentence(plan.flash_attn.why)))
    rows.append(("python", plan.python, because["python"]))
    rows.append(("runs on", f"CUDA {plan.cuda}" if plan.cuda else "CPU", _gpus(plan.gpus, because)))
    size = f"on disk after a download of {plan.download_mb / 1000:.1f} GB; both are estimates"
    return Rows([*rows, ("size", f"{plan.disk_mb / 1000:.1f} GB", size)])


def _first_sentence(text: str) -> str:
    """Return the first sentence; what flash-attn is for and how it is built stands in the docs."""
    return text.partition(". ")[0]


def _gpus(gpus: UsedGpus, because: dict[str, str]) -> str:
    if not gpus.used:
        return because["profile"]
    return f"GPU {ranges(gpus.used)}: {because['gpus']}; {because['profile']}"


def _attention(attention: tuple[Attention, ...]) -> Rows:
    alike: dict[tuple[str, str, str], list[str]] = {}
    for choice in attention:
        alike.setdefault((choice.backend, choice.code, choice.why), []).append(choice.gpu)
    return Rows(
        (f"GPU {ranges(ids)}", backend, f"{code}: {why}")
        for (backend, code, why), ids in alike.items()
    )


def _left_out(excluded: tuple[ExcludedGpu, ...]) -> list[str]:
    alike: dict[str, list[str]] = {}
    for gpu in excluded:
        alike.setdefault(gpu.reason, []).append(gpu.id)
    return [f"GPU {ranges(ids)}: {reason}" for reason, ids in alike.items()]


def _rejected(plan: Plan) -> Rows:
    return Rows(
        (
            (decision.subject, rejection.candidate, rejection.reason)
            for decision in plan.decisions
            for rejection in decision.rejected
        ),
        value_style="",
    )


def _unsupported(plan: Unsupported) -> RenderableType:
    reasons = Rows(
        (subject.subject if i == 0 else "", reason)
        for subject in plan.unsupported
        for i, reason in enumerate(subject.reasons)
    )
    # First, so that a reader does not search for it among the reasons.
    return Group(
        Text("There is no plan for this host.", style="bold red"),
        reasons,
        *_assumed(plan),
        *_listed("Advice", plan.advice, "cyan"),
    )


def _assumed(plan: Plan | Unsupported) -> list[RenderableType]:
    assumptions = plan.assumptions or ()  # unset is false
    return _listed(
        "Assumed", [f"{said.fact} {said.value}: {said.because}" for said in assumptions], "yellow"
    )


def _listed(title: str, lines: tuple[str, ...] | list[str], style: str) -> list[RenderableType]:
    if not lines:
        return []
    table = Table.grid(padding=(0, 1))
    for line in lines:
        table.add_row(Text("•", style=style), Text(line))
    return [_heading(title), Padding(table, (0, 0, 0, 1))]


def _heading(title: str) -> Text:
    return Text(f"\n{title}", style="bold")
