"""From the command line to a Session, and from a Session to what the engine works with."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from provision.display import progress
from provision.engine import bring_up, environments, locks, uv
from provision.engine.bring_up import Workplace
from provision.engine.resolution_cache import Resolution
from provision.errors import WrongUsage
from provision.host import _installer
from provision.plan._model import Plan
from provision.session import inputs
from provision.session._model import Session
from provision.steps.model import Site


def new_session(options: argparse.Namespace) -> Session:
    settings = inputs.settings(options)
    root, run = Path(inputs.checkout()), environments.new_id()
    prefix, logs = root / settings.prefix, root / settings.logs
    # PATH separates by colons, uv's --find-links by commas.
    if {":", ","} & {*str(prefix)}:
        raise WrongUsage(
            "no environment can be made below a folder with a colon or comma in its name",
            where=str(prefix),
            hint="move the checkout, or name another place: --prefix DIR",
        )
    return Session(
        settings=settings,
        prefix=str(prefix),
        logs=str(logs / run),
        run=run,
        say=progress.notes(options),
        options=options,
        target=inputs.target_host(options, settings) if getattr(options, "host", None) else None,
        bundle=getattr(options, "bundle", None),
        only=getattr(options, "only", None),
        start=getattr(options, "start", None),
    )


@contextlib.contextmanager
def locked(session: Session, verb: str) -> Iterator[Session]:
    with locks.hold(Path(session.prefix), verb) as handle:
        yield msgspec.structs.replace(session, lock=handle)


def standing_prefix(session: Session) -> Path:
    """Return an existing prefix. A verb that makes nothing must not create a mistyped one."""
    prefix = Path(session.prefix)
    if not prefix.is_dir():
        raise WrongUsage(
            "there is no environment",
            where=session.prefix,
            hint="./setup.sh makes one; --prefix DIR names it",
        )
    return prefix


def environment(session: Session, plan: Plan) -> dict[str, str]:
    """Return uv's environment. It may hold credentials, and is never written to a file."""
    return uv.environment(session.settings, plan, _installer.installer_config(), session.prefix)


def site(session: Session, resolution: Resolution, generation: str = "") -> Site:
    elsewhere = session.target is not None
    return Site(
        generation=generation,
        prefix=session.prefix,
        uv=bring_up.own_uv(),
        host_python=resolution.host_python,
        temporary=tempfile.gettempdir(),
        logs=session.logs,
        # Models of this host are not those of the target.
        models=str("" if elsewhere else inputs.paths(session.settings).get("models", "")),
        elsewhere=elsewhere,
    )


def workplace(session: Session, resolution: Resolution, generation: str = "") -> Workplace:
    return Workplace(
        site=site(session, resolution, generation),
        environment=environment(session, resolution.plan),
        events=session.listener,
        lock=session.lock,
    )
