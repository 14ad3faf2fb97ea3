"""`wheels list`, `export` and `import`: the flash-attn wheels that are kept, and moving them from host to host."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Final, Literal

import msgspec
from packaging.utils import canonicalize_name

from provision.display import terminal
from provision.display.tables import Rows
from provision.engine import locks
from provision.errors import DONE, WrongUsage
from provision.flash_attn import partial_build, wheel_store, wheel_transfer
from provision.flash_attn.inspect_wheel import Said
from provision.flash_attn.wheel_store import Kept
from provision.session import request
from provision.steps.wheel_folder import FOLDER

_NUMBERS: Final = re.compile(r"\d+(\.\d+){1,2}")
_STACKED: Final = 10_000  # names of wheels leave no room beside them


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """The store: what is kept, flash-attn wheels that lie there and are not, and how much the wheels of locks take."""

    schema: Literal["vllm-ready/wheels/1"] = "vllm-ready/wheels/1"
    folder: str
    wheels: tuple[Kept, ...]
    not_kept: tuple[str, ...]
    others: int
    others_bytes: int


def run(options: argparse.Namespace) -> int:
    prefix = Path(request.made(options).prefix)
    if options.action != "import" and (options.torch or options.cuda):
        raise WrongUsage("--torch and --cuda are for wheels import", hint="leave them out")
    {"list": _list, "export": _export, "import": _import}[options.action](prefix, options)
    return DONE


def listed(prefix: Path) -> Listed:
    folder = prefix / FOLDER
    wheels = tuple(wheel_store.found(prefix))
    names = {one.file for one in wheels}
    rest = [path for path in sorted(folder.glob("*.whl")) if path.name not in names and path.is_file()]
    strays = tuple(path.name for path in rest if canonicalize_name(path.name.partition("-")[0]) == "flash-attn")
    others = [path.stat().st_size for path in rest if path.name not in strays]
    return Listed(folder=str(folder), wheels=wheels, not_kept=strays, others=len(others), others_bytes=sum(others))


def _list(prefix: Path, options: argparse.Namespace) -> None:
    if options.what:
        raise WrongUsage("wheels list takes no names", hint="wheels list")
    found = listed(prefix)
    if options.json:
        terminal.document(found)
        return
    for name in found.not_kept:
        terminal.line(f"{name}: nothing is noted of it, or it is damaged; `./setup.sh wheels import` takes it in")
    if found.wheels:
        terminal.line(f"in {found.folder}; to remove one, delete its file:")
        terminal.show(Rows([(one.file, _said(one)) for one in found.wheels], narrow=_STACKED))
    else:
        terminal.line(
            f"no flash-attn wheel is kept in {found.folder}: ./setup.sh keeps what it compiles or fetches,"
            " ./setup.sh wheels import PATH what you have"
        )
    if found.others:
        terminal.line(f"beside them: {found.others} wheels of environments, {found.others_bytes / 1e9:.2f} GB")


def _said(one: Kept) -> str:
    python = f"{one.cpython[2]}.{one.cpython[3:]}"
    fits = f"{one.version} for torch {one.torch}, CUDA {one.cuda}, Python {python}, {one.machine}, glibc {one.glibc}"
    took = f" in {one.seconds / 60:.0f} min" if one.origin == "built" and not one.brought else ""
    part = f"; only {one.only} was compiled: taken where {partial_build.ONLY} says that" if one.only else ""
    return f"{fits}; machine code for {' '.join(one.sm)}; {one.came}{took}; {one.size / 1e6:.1f} MB{part}"


def _export(prefix: Path, options: argparse.Namespace) -> None:
    if not options.what:
        raise WrongUsage("wheels export needs a folder", hint="wheels export FOLDER [NAME ...]")
    folder, *names = options.what
    wheels = wheel_transfer.chosen(prefix, names)
    if not wheels:
        raise WrongUsage(
            "there is no wheel to export", where=str(prefix / FOLDER), hint="wheels list says what is kept"
        )
    wheel_transfer.exported(prefix, Path(folder), wheels)
    if options.json:
        terminal.document({"folder": folder, "exported": [one.file for one in wheels]})
        return
    for one in wheels:
        terminal.line(f"exported {one.file}")
    terminal.line(f"on the other host: ./setup.sh wheels import {folder}")


def _import(prefix: Path, options: argparse.Namespace) -> None:
    if not options.what:
        raise WrongUsage("wheels import needs a wheel, or a folder of them", hint="wheels import PATH ...")
    for option in ("torch", "cuda"):
        if (said := getattr(options, option)) and not _NUMBERS.fullmatch(said):
            raise WrongUsage(f"--{option} {said}: is no version", hint="write it as 2.13.0 or 13.0")
    wheels = [path for name in options.what for path in wheel_transfer.offered(Path(name))]
    said = Said(torch=options.torch or "", cuda=options.cuda or "")
    taken: dict[bool, list[str]] = {True: [], False: []}
    with locks.hold(prefix, "wheels import"):
        for path in wheels:
            one, is_news = wheel_transfer.imported(prefix, path, said)
            taken[is_news].append(one.file)
            if not options.json:
                terminal.line(f"imported {one.file}: {_said(one)}" if is_news else f"{one.file} is kept already")
    if options.json:
        terminal.document({"imported": taken[True], "kept_already": taken[False]})
    elif taken[True] and not options.quiet:
        terminal.line("./setup.sh provision --only 60 takes it into the environment, where it fits that")
