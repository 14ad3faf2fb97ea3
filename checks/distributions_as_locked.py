"""Whether exactly what was locked is installed, and what was replaced where it is not."""

from __future__ import annotations

from . import _installed
from ._contract import Check, Context, Needs, Verdict

# A virtual environment may bring these itself; where the lock names one, its version counts.
_OF_THE_VENV = {"pip", "setuptools", "wheel"}


def body(context: Context) -> Verdict:
    pins = {_installed.normalized(name): version for name, version in context.pins.items()}
    installed = _installed.versions()
    missing = [f"{name} {pins[name]} is missing" for name in sorted(pins.keys() - installed)]
    became = [
        f"{name} {version} became {' and '.join(installed[name])}"
        for name, version in sorted(pins.items())
        if name in installed
        and not (len(installed[name]) == 1 and _installed.same_version(version, installed[name][0]))
    ]
    extra = [f"{name} {' and '.join(installed[name])}" for name in sorted(installed.keys() - pins - _OF_THE_VENV)]
    found = became + missing
    evidence = {"locked": len(pins), "installed": len(installed), "became": became, "missing": missing, "extra": extra}
    if found:
        return Verdict(
            passed=False,
            summary=_few(found),
            evidence=evidence,
            hint="run vllm-ready provision to have what was locked; name what you add in extra_packages",
        )
    summary = f"all {len(pins)} distributions are the locked ones"
    if extra:  # somebody's own: what it breaks, other checks find
        summary += f"; added by hand, and lost with the next upgrade unless extra_packages names it: {_few(extra)}"
    return Verdict(passed=True, summary=summary, evidence=evidence)


def _few(found: list[str]) -> str:
    return "; ".join(found[:3]) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")


CHECK = Check(
    name="distributions_as_locked",
    title="Distributions as locked",
    proves="every locked distribution is installed at its version; what is beside them is named",
    step=90,
    weight="must",
    on="environment",
    profile="passive",
    deadline_s=60,
    needs=Needs(lock=True),
    body=body,
)
