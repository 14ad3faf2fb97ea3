"""Checks that the compiled extensions of torch and vLLM load.

Those that need the GPU driver are left to driver_extensions_import.
"""

from __future__ import annotations

from . import _extensions
from ._contract import Check, Context, Needs, Verdict

_OTHER_TORCH = (
    "an undefined symbol means that it was built for another torch; compare with the lock"
)
_NO_LIBRARY = (
    "the system lacks this library; libnuma.so.1 is in libnuma1 (Debian, Ubuntu, SUSE) "
    "or numactl-libs (Fedora, RHEL)"
)


def body(context: Context) -> Verdict:
    result = _extensions.load_all(context.profile)
    evidence = result.evidence()
    if result.failed:
        name, reason = next(iter(result.failed.items()))
        return Verdict(
            passed=False,
            summary=f"extensions that do not load: {len(result.failed)}; {name}: {reason}",
            evidence=evidence,
            hint=_NO_LIBRARY if "cannot open shared object" in reason else _OTHER_TORCH,
        )
    if not any(name.startswith("vllm.") for name in result.loaded + result.want_driver):
        return Verdict(passed=False, summary="vLLM has no compiled extension", evidence=evidence)
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    waiting = f", waiting for a GPU driver: {len(result.want_driver)}" if result.want_driver else ""
    summary = f"{versions}; extensions loaded: {len(result.loaded)}{waiting}"
    return Verdict(passed=True, summary=summary, evidence=evidence)


CHECK = Check(
    title="Compiled extensions load",
    proves="torch and vLLM import, and their extensions that need no GPU driver load",
    step=50,
    needs=Needs(packages=("torch", "vllm")),
    body=body,
)
