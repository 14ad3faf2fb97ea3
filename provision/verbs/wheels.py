"""`wheels list|export|import`: show the kept flash-attn wheels, and move them from host to host."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path
from typing import Final, Literal

import msgspec
from packaging.utils import canonicalize_name

from provision.display import terminal
from provision.display.tables import Rows
from provision.engine import locks
from provision.errors import DONE, WrongUsage
from provision.flash_attn import partial_build, wheel_store, wheel_transfer
from provision.flash_attn.inspect_wheel import StatedTarget
from provision.flash_attn.wheel_store import Kept
from provision.session import request
from provision.steps.wheel_folder import FOLDER

_NUMBERS: Final = re.compile(r"\d+(\.\d+){1,2}")
_STACKED: Final = 10_000  # wide enough that details always go below the long names of wheels


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """The wheel store: kept wheels, flash-attn wheels without a note, and the size of the rest."""

    schema: Literal["vllm-ready/wheels/1"] = "vllm-ready/wheels/1"
    folder: str
    wheels: tuple[Kept, ...]
    not_kept: tuple[str, ...]
    others: int
    others_bytes: int


def run(options: argparse.Namespace) -> int:
    prefix = Path(request.new_session(options).prefix)
    if options.action != "import" and (options.torch or options.cuda):
        raise WrongUsage("--torch and --cuda are for wheels import", hint="leave them out")
    {"list": _list, "export": _export, "import": _import}[options.action](prefix, options)
    return DONE


def list_store(prefix: Path) -> Listed:
    folder = prefix / FOLDER
    wheels = tuple(wheel_store.kept_wheels(prefix))
    known = {wheel.file for wheel in wheels}
    rest = [
        path for path in sorted(folder.glob("*.whl")) if path.name not in known and path.is_file()
    ]
    not_kept = tuple(
        path.name for path in rest if canonicalize_name(path.name.partition("-")[0]) == "flash-attn"
    )
    # All other wheels belong to the locks of environments.
    sizes = [path.stat().st_size for path in rest if path.name not in not_kept]
    return Listed(
        folder=str(folder),
        wheels=wheels,
        not_kept=not_kept,
        others=len(sizes),
        others_bytes=sum(sizes),
    )


def _list(prefix: Path, options: argparse.Namespace) -> None:
    if options.what:
        raise WrongUsage("wheels list takes no names", hint="wheels list")
    store, folder = list_store(prefix), prefix / FOLDER
    if options.json:
        terminal.document(store)
        return
    for name in store.not_kept:
        terminal.line(
            f"{name}: has no note or is damaged; to check and keep it: "
            f"./setup.sh wheels import {shlex.quote(str(folder / name))}"
        )
    if store.wheels:
        terminal.line(f"in {store.folder}; to remove a wheel, delete its file:")
        terminal.show(
            Rows([(wheel.file, _describe(wheel)) for wheel in store.wheels], least=_STACKED)
        )
    else:
        terminal.line(
            f"no flash-attn wheel is kept in {store.folder}: ./setup.sh keeps those that it"
            " compiles or downloads, and ./setup.sh wheels import PATH adds your own"
        )
    if store.others:
        terminal.line(
            f"beside them: {store.others} wheels of environments, {store.others_bytes / 1e9:.2f} GB"
        )


def _describe(wheel: Kept) -> str:
    python = f"{wheel.cpython[2]}.{wheel.cpython[3:]}"
    # The note of an imported wheel has the build time of another host.
    duration = (
        f" in {wheel.seconds / 60:.0f} min" if wheel.origin == "built" and not wheel.brought else ""
    )
    part = f"; only {wheel.only} was compiled: used only with {partial_build.ONLY} set to that"
    return (
        f"{wheel.version} for torch {wheel.torch}, CUDA {wheel.cuda}, Python {python}, "
        f"{wheel.machine}, glibc {wheel.glibc}; machine code for {' '.join(wheel.sm)}; "
        f"{wheel.origin_text}{duration}; {wheel.size / 1e6:.1f} MB{part if wheel.only else ''}"
    )


def _export(prefix: Path, options: argparse.Namespace) -> None:
    if not options.what:
        raise WrongUsage("wheels export needs a folder", hint="wheels export FOLDER [NAME ...]")
    folder, *names = options.what
    wheels = wheel_transfer.select(prefix, names)
    if not wheels:
        raise WrongUsage(
            "there is no wheel to export",
            where=str(prefix / FOLDER),
            hint="wheels list shows what is kept",
        )
    wheel_transfer.export(prefix, Path(folder), wheels)
    if options.json:
        terminal.document({"folder": folder, "exported": [wheel.file for wheel in wheels]})
        return
    for wheel in wheels:
        terminal.line(f"exported {wheel.file}")
    terminal.line(f"on the other host: ./setup.sh wheels import {folder}")


def _import(prefix: Path, options: argparse.Namespace) -> None:
    if not options.what:
        raise WrongUsage(
            "wheels import needs a wheel, or a folder of wheels", hint="wheels import PATH ..."
        )
    for option in ("torch", "cuda"):
        if (text := getattr(options, option)) and not _NUMBERS.fullmatch(text):
            raise WrongUsage(
                f"--{option} {text}: is not a version", hint="write it as 2.13.0 or 13.0"
            )
    paths = [path for name in options.what for path in wheel_transfer.list_wheels(Path(name))]
    statement = StatedTarget(torch=options.torch or "", cuda=options.cuda or "")
    names: dict[bool, list[str]] = {True: [], False: []}  # new ones, and those kept already
    with locks.hold(prefix, "wheels import"):  # no run may use the store while it changes
        for path in paths:
            wheel, is_new = wheel_transfer.import_wheel(prefix, path, statement)
            names[is_new].append(wheel.file)
            if not options.json:
                terminal.line(
                    f"imported {wheel.file}: {_describe(wheel)}"
                    if is_new
                    else f"{wheel.file} is kept already"
                )
    if options.json:
        terminal.document({"imported": names[True], "kept_already": names[False]})
    elif names[True] and not options.quiet:
        terminal.line("./setup.sh provision --only 60 installs it if it fits the environment")
