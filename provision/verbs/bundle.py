"""`bundle`: put everything for a host without a network into a folder, vllm-ready included."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Final

import msgspec
from packaging.version import Version

from provision.display import progress, terminal
from provision.engine import bring_up, bundle, locks
from provision.errors import DONE, NotWritable, WrongUsage
from provision.events import Note
from provision.host import installer_config, pythons, sources
from provision.host._model import Host
from provision.plan import other_host
from provision.plan._model import OPTIONAL, Plan, Reasons, Unsupported
from provision.session import confirm, inputs, optional, planning, request, resolve
from provision.settings import Settings

_UNITS: Final = {"M": 2**20, "G": 2**30}
_LEAST_MB: Final = 32  # the largest wheel of vllm-ready's own environment is never split
_OLDEST: Final = Version("3.10")  # that the control environment runs on


def run(options: argparse.Namespace) -> int:
    part_size = _bytes(options.part_size) if options.part_size else 2**63
    folder = Path(options.output)
    bundle.refuse_foreign(folder)
    with locks.hold_folder(folder):
        return _run(folder, part_size, options)


def _run(folder: Path, part_size: int, options: argparse.Namespace) -> int:
    session = request.new_session(options)
    builder = resolve.here(session)
    target = session.target or builder
    planned = resolve.plan_and_lock(session, other_host.with_sources_of(target, builder))
    if isinstance(planned, Unsupported):
        return confirm.no_plan(planned, options)
    confirm.ask_consent(session, *planned)
    try:
        with progress.listening(options) as listener:
            session = msgspec.structs.replace(session, listener=listener)
            plan, lock = optional.fetch_for_bundle(session, target, *planned)
            missing = optional.missing_from_bundle(planned[0], plan, lock, options.host)
            if missing and optional.is_required(session):
                return confirm.no_plan(
                    Unsupported(
                        unsupported=(Reasons(subject=OPTIONAL, reasons=(missing,)),), advice=()
                    ),
                    options,
                )
            # Said now and with the result: the host cannot fetch it without a network.
            if missing:
                listener(Note(text=missing))
            config = builder.known(installer_config.FACT)
            made = bundle.make(
                folder,
                Path(inputs.checkout()),
                plan,
                lock,
                _answers(builder, session.settings),
                config.local_wheels if config else (),
                planning.kept_wheels(Path(session.prefix)),
                missing,
                _pythons(target, plan),
                bring_up.own_uv(),
                request.environment(session, plan),
                part_size,
                session.listener,
            )
    except NotWritable as failure:
        raise _not_written(failure.what, folder) from failure
    except OSError as error:
        raise _not_written(f"cannot be written: {error.strerror}", folder) from error
    if options.json:
        terminal.document(made)
    elif not options.events:
        terminal.line(
            f"{folder}: {len(made.files)} files, "
            f"{sum(file.size for file in made.files) / 1e9:.1f} GB; "
            f"{folder}/README.txt says how to use it"
        )
        if missing:
            terminal.line(missing)
    return DONE


def _not_written(what: str, folder: Path) -> NotWritable:
    return NotWritable(
        what,
        where=str(folder),
        hint="free some space, or name a folder elsewhere; the same command resumes",
    )


def _answers(builder: Host, settings: Settings) -> dict[str, bool]:
    """Return, for each package source, whether it answers and is allowed."""
    answers = builder.known(sources.FACT) or {}
    return {
        name: getattr(settings.sources, name) is not False
        and name in answers
        and answers[name].answers
        for name in sources.NAMES
    }


def _pythons(target: Host, plan: Plan) -> tuple[str, ...]:
    """Return every Python of the host that may come to run vllm-ready itself."""
    minors = {
        ".".join(python.version.split(".")[:2]) for python in (target.known(pythons.FACT) or ())
    } | {plan.python}
    return tuple(sorted((minor for minor in minors if Version(minor) >= _OLDEST), key=Version))


def _bytes(size: str) -> int:
    match = re.fullmatch(r"(\d+)([MG])", size)
    if not match or int(match[1]) * _UNITS[match[2]] < _LEAST_MB * _UNITS["M"]:
        raise WrongUsage(
            f"--part-size {size}: is no size",
            hint=f"write megabytes or gigabytes, {_LEAST_MB}M or more: 60M",
        )
    return int(match[1]) * _UNITS[match[2]]
