"""Checks that a running server is a vLLM and generates."""

from __future__ import annotations

import os

from . import _serving
from ._contract import Check, Context, Needs, Verdict

_DEADLINE_S = 60.0


def body(context: Context) -> Verdict:
    return _serving.inspect_server(context.serving, os.environ.get("VLLM_API_KEY", ""), _DEADLINE_S)


CHECK = Check(
    title="A running server",
    proves="the server at the given address is a vLLM, and a short generation comes back in time",
    step=80,
    deadline_s=120,
    needs=Needs(serving=True),
    body=body,
)
