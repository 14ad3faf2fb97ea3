"""A prediction for a person, on one screen: verdict, bars, command, rejections and advice."""

from __future__ import annotations

import shlex

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from provision.display.tables import Rows
from provision.fit._model import Interval
from provision.fit.document import Fit

_BAR = 40
_COLOURS = {"fits": "green", "tight": "yellow", "does not fit": "red", "refused": "red"}
_MOST = 7  # rejected layouts and pieces of advice on a screen; --json has all


def render(fit: Fit) -> RenderableType:
    return Group(
        Text(in_one_line(fit), style=f"bold {_COLOURS[fit.verdict]}"),
        _heading("Choice"),
        Rows(_choice(fit)),
        _heading(f"Memory {'of each GPU' if fit.host.gpus else 'of the host'}, in GiB"),
        Rows(_bars(fit)),
        _heading("Command"),
        Padding(Text(shlex.join(fit.serve), style="bold"), (0, 0, 0, 2)),
        *_proof(fit),
        *_listed("Rejected", [f"{r.candidate}: {r.reason}" for r in fit.rejected]),
        *_listed("Advice", fit.advice),
        *_listed("Basis", fit.basis),
    )


def in_one_line(fit: Fit) -> str:
    used = fit.chosen.tp * fit.chosen.pp
    where = f"{used} x {fit.host.gpus[0]}" if fit.host.gpus else "the CPU"
    size = f"{fit.model.parameters / 1e9:.1f} billion parameters"
    text = f"{fit.model.name} ({size}) on {where}, vLLM {fit.vllm}: {fit.verdict}"
    if fit.verdict in ("refused", "does not fit") and fit.rejected:
        return f"{text}: {fit.rejected[0].reason}"
    return text


def _proof(fit: Fit) -> list[RenderableType]:
    if fit.proof is None:
        return []
    rows = [
        (
            figure.name,
            f"{figure.measured:g}",
            f"predicted {_range(figure.predicted, 2)}" + ("" if figure.within else ": outside"),
        )
        for figure in fit.proof.figures
    ]
    shown: list[RenderableType] = [_heading(f"Proof: {fit.proof.result}")]
    return [*shown, Rows(rows)] if rows else shown


def _choice(fit: Fit) -> list[tuple[str, ...]]:
    chosen = fit.chosen
    rows: list[tuple[str, ...]] = []
    division = f"TP {chosen.tp}" + (f", PP {chosen.pp}" if chosen.pp > 1 else "")
    rows.append(("division", division, ""))
    how = "native" if chosen.native else "weight-only (slower)"
    rows.append(
        ("dtype", chosen.dtype, f"{chosen.quantization}, {how}" if chosen.quantization else "")
    )
    backend = chosen.attention_backend or "not known"
    rows.append(("attention", backend, f"KV cache {chosen.kv_cache_dtype}"))
    rows.append(("max_model_len", str(chosen.max_model_len), f"max_num_seqs {chosen.max_num_seqs}"))
    if fit.kv:
        rows.append(("longest context", str(fit.kv.max_context), "tokens of one request alone"))
        at = fit.kv.concurrency
        rows.append(
            ("at once", _range(at.value, 1), f"requests of {at.at} tokens, by the KV cache")
        )
    return rows


def _bars(fit: Fit) -> list[tuple[str, ...]]:
    gib = fit.per_gpu_gib
    total = gib.total.likely
    free = total - gib.budget.likely
    named = (
        ("total", gib.total),
        ("weights", gib.weights),
        ("activation", gib.activation),
        ("outside PyTorch", gib.non_torch),
        ("CUDA graphs", gib.cuda_graphs),
        ("KV cache", gib.kv_cache),
        ("outside the budget", Interval.exactly(round(free, 2))),
    )
    return [(name, _range(value, 2), _bar(value.likely, total)) for name, value in named]


def _bar(value: float, total: float) -> str:
    return "#" * min(_BAR, max(0, round(_BAR * value / total))) if total else ""


def _range(value: Interval, digits: int) -> str:
    likely = f"{value.likely:.{digits}f}"
    if value.low == value.high:
        return likely
    return f"{likely} ({value.low:.{digits}f} to {value.high:.{digits}f})"


def _heading(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _listed(title: str, texts: tuple[str, ...] | list[str]) -> list[RenderableType]:
    if not texts:
        return []
    shown = list(texts[:_MOST])
    if len(texts) > _MOST:
        shown.append(f"and {len(texts) - _MOST} more: --json has them")
    return [_heading(title), *(Padding(Text(f"• {text}"), (0, 0, 0, 2)) for text in shown)]
