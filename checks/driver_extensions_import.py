"""Checks that the extensions that need the GPU driver's library load; only on hosts with a GPU."""

from __future__ import annotations

from . import _extensions
from ._contract import Check, Context, Needs, Verdict

_NO_DRIVER = (
    "in a container: start it with the GPU runtime; "
    "on a host: the driver's libraries must be installed"
)


def body(context: Context) -> Verdict:
    result = _extensions.load_all(context.profile)
    evidence = result.evidence()
    if result.want_driver:
        return Verdict(
            passed=False,
            summary=f"{', '.join(result.want_driver)} cannot find {_extensions.DRIVER}",
            evidence=evidence,
            hint=_NO_DRIVER,
        )
    if result.failed:
        name, reason = next(iter(result.failed.items()))
        return Verdict(passed=False, summary=f"{name}: {reason}", evidence=evidence)
    return Verdict(
        passed=True, summary=f"extensions loaded: {len(result.loaded)}", evidence=evidence
    )


CHECK = Check(
    title="Extensions load with the driver",
    proves="every compiled extension of torch and vLLM loads beside this host's GPU driver",
    step=50,
    needs=Needs(packages=("torch", "vllm"), gpus=1, profile="cuda"),
    body=body,
)
