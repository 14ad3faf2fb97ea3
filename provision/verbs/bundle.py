"""`bundle`: everything for a host without a network, in one folder: wheels, lock, plan and vllm-ready itself."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Final

import msgspec
from packaging.version import Version

from provision.display import progress, terminal
from provision.display.progress import Followed
from provision.engine import bring_up, bundle, locks
from provision.engine.events import Note
from provision.engine.resolution_cache import Wanted
from provision.errors import DONE, NotWritable, WrongUsage
from provision.flash_attn import wheel_store
from provision.flash_attn.step_60_flash_attn import leaves
from provision.host import installer_config, pythons, sources
from provision.host._model import Host
from provision.plan import other_host
from provision.plan._model import Plan, Reasons, Unsupported
from provision.session import confirm, flash_attn, inputs, request
from provision.session.request import Wish
from provision.settings import Settings
from provision.steps.model import Lock

_UNITS: Final = {"M": 2**20, "G": 2**30}
_LEAST_MB: Final = 32  # the largest wheel of vllm-ready's own environment is not taken apart
_OLDEST: Final = Version("3.10")  # that the control environment runs on


def run(options: argparse.Namespace) -> int:
    most = _bytes(options.part_size) if options.part_size else 2**63
    folder = Path(options.output)
    bundle.refuse_foreign(folder)
    with locks.alone(folder):
        return _made(folder, most, options)


def _made(folder: Path, most: int, options: argparse.Namespace) -> int:
    wish = request.made(options)
    builder = request.here(wish)
    target = wish.target or builder
    found = request.planned(wish, other_host.fetched_here(target, builder))
    if isinstance(found, Unsupported):
        return confirm.no_plan(found, options)
    if not confirm.agreed(*found, options):
        return DONE
    try:
        with progress.followed(options) as followed:
            plan, lock = _with_flash_attn(wish, target, *found, followed)
            lacks = _lacks(found[0], lock, plan, options.host)
            if lacks and wish.settings.flash_attn.mode == "require":
                reasons = (Reasons(subject="flash-attn", reasons=(lacks,)),)
                return confirm.no_plan(Unsupported(unsupported=reasons, advice=()), options)
            if lacks:
                followed(Note(text=lacks))
            made = bundle.make(
                folder,
                Path(inputs.checkout()),
                plan,
                lock,
                _answered(builder, wish.settings),
                config.local_wheels if (config := builder.known(installer_config.FACT)) else (),
                wheel_store.found(Path(wish.prefix)),
                lacks,
                _pythons(target, plan),
                bring_up.own_uv(),
                request.environment(wish, plan),
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
        if lacks:
            terminal.line(lacks)
    return DONE


def _with_flash_attn(wish: Wish, target: Host, plan: Plan, lock: Lock, followed: Followed) -> tuple[Plan, Lock]:
    """A published wheel that is planned is fetched into the store, as `up` does; nothing is compiled here."""
    owing = Wanted(wish="", plan=plan, lock=lock, host_python="")
    if plan.flash_attn.mode != "wheel" or not flash_attn.owed(owing):
        return plan, lock
    asked = wish.settings.flash_attn
    lenient = msgspec.structs.replace(asked, mode="auto" if asked.mode == "require" else asked.mode, build="after")
    settings = msgspec.structs.replace(wish.settings, flash_attn=lenient)
    with locks.hold(Path(wish.prefix), "bundle") as handle:
        made = flash_attn.settled(
            msgspec.structs.replace(wish, target=target, settings=settings), owing, followed, handle
        )
    return made.plan, made.lock


def _lacks(asked: Plan, lock: Lock, plan: Plan, host: str | None) -> str:
    """That flash-attn was planned and is not in it, why, and what to do about that."""
    if asked.packages.get("flash-attn") is None or leaves(plan, lock):
        return ""
    why = plan.flash_attn.why.partition(". ")[0]
    compiles = f"`./setup.sh provision --host {host}`" if host else "`./setup.sh`"
    return (
        f"flash-attn is not in the bundle: {why}. {compiles} keeps a wheel of it that is compiled here,"
        " `./setup.sh wheels import PATH` one from elsewhere; then make the bundle again"
    )


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
