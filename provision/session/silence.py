"""Package sources that do not answer: ask again, and never plan around a needed one unseen."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from provision import package_sources
from provision.display import question
from provision.doors.addresses import scrubbed
from provision.engine import resolution_cache
from provision.errors import Interrupted, SourceFailed
from provision.host import sources
from provision.host._model import Host
from provision.host.sources import SourceAnswer
from provision.plan._model import Plan, SilentSource, SilentSources, Unsupported
from provision.plan.situation import SOURCE_NAMES
from provision.plan.versions import newer
from provision.session import inputs, planning
from provision.session._model import Session

PATIENCE_S: Final = 20.0


def answering(host: Host) -> set[str]:
    return {name for name, answer in _answers(host).items() if answer.answers}


def answered_before(session: Session) -> dict[str, str]:
    """Return the sources that answered in an earlier run of this prefix, and their addresses."""
    last = resolution_cache.load(Path(session.prefix))
    return last.answered if last else {}


def remembered(session: Session, host: Host) -> dict[str, str]:
    """Return the sources that have answered a run of this prefix, with their addresses."""
    addresses = inputs.addresses(session.settings)
    now = {name: addresses[name] for name in answering(host) if name in addresses}
    return {**answered_before(session), **now}


def patient(session: Session, host: Host) -> Host:
    """Ask a late source again if it is needed: PyPI, and each that answered before."""
    addresses = inputs.addresses(session.settings)
    late = [
        name
        for name, answer in _answers(host).items()
        if answer.late and name in addresses and name in {"pypi", *answered_before(session)}
    ]
    if not late:
        return host
    from provision.doors import network  # it takes longer than a run that finds nothing to do

    session.say(f"{_names(late)}: no answer yet; asking again for up to {PATIENCE_S:g} s")
    again = network.probe({name: addresses[name] for name in late}, PATIENCE_S)
    answers = msgspec.convert(again, type=dict[str, SourceAnswer])
    return host.replace({sources.FACT.name: {**_answers(host), **answers}})


def refuse(session: Session, host: Host) -> None:
    """Raise SourceFailed if a silent source would change the plan; ask where a person is."""
    if failure := needed(session, host):
        raise failure
    failure = missed(session, host)
    if failure is None:
        return
    if session.options.yes or not question.has_person():
        raise failure
    session.say(failure.what)
    if not question.agreed("Install the older one?"):
        raise Interrupted("stopped", hint="nothing was installed or changed")


def needed(session: Session, host: Host) -> SourceFailed | None:
    """Return the failure if only a silent source stands in the way of a plan."""
    silent = _silent(session, host)
    if not silent or isinstance(_plan(session, host), Plan):
        return None
    if isinstance(_plan(session, host, silent), Unsupported):
        return None
    return _failure(session, host, silent, "there is no plan without")


def missed(session: Session, host: Host) -> SourceFailed | None:
    """Return the failure if a newer vLLM would be planned with a source that answered before.

    A source that never answered here is a warning of the plan.
    """
    before, addresses = answered_before(session), inputs.addresses(session.settings)
    expected = [
        name for name in _silent(session, host) if before.get(name) == addresses.get(name, "")
    ]
    if not expected:
        return None
    planned, better = _plan(session, host), _plan(session, host, expected)
    if isinstance(planned, Unsupported) or isinstance(better, Unsupported):
        return None
    older, newest = planned.package("vllm").version, better.package("vllm").version
    what = f"vLLM {older} would be installed instead of {newest}, without"
    return _failure(session, host, expected, what) if newer(newest, older) else None


def all_silent(session: Session, host: Host) -> SourceFailed | None:
    """Return the failure if no source answers at all."""
    silent = _silent(session, host)
    if not silent or answering(host):
        return None
    return _failure(session, host, silent, "no package source answers:")


def document(failure: SourceFailed) -> SilentSources:
    return SilentSources(unreachable=msgspec.convert(failure.silent, tuple[SilentSource, ...]))


def _answers(host: Host) -> dict[str, SourceAnswer]:
    return host.known(sources.FACT) or {}


def _silent(session: Session, host: Host) -> list[str]:
    return [
        name
        for name, answer in _answers(host).items()
        if not answer.answers and getattr(session.settings.sources, name) is not False
    ]


def _plan(session: Session, host: Host, answer: Iterable[str] = ()) -> Plan | Unsupported:
    answers = {**_answers(host), **{name: SourceAnswer(answers=True) for name in answer}}
    return planning.make_plan(
        host.replace({sources.FACT.name: answers}),
        session.settings,
        planning.catalogue(session.prefix),
    )


def _failure(session: Session, host: Host, silent: list[str], what: str) -> SourceFailed:
    addresses = inputs.addresses(session.settings)
    rows = tuple(
        {
            "source": name,
            "address": scrubbed(addresses.get(name, "")),
            "setting": package_sources.origin(name, session.settings, os.environ),
        }
        for name in silent
    )
    details = "; ".join(
        f"{SOURCE_NAMES[row['source']]} ({row['address']}, from {row['setting']}):"
        f" {_answers(host)[row['source']].detail}"
        for row in rows
    )
    failure = SourceFailed(
        f"{what} {details}",
        hint="check the network, the proxy and the certificates; nothing was changed, run the same"
        " command again",
    )
    failure.silent = rows
    return failure


def _names(names: Iterable[str]) -> str:
    return ", ".join(SOURCE_NAMES[name] for name in names)
