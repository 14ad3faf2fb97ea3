"""A log that ends without an error in the middle of a known stage: something hangs there."""

from __future__ import annotations

import re
from typing import Final

from provision.diagnose._model import Signal
from provision.diagnose.reader import Scan

_STAGES: Final = (
    ("generation", re.compile(r"Processed prompts: +0%|Processed prompts:\s+0%")),
    ("nccl-channels", re.compile(r"NCCL INFO .*(?:Channel \d+|Init COMPLETE|Connected all|Trees|comm 0x)")),
    ("nccl-start", re.compile(r"vLLM is using nccl==|NCCL INFO (?:Bootstrap|NET/|Using|cudaDriverVersion)|init_process_group|world_size=\d+ rank=\d+")),
    ("ray-start", re.compile(r"Started a local Ray instance|Connecting to existing Ray cluster|View the dashboard at")),
    ("flash-attn-build", re.compile(r"Building wheels? for (?:collected packages: )?flash[-_]attn")),
)  # fmt: skip
_LAST = 6


def signal(found: Scan) -> Signal | None:
    """Return the stage in which the log ends; None if it shows an error or ends elsewhere."""
    if found.roots or found.wrappers:
        return None
    for line in reversed(found.last_lines[-_LAST:]):
        for stage, pattern in _STAGES:
            if pattern.search(line.text):
                return Signal(name="stopped", values={"stage": stage}, where=line)
    return None
