"""The figures of the speed checks by a script that shares no code with them: `bare.py cuda:0`."""

import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

torch: Any = importlib.import_module("torch")
choice: Any = importlib.import_module("torch.nn.attention")

device = sys.argv[1]
gpu = device != "cpu"
dtype = torch.bfloat16
size, tokens, length = (8192, 16384, 8192) if gpu else (1024, 1024, 512)


def seconds(call: Callable[[], object]) -> float:
    for _ in range(5):
        call()
    until = time.perf_counter() + 0.5
    while gpu and time.perf_counter() < until:
        call()
        torch.cuda.synchronize()
    samples = []
    for _ in range(20):
        if gpu:
            torch.cuda.synchronize()
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            call()
            end.record()
            torch.cuda.synchronize()
            samples.append(begin.elapsed_time(end) / 1000)
        else:
            began = time.perf_counter()
            call()
            samples.append(time.perf_counter() - began)
    return float(statistics.median(samples))


square = torch.randn(size, size, device=device, dtype=dtype)
answers = {f"product of {size}": 2 * size**3 / seconds(lambda: square @ square) / 1e12}
q = torch.randn(tokens // length, 16, length, 128, device=device, dtype=dtype)
with choice.sdpa_kernel([choice.SDPBackend.FLASH_ATTENTION]):
    attend = torch.nn.functional.scaled_dot_product_attention
    work = 4 * tokens * length * 16 * 128 / 2
    answers[f"SDPA flash, {length}"] = (
        work / seconds(lambda: attend(q, q, q, is_causal=True)) / 1e12
    )
if gpu:
    source = torch.empty(2**30, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    answers["copy in GPU memory"] = 2 * 2**30 / seconds(lambda: target.copy_(source)) / 1e9
    host = torch.empty(2**28, dtype=torch.uint8, pin_memory=True)
    part = source[: 2**28]
    answers["to GPU"] = 2**28 / seconds(lambda: part.copy_(host, non_blocking=True)) / 1e9
    answers["to host"] = 2**28 / seconds(lambda: host.copy_(part, non_blocking=True)) / 1e9
print(json.dumps(answers))
