"""`bundle`: everything for a host without a network, in one folder: wheels, lock, plan and vllm-ready itself."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Final

from packaging.version import Version

from provision import terminal
from provision.engine import bring_up, bundle
from provision.errors import DONE, NotWritable, WrongUsage
from provision.host import installer_config, pythons, sources
from provision.host._model import Host
from provision.plan import elsewhere
from provision.plan._model import Plan, Unsupported
from provision.settings import Settings
from provision.verbs import _agree, _given, _progress, _wish

_UNITS: Final = {"M": 2**20, "G": 2**30}
_LEAST_MB: Final = 32  # the largest wheel of vllm-ready's own environment is not taken apart
_OLDEST: Final = Version("3.10")  # that the control environment runs on


def run(options: argparse.Namespace) -> int:
    most = _bytes(options.part_size) if options.part_size else 2**63
    folder = Path(options.output)
    bundle.refuse_foreign(folder)
    wish = _wish.made(options)
    builder = _wish.here(wish)
    target = wish.target or builder
    found = _wish.planned(wish, elsewhere.fetched_here(target, builder))
    if isinstance(found, Unsupported):
        return _agree.no_plan(found, options)
    plan, lock = found
    if not _agree.agreed(plan, lock, options):
        return DONE
    try:
        with _progress.followed(options) as followed:
            made = bundle.make(
                folder,
                Path(_given.checkout()),
                plan,
                lock,
                _answered(builder, wish.settings),
                config.local_wheels if (config := builder.known(installer_config.FACT)) else (),
                _pythons(target, plan),
                bring_up.own_uv(),
                _wish.environment(wish, plan),
                most,
                followed,
            )
    except (OSError, NotWritable) as error:
        why = error.what if isinstance(error, NotWritable) else f"cannot be written: {error.strerror}"
        hint = "free some space, or name a folder elsewhere; the same command goes on from what is there"
        raise NotWritable(why, where=str(folder), hint=hint) from error
    if options.json:
        terminal.document(made)
    elif not options.events:
        size = sum(each.size for each in made.files) / 1e9
        terminal.line(f"{folder}: {len(made.files)} files, {size:.1f} GB; {folder}/README.txt says how to use it")
    return DONE


def _answered(builder: Host, settings: Settings) -> dict[str, bool]:
    answers = builder.known(sources.FACT) or {}
    allowed = (name for name in sources.NAMES if getattr(settings.sources, name) is not False)
    return dict.fromkeys(sources.NAMES, False) | {name: name in answers and answers[name].answers for name in allowed}


def _pythons(target: Host, plan: Plan) -> tuple[str, ...]:
    """Every Python of the host that may come to run vllm-ready itself."""
    there = {".".join(found.version.split(".")[:2]) for found in target.known(pythons.FACT) or ()}
    return tuple(sorted((one for one in there | {plan.python} if Version(one) >= _OLDEST), key=Version))


def _bytes(size: str) -> int:
    said = re.fullmatch(r"(\d+)([MG])", size)
    if not said or int(said[1]) * _UNITS[said[2]] < _LEAST_MB * _UNITS["M"]:
        raise WrongUsage(
            f"--part-size {size}: is no size", hint=f"write megabytes or gigabytes, {_LEAST_MB}M or more: 60M"
        )
    return int(said[1]) * _UNITS[said[2]]
