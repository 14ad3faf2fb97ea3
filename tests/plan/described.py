"""Plans for hosts described in one line, with settings as on the command line."""

from __future__ import annotations

from provision.catalog import rows
from provision.host import from_text
from provision.plan._model import Plan, Refusal, Unsupported
from provision.session.planning import make_plan
from provision.settings import load

CATALOGUE = rows.load()
PYPI_ONLY = "sources: {pytorch: false, vllm: false, github: false}"


def result(
    gpus: str = "{name: NVIDIA H100 80GB HBM3, count: 2}",
    *settings: str,
    driver: str | None = "580.95.05",
    python: str = "3.12",
    glibc: str = "2.39",
    machine: str = "x86_64",
    more: str = "",
    refusals: tuple[Refusal, ...] = (),
    catalogue: rows.Catalogue = CATALOGUE,
) -> Plan | Unsupported:
    line = f'driver: "{driver}"\n' if driver else ""
    text = (
        f'gpus: [{gpus}]\n{line}python: "{python}"\nglibc: "{glibc}"\nmachine: {machine}\n{more}\n'
    )
    return make_plan(
        from_text.parse(text, "host.yaml"),
        load(None, "config.yaml", settings),
        catalogue,
        refusals,
    )


def plan(
    gpus: str = "{name: NVIDIA H100 80GB HBM3, count: 2}", *settings: str, **host: object
) -> Plan:
    made = result(gpus, *settings, **host)  # type: ignore[arg-type]  # the keywords of result
    assert isinstance(made, Plan), made
    return made


def no_plan(
    gpus: str = "{name: NVIDIA H100 80GB HBM3, count: 2}", *settings: str, **host: object
) -> Unsupported:
    made = result(gpus, *settings, **host)  # type: ignore[arg-type]  # the keywords of result
    assert isinstance(made, Unsupported), made
    return made


def version(made: Plan, package: str = "vllm") -> str:
    chosen = made.packages[package]
    assert chosen is not None
    return chosen.version


def rejected(made: Plan, subject: str) -> str:
    """Return all rejected candidates of a subject with their reasons, as one text."""
    (decision,) = [decision for decision in made.decisions if decision.subject == subject]
    return "\n".join(
        f"{rejection.candidate}: {rejection.reason}" for rejection in decision.rejected
    )
