"""Whether every compiled extension of torch and vLLM loads; those that ask for the GPU driver have their own check."""

from __future__ import annotations

from . import _extensions
from ._contract import Check, Context, Needs, Verdict

_FOREIGN = "an undefined symbol means that torch is not the one it was built for; compare with the lock"
_LACKING = (
    "the system lacks this library; libnuma.so.1 is in libnuma1 (Debian, Ubuntu, SUSE) or numactl-libs (Fedora, RHEL)"
)


def body(context: Context) -> Verdict:
    result = _extensions.load_all(context.profile)
    evidence = result.evidence()
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    if result.failed:
        name, reason = next(iter(result.failed.items()))
        return Verdict(
            passed=False,
            summary=f"extensions that do not load: {len(result.failed)}; {name}: {reason}",
            evidence=evidence,
            hint=_LACKING if "cannot open shared object" in reason else _FOREIGN,
        )
    if not any(name.startswith("vllm.") for name in result.loaded + result.want_driver):
        return Verdict(passed=False, summary="vLLM has no compiled extension", evidence=evidence)
    waiting = f", waiting for a GPU driver: {len(result.want_driver)}" if result.want_driver else ""
    return Verdict(
        passed=True, summary=f"{versions}; extensions loaded: {len(result.loaded)}{waiting}", evidence=evidence
    )


CHECK = Check(
    name="extensions_import",
    title="Compiled extensions load",
    proves="torch and vLLM import, and their compiled extensions that need no GPU driver load with this torch",
    step=50,
    weight="must",
    on="environment",
    profile="quick",
    deadline_s=300,
    needs=Needs(packages=("torch", "vllm")),
    body=body,
)
