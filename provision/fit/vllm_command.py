"""An existing `vllm serve` command, and our own flags of the same names, as a Request."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from provision.errors import WrongUsage
from provision.fit._model import Request

_SHORT = {
    "-tp": "--tensor-parallel-size",
    "-pp": "--pipeline-parallel-size",
    "-dp": "--data-parallel-size",
    "-dcp": "--decode-context-parallel-size",
    "-q": "--quantization",
    "-ep": "--enable-expert-parallel",
    "-O": "--optimization-level",
    "-sc": "--speculative-config",
}
_SUFFIXES = {"k": 1000, "m": 1000**2, "g": 1000**3, "K": 1024, "M": 1024**2, "G": 1024**3}
# Flags that take memory in a way that is not modelled.
_UNMODELLED = frozenset(
    {
        "--speculative-config",
        "--decode-context-parallel-size",
        "--kv-offloading-size",
        "--kv-transfer-config",
        "--mamba-cache-dtype",
        "--mamba-ssm-cache-dtype",
        "--mamba-cache-mode",
        "--hf-overrides",
        "--num-gpu-blocks-override",
        "--mm-processor-kwargs",
        "--swap-space",
        "--enable-eplb",
    }
)
# With one of these, our own flags are the outline of a command, and its defaults are vLLM's.
_JUDGED = frozenset(
    {
        "--tensor-parallel-size",
        "--pipeline-parallel-size",
        "--max-model-len",
        "--gpu-memory-utilization",
        "--max-num-seqs",
        "--max-num-batched-tokens",
    }
)
# Flags without a value. Others take the next word.
_SWITCHES = frozenset(
    {
        "--enable-expert-parallel",
        "--enforce-eager",
        "--no-enforce-eager",
        "--enable-prefix-caching",
        "--no-enable-prefix-caching",
        "--enable-lora",
        "--trust-remote-code",
        "--enable-auto-tool-choice",
        "--enable-chunked-prefill",
        "--no-enable-chunked-prefill",
        "--disable-log-requests",
        "--enable-log-requests",
        "--disable-log-stats",
        "--language-model-only",
        "--async-scheduling",
        "--no-async-scheduling",
        "--enable-eplb",
        "--disable-custom-all-reduce",
        "--enable-sleep-mode",
        "--skip-tokenizer-init",
        "--enable-server-load-tracking",
        "--headless",
        "--disable-frontend-multiprocessing",
        "--enable-reasoning",
        "--disable-hybrid-kv-cache-manager",
    }
)
_KNOWN_TO_VLLM = (
    "--host",
    "--port",
    "--served-model-name",
    "--api-key",
    "--tool-call-parser",
    "--reasoning-parser",
    "--chat-template",
    "--tokenizer",
    "--seed",
    "--revision",
    "--load-format",
    "--download-dir",
    "--config-format",
    "--tokenizer-mode",
    "--generation-config",
    "--override-generation-config",
    "--attention-backend",
    "--optimization-level",
    "--compilation-config",
    "--distributed-executor-backend",
    "--root-path",
    "--uvicorn-log-level",
    "--allowed-origins",
    "--middleware",
    "--task",
    "--runner",
    "--convert",
    "--max-log-len",
    "--ssl-keyfile",
    "--ssl-certfile",
    "--limit-mm-per-prompt",
    "--scheduling-policy",
)


def parse(words: Sequence[str]) -> tuple[str, Request, str]:
    """Return model, request and revision of a command: `vllm serve MODEL …` or python -m vllm…."""
    rest = [word for word in words if not re.fullmatch(r"[A-Z_][A-Z0-9_]*=.*", word)]
    if rest[:1] and rest[0].rpartition("/")[2].startswith("python"):
        rest = rest[1:]
        if rest[:2] != ["-m", "vllm.entrypoints.openai.api_server"]:
            raise WrongUsage(
                "the command after `--` does not start a server of vLLM",
                hint="write: fit -- vllm serve MODEL [its options]",
            )
        rest = rest[2:]
    elif len(rest) > 1 and rest[0].rpartition("/")[2] == "vllm" and rest[1] == "serve":
        rest = rest[2:]
    else:
        raise WrongUsage(
            "the command after `--` does not begin with `vllm serve`",
            hint="write: fit -- vllm serve MODEL [its options]",
        )
    return _options(rest)


def _options(words: Sequence[str]) -> tuple[str, Request, str]:
    values: dict[str, str] = {}
    kept: list[str] = []
    unknown: list[str] = []
    model, index = "", 0
    while index < len(words):
        word = words[index]
        index += 1
        if not word.startswith("-"):
            if model:
                raise WrongUsage(f"the command names two models: {model} and {word}")
            model = word
            continue
        flag, given, value = word.partition("=")
        flag = _SHORT.get(flag, flag)
        flag = f"--{flag[2:].replace('_', '-')}" if flag.startswith("--") else flag
        flag, _, part = flag.partition(".")  # --hf-overrides.name value
        # A switch has no value, nor has a flag that we do not know and another flag follows.
        follows = index < len(words) and not re.match(r"-[A-Za-z-]", words[index])
        if not given and flag not in _SWITCHES and (follows or flag in FIELDS):
            if index >= len(words):
                raise WrongUsage(f"{flag} has no value", where="the command after --")
            value = words[index]
            index += 1
        values[flag] = value
        if flag not in FIELDS and flag not in ("--model", "--revision"):
            kept += [f"{flag}.{part}" if part else flag, *([value] if value else [])]
            if flag not in _UNMODELLED and flag not in _SWITCHES and flag not in _KNOWN_TO_VLLM:
                unknown.append(flag)
    model = model or values.get("--model", "")
    if not model:
        raise WrongUsage("the command after `--` names no model")
    request = replace(
        of_flags(values),
        kept=tuple(kept),
        unknown=tuple(unknown),
        unmodelled=tuple(flag for flag in values if flag in _UNMODELLED),
        judged=True,
        command=True,
    )
    return model, request, values.get("--revision", "")


def of_flags(values: dict[str, str]) -> Request:
    """Return the request that these flags of vLLM make, each with its value as it was written."""
    modelled = {
        name: convert(values[flag]) for flag, (name, convert) in FIELDS.items() if flag in values
    }
    return _checked(Request(**modelled, judged=bool(_JUDGED & values.keys())), values)


def _checked(request: Request, values: dict[str, str]) -> Request:
    if "--enable-lora" not in values:
        request = replace(request, loras=0)
    if values.get("--max-model-len") in ("auto", "-1"):
        request = replace(request, max_model_len=None, auto_length=True)
    if request.utilisation is not None and not 0 < request.utilisation <= 1:
        raise WrongUsage(
            f"--gpu-memory-utilization {request.utilisation:g} is not above 0 and up to 1"
        )
    return replace(request, text_only=_text_only(values))


def _text_only(values: dict[str, str]) -> bool:
    """Return whether a command switches the vision tower off."""
    if "--language-model-only" in values:
        return True
    limits = values.get("--limit-mm-per-prompt", "")
    try:
        document: Any = json.loads(limits) if limits.startswith("{") else {}
    except ValueError:
        return False
    return bool(document) and all(count == 0 for count in document.values())


def number(text: str) -> int:
    """Return a whole number as vLLM reads it: 32768, 32k (thousands) or 32K (times 1024)."""
    match = re.fullmatch(r"(\d{1,15})(?:\.(\d{1,6}))?([kmgKMG]?)", text.strip())
    if match is None or (match[2] and not match[3]):
        if text in ("auto", "-1"):
            return 0
        raise WrongUsage(f"`{text[:40]}` is no whole number", hint="such as 32768 or 32k")
    whole = float(f"{match[1]}.{match[2] or 0}")
    return int(whole * _SUFFIXES.get(match[3], 1))


def positive(text: str) -> int | None:
    result = number(text)
    if result == 0 and text not in ("auto", "-1"):
        raise WrongUsage("0 is too small", hint="write a number from 1")
    return result or None


def share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise WrongUsage(f"`{text[:40]}` is no number", hint="such as 0.9") from None


# Each flag of vLLM that sizes a run: the field of a Request, and how its value is read.
FIELDS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "--tensor-parallel-size": ("tensor_parallel", positive),
    "--pipeline-parallel-size": ("pipeline_parallel", positive),
    "--data-parallel-size": ("data_parallel", positive),
    "--enable-expert-parallel": ("expert_parallel", lambda _: True),
    "--max-model-len": ("max_model_len", positive),
    "--gpu-memory-utilization": ("utilisation", share),
    "--max-num-seqs": ("max_num_seqs", positive),
    "--max-num-batched-tokens": ("max_num_batched_tokens", positive),
    "--kv-cache-dtype": ("kv_cache_dtype", str),
    "--quantization": ("quantization", str),
    "--dtype": ("dtype", str),
    "--enforce-eager": ("enforce_eager", lambda _: True),
    "--block-size": ("block_size", positive),
    "--kv-cache-memory-bytes": ("kv_cache_bytes", positive),
    "--cpu-offload-gb": ("offload_gib", share),
    "--enable-prefix-caching": ("prefix_caching", lambda _: True),
    "--no-enable-prefix-caching": ("prefix_caching", lambda _: False),
    "--enable-lora": ("loras", lambda _: 1),
    "--max-loras": ("loras", positive),
    "--max-lora-rank": ("lora_rank", positive),
}
