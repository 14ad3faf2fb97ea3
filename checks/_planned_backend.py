"""What an engine says of its attention, beside what was planned for the GPU on which it runs."""

from __future__ import annotations

from collections.abc import Sequence

from ._contract import Context

OLD_SUFFIX = "_VLLM_V1"  # of the names before 0.12


def of_each(context: Context) -> dict[str, str]:
    return {str(row["gpu"]): str(row["backend"]) for row in context.plan.get("attention", [])}


def deviation(context: Context, taken: Sequence[str]) -> str:
    """The end of a summary where an engine of one GPU took another; whether that is so on each is another check's."""
    wanted = of_each(context).get(context.gpus[0] if context.gpus else "")
    other = [name for name in taken if name.removesuffix(OLD_SUFFIX) != wanted]
    return f"; it took {' and '.join(other)}, and {wanted} was planned" if wanted and other else ""
