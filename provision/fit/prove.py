"""Start vLLM with dummy weights and the predicted flags, and lay its figures beside ours."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from provision.doors import process
from provision.fit import printed
from provision.fit._model import Interval
from provision.fit.document import Fit, Proof, Proved

AS_PREDICTED = "starts, and memory is as predicted; weights and answers not tried"
_DEADLINE_S = 900.0
_LAST_LINES = 200
_ROUNDING = 0.01  # vLLM prints two digits
# Formats that random weights cannot stand in for.
_REAL_WEIGHTS = frozenset({"gguf", "bitsandbytes"})


class _Ready(Exception):  # noqa: N818 - the server answers: no error
    """The server has started, so it is ended."""


def prove(
    fit: Fit, place: str, config: str, environment: Mapping[str, str], say: Callable[[str], None]
) -> Fit:
    """Return the prediction with its proof; the server is always ended.

    `place` is the environment of vLLM, `config` the text of the model's config.json.
    """
    if fit.chosen.quantization in _REAL_WEIGHTS:
        return _with(fit, f"dummy weights cannot stand in for {fit.chosen.quantization}")
    with tempfile.TemporaryDirectory(prefix="vllm-ready-fit-") as folder:
        model = Path(fit.model.name)
        if not (model / "config.json").exists():
            model = Path(folder)
            (model / "config.json").write_text(config, encoding="utf-8")
        lines: list[str] = []
        say("starting vLLM with dummy weights; it is ended as soon as it answers")
        ended = _serve(_command(fit, place, str(model)), environment, lines)
    return _judged(fit, lines, ended)


def _command(fit: Fit, place: str, model: str) -> list[str]:
    words = list(fit.serve)
    words[0], words[2] = os.path.join(place, "bin", "vllm"), model
    if "--revision" in words:
        index = words.index("--revision")
        del words[index : index + 2]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    return [
        *words,
        *("--load-format", "dummy", "--skip-tokenizer-init"),
        *("--host", "127.0.0.1", "--port", port),
    ]


def _serve(argv: list[str], environment: Mapping[str, str], lines: list[str]) -> str:
    """Run a server until it answers or ends; return how it ended, "" where it answered."""

    def take(line: str) -> None:
        lines.append(line)
        if printed.is_ready(line):
            raise _Ready

    kept = {
        key: value
        for key, value in environment.items()
        if key not in ("PYTHONPATH", "PYTHONHOME", "VLLM_API_KEY")
    }
    try:
        finished = process.run(
            argv,
            deadline_s=_DEADLINE_S,
            env={**kept, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"},
            on_line=take,
            ends_with_us=True,
        )
    except _Ready:
        return ""
    return finished.ending


def _judged(fit: Fit, lines: list[str], ended: str) -> Fit:
    reason = printed.refusal(lines)
    if ended and not reason:
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return _with(fit, f"the proof could not run: vLLM {ended}: {last[:_LAST_LINES]}")
    if ended:
        expected = fit.verdict in ("refused", "does not fit")
        how = "as predicted" if expected else "which was not predicted"
        return _with(fit, f"vLLM refused, {how}: {reason}", refused=True, agrees=expected)
    figures = compared(fit, printed.read(lines))
    agrees = all(figure.within for figure in figures) and fit.verdict in ("fits", "tight")
    if fit.verdict not in ("fits", "tight"):
        return _with(fit, f"vLLM started, and {fit.verdict} was predicted", figures, agrees=False)
    outside = ", ".join(figure.name for figure in figures if not figure.within)
    result = AS_PREDICTED if agrees else f"starts, and is outside the interval: {outside}"
    return _with(fit, result, figures, agrees=agrees)


def compared(fit: Fit, measured: Mapping[str, float]) -> tuple[Proved, ...]:
    """Return each printed figure beside its prediction."""
    gib = fit.per_gpu_gib
    predicted: dict[str, Interval] = {
        "weights": gib.weights,
        "activation": gib.activation,
        "non_torch": gib.non_torch,
        "kv_cache": gib.kv_cache,
    }
    if fit.kv is not None:
        predicted |= {"tokens": fit.kv.tokens, "concurrency": fit.kv.concurrency.value}
    return tuple(
        Proved(
            name=name,
            predicted=figure,
            measured=measured[name],
            within=_within(figure, measured[name]),
        )
        for name, figure in predicted.items()
        if name in measured
    )


def _within(figure: Interval, measured: float) -> bool:
    slack = _ROUNDING + _ROUNDING / 100 * measured
    return figure.low - slack <= measured <= figure.high + slack


def _with(
    fit: Fit,
    result: str,
    figures: tuple[Proved, ...] = (),
    *,
    refused: bool = False,
    agrees: bool | None = None,
) -> Fit:
    proof = Proof(result=result, agrees=agrees, refused=refused, figures=figures)
    return msgspec.structs.replace(fit, proof=proof)
