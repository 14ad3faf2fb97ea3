"""Fill the commands of a fix. Text of a log enters them only in a strict form, quoted."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Final

from provision.diagnose._model import Fix
from provision.diagnose.facts import Facts

# The only forms in which a value may enter a command; any other value leaves a placeholder.
_STRICT: Final = {
    "torch": r"\d{1,2}\.\d{1,3}(?:\.\d{1,3})?(?:\+(?:cu\d{2,3}|cpu))?",
    "vllm": r"\d{1,2}\.\d{1,3}(?:\.\d{1,3})?(?:\.post\d)?",
    "python": r"3\.\d{1,2}(?:\.\d{1,2})?",
    "driver": r"\d{3}(?:\.\d{1,4}){0,2}",
    "cc": r"\d{1,2}\.\d",
    "needs": r"\d{1,2}\.\d",
    "torch_cuda": r"\d{1,2}\.\d",
    "length": r"\d{1,9}",
    "tokens": r"\d{1,9}",
    "share": r"0\.\d{1,4}|1(?:\.0)?",
    "number": r"\d{1,3}",
}
_FIELD = re.compile(r"\{(\w+)\}")


def filled(fix: Fix, values: Mapping[str, str], facts: Facts) -> str:
    """Return a fix as one line: the command, and what it costs as a comment."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        fact = facts.get(name)
        text = values.get(name) or (fact.values[0] if fact else "")
        shape = _STRICT.get(name)
        if shape and re.fullmatch(shape, text, re.ASCII):
            return shlex.quote(text)
        return name.upper().replace("_", "-")

    return _FIELD.sub(value, fix.line)
