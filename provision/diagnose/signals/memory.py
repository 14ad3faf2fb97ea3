"""A refusal for lack of GPU memory, with its numbers in GiB or tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator

from provision.diagnose._model import Reader

_MESSAGES = (
    ("free", r"Free memory on device .{0,20}\((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\).{0,80}utilization \((?P<share>[\d.]+), (?P<wanted>[\d.]+)"),
    ("tokens", r"max seq len \((?P<wanted>\d+)\) is larger than the maximum number of tokens .{0,60}KV cache \((?P<free>\d+)\)"),
    ("cache", r"at least one request with .{0,30}max seq len \((?P<tokens>\d+)\).{0,10}(?P<wanted>[\d.]+) GiB KV cache is needed.{0,80}\((?P<free>-?[\d.]+) GiB\)"),
    ("none", r"No available memory for the cache blocks"),
    ("none", r"Available KV cache memory: (?P<free>-[\d.]+) ?GiB"),
    ("allocation", r"Tried to allocate (?P<wanted>[\d.]+ [KMGT]iB).{0,120}total capacity of (?P<total>[\d.]+) GiB"),
    ("allocation", r"(?:CUDA|HIP) out of memory|CUDA_ERROR_OUT_OF_MEMORY"),
)  # fmt: skip
_COMPILED = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _MESSAGES)
_ESTIMATE = re.compile(r"estimated maximum model length is (\d+)", re.IGNORECASE)


def read(text: str) -> Iterator[dict[str, str]]:
    for kind, pattern in _COMPILED:
        if match := pattern.search(text):
            values = {name: value for name, value in match.groupdict().items() if value}
            if estimate := _ESTIMATE.search(text):
                values["length"] = estimate[1]
            yield {"kind": kind, **values}
            return


READER = Reader(
    name="memory",
    words=(
        *("free memory on device", "max seq len", "memory for the cache blocks"),
        *("available kv cache memory", "tried to allocate", "out of memory", "error_out_of_memory"),
    ),
    read=read,
)
