"""The attention backends of the plan, and whether an engine took another one."""

from __future__ import annotations

from collections.abc import Sequence

from ._contract import Context

OLD_SUFFIX = "_VLLM_V1"  # of the names before 0.12


def planned_backends(context: Context) -> dict[str, str]:
    return {str(row["gpu"]): str(row["backend"]) for row in context.plan.get("attention", [])}


def describe_deviation(context: Context, taken: Sequence[str]) -> str:
    """Return the end of a summary if an engine on the first GPU took another backend, else ""."""
    # attention_backend is the check for all GPUs; an engine of one GPU is only a remark.
    planned = planned_backends(context).get(context.gpus[0] if context.gpus else "")
    other = [name for name in taken if name.removesuffix(OLD_SUFFIX) != planned]
    return (
        f"; it took {' and '.join(other)}, and {planned} was planned" if planned and other else ""
    )
