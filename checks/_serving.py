"""Looks at a server that is already running, from the outside: what it is, what it holds, and whether it generates."""

from __future__ import annotations

import re
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import _openai, _timing
from ._contract import Verdict
from ._openai import Said

_TOKENS = 4
_OF = {"tokens": str(_TOKENS)}
_GREEN = 200
# Of vllm:cache_config_info; not all of them are there in every release.
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
# Of several engines behind one address, the fullest cache counts.
_LOAD: dict[str, tuple[Callable[[list[float]], float], tuple[str, ...]]] = {
    "running": (sum, ("vllm:num_requests_running",)),
    "waiting": (sum, ("vllm:num_requests_waiting",)),
    "kv_cache_used": (max, ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")),
    "preemptions": (sum, ("vllm:num_preemptions_total",)),
}
_KEY = "set VLLM_API_KEY to the key of the server"
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass
class _Look:
    """One look, with its deadline and what was found so far; the key stays in here."""

    url: str
    key: str
    deadline_s: float
    evidence: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._until = time.monotonic() + self.deadline_s

    def ask(self, path: str, document: object = None) -> Said:
        left = max(self._until - time.monotonic(), 0.1)
        said = _openai.ask(self.url + path, document, seconds=left, key=self.key)
        return Said(said.status, said.text.replace(self.key, "***")) if self.key else said

    def late(self) -> bool:
        return time.monotonic() >= self._until


def looked_at(url: str, key: str, deadline_s: float) -> Verdict:
    """One short generation is all that it is asked to do; the rest is read."""
    place = _place(url)
    if not place:
        summary = "the address of a server is http://HOST:PORT, without a login"
        return Verdict(passed=False, summary=summary, hint="a key is taken from VLLM_API_KEY")
    key = key.strip()
    if not re.fullmatch("[!-~]*", key):  # whoever complains of it would show it
        return Verdict(passed=False, summary="VLLM_API_KEY is no key: it holds what no request can carry", hint=_KEY)
    path = place.path.rstrip("/").removesuffix("/v1")
    look = _Look(f"{place.scheme}://{place.netloc}{path}", key, deadline_s)
    for part in (_listens, _is_vllm, _has_a_model, _generates):
        problem, hint = part(look)
        if problem:
            return Verdict(passed=False, summary=problem, evidence=look.evidence, hint=hint)
    _load(look)
    found = look.evidence
    load = ", ".join(f"{value:g} {name}" for name, value in found["load"].items() if name in {"running", "waiting"})
    summary = f"vLLM {found['version']} serves {found['model']} and generates: {_TOKENS} tokens in"
    return Verdict(
        passed=True,
        summary=f"{summary} {found['generation_s']:.2f} s" + (f"; {load}" if load else ""),
        evidence=found,
        hint=_throttled(found["load"]),
        figures=(_timing.figure("time of a generation", [found["generation_s"]], "s", better="lower", of=_OF),),
    )


def _place(url: str) -> urllib.parse.SplitResult | None:
    try:
        place = urllib.parse.urlsplit(url)
    except ValueError:  # half an IPv6 address
        return None
    return place if place.scheme in {"http", "https"} and place.hostname and "@" not in place.netloc else None


def _listens(look: _Look) -> tuple[str, str]:
    said = look.ask("/health")
    look.evidence["health"] = said.status
    if said.status:
        return "", ""
    if look.late():
        return f"it listens and did not answer within {look.deadline_s:g} s", _LOG
    return (
        f"nobody answers there in HTTP: {said.text[:200]}",
        "is the server started, and is this its address and port?",
    )


def _is_vllm(look: _Look) -> tuple[str, str]:
    """Any of three signs will do: what stands in front of a server may hide the others."""
    version, models, metrics = (look.ask(path) for path in ("/version", "/v1/models", "/metrics"))
    owners = [model.get("owned_by") for model in _models(models)]
    if not ("vllm:" in metrics.text or "vllm" in owners or isinstance(version.document.get("version"), str)):
        if look.late():
            return f"it did not say what it is within {look.deadline_s:g} s", ""
        if models.status in {401, 403}:
            return _refused(look, models.status)
        return f"what answers there is not vLLM: /version {version.status}, /v1/models {models.status}", ""
    look.evidence |= {
        "version": str(version.document.get("version", "of unknown version")),
        "cache": {name: value for name, value in _labels(metrics.text).items() if name in _CACHE},
        "attention_backend": "not told from the outside; the server's log has it",
    }
    return "", ""


def _refused(look: _Look, status: int) -> tuple[str, str]:
    taken = "does not take the key in VLLM_API_KEY" if look.key else "wants a key"
    return f"the server {taken} ({status})", _KEY


def _models(said: Said) -> list[dict[str, Any]]:
    data = said.document.get("data")
    return [model for model in data if isinstance(model, dict)] if isinstance(data, list) else []


def _labels(metrics: str) -> dict[str, str]:
    line = next((line for line in metrics.splitlines() if line.startswith("vllm:cache_config_info{")), "")
    return dict(_LABEL.findall(line))


def _has_a_model(look: _Look) -> tuple[str, str]:
    said = look.ask("/v1/models")
    if said.status in {401, 403}:
        return _refused(look, said.status)
    models = _models(said)
    if said.status != _GREEN or not models:
        return f"/v1/models answered {said.status} and names no model", ""
    look.evidence |= {
        "model": str(models[0].get("id")),
        "models": len(models),
        "max_model_len": models[0].get("max_model_len"),
    }
    return "", ""


def _generates(look: _Look) -> tuple[str, str]:
    """A few tokens: a green /health says only that the HTTP side is alive."""
    began = time.monotonic()
    asked = {"model": look.evidence["model"], "prompt": "1", "max_tokens": _TOKENS, "temperature": 0}
    said = look.ask("/v1/completions", {**asked, "ignore_eos": True})
    seconds = time.monotonic() - began
    look.evidence |= {"generation_s": round(seconds, 3), "completion_tokens": said.tokens}
    health = f"/health answers {look.evidence['health']}, and"
    if said.status in {401, 403}:
        return _refused(look, said.status)
    if not said.status and look.late():
        _load(look)
        return f"{health} {_TOKENS} tokens did not come within {look.deadline_s:g} s", _throttled(look.evidence["load"])
    if said.status != _GREEN or said.tokens != _TOKENS:
        got = f"{said.status or 'nothing'} and {said.tokens or 0} tokens"
        return f"{health} a generation of {_TOKENS} tokens was answered with {got}: {said.text[:200]}", _LOG
    if look.evidence["health"] != _GREEN:
        return f"it generates, and /health answers {look.evidence['health']}", _LOG
    return "", ""


_LOG = "the server's log says why; its engine may have died"


def _load(look: _Look) -> None:
    """What it has to do, where /metrics tells."""
    found = _openai.metrics(_openai.ask(f"{look.url}/metrics", seconds=5, key=look.key).text)
    look.evidence["load"] = {
        what: together(found[name]) for what, (together, names) in _LOAD.items() for name in names if name in found
    }


def _throttled(load: dict[str, float]) -> str:
    """Which of its limits it works at."""
    said = []
    if load.get("waiting"):
        said.append(f"{load['waiting']:g} requests wait: --max-num-seqs, more KV cache, or another server")
    if load.get("kv_cache_used", 0.0) > 0.9:
        said.append(f"the KV cache is {load['kv_cache_used']:.0%} full: --gpu-memory-utilization, or a shorter context")
    if load.get("preemptions"):
        said.append(f"{load['preemptions']:g} requests were preempted since its start, for want of KV cache")
    return "; ".join(said)
