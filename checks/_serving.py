"""Inspects a running server from the outside: whether it is vLLM, and whether it generates."""

from __future__ import annotations

import re
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import _openai, _timing
from ._contract import Verdict
from ._openai import Response

# One short generation: the server may be in production.
_TOKENS = 4
_OF = {"tokens": str(_TOKENS)}
_OK = 200
_KEY_REFUSED = {401, 403}
# Labels of vllm:cache_config_info; no release has all of them.
_CACHE = (
    "block_size",
    "cache_dtype",
    "enable_prefix_caching",
    "gpu_memory_utilization",
    "kv_cache_max_concurrency",
    "kv_cache_size_tokens",
    "num_gpu_blocks",
    "prefix_caching_hash_algo",
)
# With several engines behind one address the fullest cache counts.
_LOAD: dict[str, tuple[Callable[[list[float]], float], tuple[str, ...]]] = {
    "running": (sum, ("vllm:num_requests_running",)),
    "waiting": (sum, ("vllm:num_requests_waiting",)),
    "kv_cache_used": (max, ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")),
    "preemptions": (sum, ("vllm:num_preemptions_total",)),
}
_KEY = "set VLLM_API_KEY to the key of the server"
_LOG = "the server's log says why; its engine may have died"
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

# A problem or "", and a hint.
_Finding = tuple[str, str]


@dataclass
class _Inspection:
    """One inspection with its deadline and its evidence. The key never leaves it."""

    url: str
    key: str
    deadline_s: float
    evidence: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._until = time.monotonic() + self.deadline_s

    def ask(self, path: str, document: object = None) -> Response:
        seconds = max(self._until - time.monotonic(), 0.1)
        response = _openai.ask(self.url + path, document, seconds=seconds, key=self.key)
        text = response.text.replace(self.key, "***") if self.key else response.text
        return Response(response.status, text)

    def is_late(self) -> bool:
        return time.monotonic() >= self._until


def inspect_server(url: str, key: str, deadline_s: float) -> Verdict:
    """Read what the server tells, and have it generate a few tokens."""
    address = _address(url)
    if not address:
        return Verdict(
            passed=False,
            summary="the address of a server is http://HOST:PORT, without a login",
            hint="a key is taken from VLLM_API_KEY",
        )
    # http.client would show a key that it refuses in its error.
    if not re.fullmatch("[!-~]*", key.strip()):
        return Verdict(
            passed=False,
            summary="VLLM_API_KEY is no key: it holds characters that no request can carry",
            hint=_KEY,
        )
    path = address.path.rstrip("/").removesuffix("/v1")
    inspection = _Inspection(f"{address.scheme}://{address.netloc}{path}", key.strip(), deadline_s)
    for step in (_listens, _is_vllm, _has_a_model, _generates):
        problem, hint = step(inspection)
        if problem:
            return Verdict(passed=False, summary=problem, evidence=inspection.evidence, hint=hint)
    _read_load(inspection)
    return _passed(inspection.evidence)


def _passed(evidence: dict[str, Any]) -> Verdict:
    seconds, load = evidence["generation_s"], evidence["load"]
    queue = [f"{load[name]:g} {name}" for name in ("running", "waiting") if name in load]
    return Verdict(
        passed=True,
        summary=f"vLLM {evidence['version']} serves {evidence['model']} and generates: "
        f"{_TOKENS} tokens in {seconds:.2f} s" + (f"; {', '.join(queue)}" if queue else ""),
        evidence=evidence,
        hint=_limits(load),
        figures=(_timing.figure("time of a generation", [seconds], "s", better="lower", of=_OF),),
    )


def _address(url: str) -> urllib.parse.SplitResult | None:
    try:
        address = urllib.parse.urlsplit(url)
    except ValueError:  # half an IPv6 address
        return None
    usable = address.scheme in {"http", "https"} and address.hostname
    return address if usable and "@" not in address.netloc else None


def _listens(inspection: _Inspection) -> _Finding:
    response = inspection.ask("/health")
    inspection.evidence["health"] = response.status
    if response.status:
        return "", ""
    if inspection.is_late():
        return f"it listens and did not answer within {inspection.deadline_s:g} s", _LOG
    return (
        f"no HTTP server answers there: {response.text[:200]}",
        "is the server started, and is this its address and port?",
    )


def _is_vllm(inspection: _Inspection) -> _Finding:
    version, models, metrics = (
        inspection.ask(path) for path in ("/version", "/v1/models", "/metrics")
    )
    owners = [model.get("owned_by") for model in _models(models)]
    number = version.document.get("version")
    # Any of three signs is enough: a proxy in front of the server may hide the others.
    if not ("vllm:" in metrics.text or "vllm" in owners or isinstance(number, str)):
        if inspection.is_late():
            return f"it did not say what it is within {inspection.deadline_s:g} s", ""
        if models.status in _KEY_REFUSED:
            return _refused(inspection, models.status)
        statuses = f"/version {version.status}, /v1/models {models.status}"
        return f"what answers there is not vLLM: {statuses}", ""
    inspection.evidence |= {
        "version": str(version.document.get("version", "of unknown version")),
        "cache": {name: value for name, value in _labels(metrics.text).items() if name in _CACHE},
        "attention_backend": "not visible from the outside; the server's log has it",
    }
    return "", ""


def _refused(inspection: _Inspection, status: int) -> _Finding:
    problem = "does not accept the key in VLLM_API_KEY" if inspection.key else "requires a key"
    return f"the server {problem} ({status})", _KEY


def _models(response: Response) -> list[dict[str, Any]]:
    data = response.document.get("data")
    return [model for model in data if isinstance(model, dict)] if isinstance(data, list) else []


def _labels(metrics: str) -> dict[str, str]:
    line = next(
        (line for line in metrics.splitlines() if line.startswith("vllm:cache_config_info{")), ""
    )
    return dict(_LABEL.findall(line))


def _has_a_model(inspection: _Inspection) -> _Finding:
    response = inspection.ask("/v1/models")
    if response.status in _KEY_REFUSED:
        return _refused(inspection, response.status)
    models = _models(response)
    if response.status != _OK or not models:
        return f"/v1/models answered {response.status} and names no model", ""
    inspection.evidence |= {
        "model": str(models[0].get("id")),
        "models": len(models),
        "max_model_len": models[0].get("max_model_len"),
    }
    return "", ""


def _generates(inspection: _Inspection) -> _Finding:
    """Have it generate: a green /health only says that its HTTP side is alive."""
    evidence, began = inspection.evidence, time.monotonic()
    request = {"model": evidence["model"], "prompt": "1", "max_tokens": _TOKENS, "temperature": 0}
    response = inspection.ask("/v1/completions", {**request, "ignore_eos": True})
    evidence["generation_s"] = round(time.monotonic() - began, 3)
    evidence["completion_tokens"] = response.tokens
    health = f"/health answers {evidence['health']}, and"
    if response.status in _KEY_REFUSED:
        return _refused(inspection, response.status)
    if not response.status and inspection.is_late():
        _read_load(inspection)
        return (
            f"{health} {_TOKENS} tokens did not come within {inspection.deadline_s:g} s",
            _limits(evidence["load"]),
        )
    if response.status != _OK or response.tokens != _TOKENS:
        answer = f"{response.status or 'nothing'} and {response.tokens or 0} tokens"
        request_text = f"a generation of {_TOKENS} tokens was answered with {answer}"
        return f"{health} {request_text}: {response.text[:200]}", _LOG
    if evidence["health"] != _OK:
        return f"it generates, and /health answers {evidence['health']}", _LOG
    return "", ""


def _read_load(inspection: _Inspection) -> None:
    """Add the load of the server to the evidence, as far as /metrics tells it."""
    values = _openai.metrics(
        _openai.ask(f"{inspection.url}/metrics", seconds=5, key=inspection.key).text
    )
    inspection.evidence["load"] = {
        key: combine(values[name])
        for key, (combine, names) in _LOAD.items()
        for name in names
        if name in values
    }


def _limits(load: dict[str, float]) -> str:
    """Return the limits at which the server works, and how to raise them."""
    waiting, used, preempted = (
        load.get(name, 0.0) for name in ("waiting", "kv_cache_used", "preemptions")
    )
    limits = (
        (waiting, f"{waiting:g} requests wait: --max-num-seqs, more KV cache, or another server"),
        (
            used > 0.9,
            f"the KV cache is {used:.0%} full: --gpu-memory-utilization, or a shorter context",
        ),
        (
            preempted,
            f"{preempted:g} requests were preempted since the server started, for lack of KV cache",
        ),
    )
    return "; ".join(text for applies, text in limits if applies)
