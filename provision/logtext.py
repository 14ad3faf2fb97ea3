"""Marks that programs put around a line of text: colours, and the prefixes of loggers."""

from __future__ import annotations

import re
from typing import Final

ANSI: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
POD: Final = re.compile(r"\[pod/[^\]]{1,200}\]\s*")
COMPOSE: Final = re.compile(r"[\w.-]{1,60}[-_]\d+\s+\|\s+")
TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\s*[|:-]?\s*"
)
WORKER: Final = re.compile(r"\([\w.:-]{1,80} (?:pid=\w+|rank=\w+)[^)]{0,80}\)\s*")
