"""Whether the extensions that ask for the GPU driver's library load too; decided only where there is a GPU."""

from __future__ import annotations

from . import _extensions
from ._contract import Check, Context, Needs, Verdict


def body(context: Context) -> Verdict:
    result = _extensions.load_all(context.profile)
    if result.want_driver:
        return Verdict(
            passed=False,
            summary=f"{', '.join(result.want_driver)} find no {_extensions.DRIVER}",
            evidence=result.evidence(),
            hint="in a container: start it with the GPU runtime; on a host: the driver's libraries must be installed",
        )
    if result.failed:
        name, reason = next(iter(result.failed.items()))
        return Verdict(passed=False, summary=f"{name}: {reason}", evidence=result.evidence())
    return Verdict(passed=True, summary=f"extensions loaded: {len(result.loaded)}", evidence=result.evidence())


CHECK = Check(
    name="driver_extensions_import",
    title="Extensions load with the driver",
    proves="every compiled extension of torch and vLLM loads beside this host's GPU driver",
    step=50,
    weight="must",
    on="environment",
    profile="quick",
    deadline_s=300,
    needs=Needs(packages=("torch", "vllm"), gpus=1, profile="cuda"),
    body=body,
)
