"""The arithmetic of a memory refusal: what is needed, what is there, and the flags that fit."""

from __future__ import annotations

from collections.abc import Mapping

_SAFETY = 0.97  # of the free share: the driver and other processes take a little more
_BLOCK = 16


def advice(values: Mapping[str, str]) -> tuple[str, ...]:
    """Return the sums and flags of a refusal; nothing where the log has no numbers."""
    kind = values.get("kind", "")
    try:
        if kind == "free" and values.get("total"):
            return _share(float(values["free"]), float(values["total"]), float(values["wanted"]))
        if kind == "tokens":
            return _length(int(values["free"]), f"{values['wanted']} tokens are wanted")
        if kind == "cache":
            return _cache(values)
    except (KeyError, ValueError, ZeroDivisionError):
        pass
    return ()


def _share(free: float, total: float, wanted: float) -> tuple[str, ...]:
    share = int(free / total * _SAFETY * 100) / 100
    text = f"# {wanted:g} GiB are wanted, {free:g} of {total:g} GiB are free"
    if share < 0.2:
        return (f"{text}: too little for any model until the memory is freed",)
    return (text, f"--gpu-memory-utilization {share:g}  # fits what is free now")


def _length(tokens: int, wanted: str) -> tuple[str, ...]:
    fits = tokens // _BLOCK * _BLOCK
    return (f"# {wanted}, {tokens} fit", f"--max-model-len {fits}  # shorter context")


def _cache(values: Mapping[str, str]) -> tuple[str, ...]:
    wanted, free, tokens = float(values["wanted"]), float(values["free"]), int(values["tokens"])
    length = int(values.get("length") or tokens * max(free, 0) / wanted)
    text = f"# {wanted:g} GiB are wanted for {tokens} tokens, {free:g} GiB are there"
    return (
        (text,)
        if length < _BLOCK
        else (text, f"--max-model-len {length // _BLOCK * _BLOCK}  # shorter context")
    )
