"""Checks that exactly the locked distributions are installed, and names the replaced ones."""

from __future__ import annotations

from . import _installed
from ._contract import Check, Context, Needs, Verdict
from ._host import first_of

# A virtual environment may bring these itself; if the lock names one, its version counts.
_OF_THE_VENV = {"pip", "setuptools", "wheel"}


def body(context: Context) -> Verdict:
    pins = {_installed.normalized(name): version for name, version in context.pins.items()}
    installed = _installed.versions()
    missing = [f"{name} {pins[name]} is missing" for name in sorted(pins.keys() - installed)]
    became = [
        f"{name} {version} became {' and '.join(installed[name])}"
        for name, version in sorted(pins.items())
        if name in installed and not _is_only(version, installed[name])
    ]
    extra = [
        f"{name} {' and '.join(installed[name])}"
        for name in sorted(installed.keys() - pins - _OF_THE_VENV)
    ]
    evidence = {
        "locked": len(pins),
        "installed": len(installed),
        "became": became,
        "missing": missing,
        "extra": extra,
    }
    if problems := became + missing:
        return Verdict(
            passed=False,
            summary=first_of(problems),
            evidence=evidence,
            hint="./setup.sh provision installs what was locked; "
            "name what you add in extra_packages",
        )
    summary = f"all {len(pins)} distributions are the locked ones"
    if "pip" not in installed:
        summary += "; no pip here"
    if extra:
        # The user may add packages; what they break is found by other checks.
        summary += (
            "; added by hand, and lost with the next upgrade unless extra_packages names it: "
            f"{first_of(extra)}"
        )
    return Verdict(passed=True, summary=summary, evidence=evidence)


def _is_only(version: str, installed: list[str]) -> bool:
    return len(installed) == 1 and _installed.is_same_version(version, installed[0])


CHECK = Check(
    title="Distributions as locked",
    proves="every locked distribution is installed at its version; others are named",
    step=90,
    profile="passive",
    deadline_s=60,
    needs=Needs(lock=True),
    body=body,
)
