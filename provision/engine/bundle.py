"""A folder with everything that a host without a network needs: wheels, their lock and plan, and vllm-ready itself."""

from __future__ import annotations

import gzip
import io
import os
import sys
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

import msgspec
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from provision.doors import files, parts, process
from provision.engine import fetch, pylock
from provision.engine.events import Subscriber
from provision.errors import SourceFailed, UnreadableInput, WrongUsage
from provision.flash_attn import wheel_store
from provision.flash_attn.wheel_store import Kept
from provision.host import sources
from provision.host._scrub import hide_secrets
from provision.plan._model import Plan
from provision.steps.model import Fetch, Lock, Pin, Wheel
from provision.version import VERSION

SCHEMA: Final = "vllm-ready/bundle/1"
MANIFEST: Final = "bundle.json"
SUMS: Final = "SHA256SUMS"
TOOL: Final = "vllm-ready.tar.gz"
WHEELS: Final = "wheels"
CONTROL: Final = "control"
README: Final = "README.txt"
_OURS: Final = "Everything for vLLM"
# What running takes, and what its reader wants; tests and measurements stay where they are.
_OF_THE_TOOL: Final = ("setup.sh", "config.yaml", "requirements.txt", "pyproject.toml", "README.md", "LICENSE")
_FOLDERS_OF_THE_TOOL: Final = ("provision", "checks", "tasks", "docs/schemas")
_GENERATED: Final = {"__pycache__", "task-results"}

_HOW_TO: Final = """\
Everything for vLLM {vllm} on {platform} with Python {python}. On the host:

    cd FOLDER && sha256sum --check --quiet {sums}
    mkdir vllm-ready && tar xf FOLDER/{tool} -C vllm-ready && cd vllm-ready
    ./setup.sh up --bundle FOLDER
{lacks}"""


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the bundle; a wheel that lies in parts has one for each."""

    path: str
    size: int
    sha256: str


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """The manifest. What answered the host that made it, and which wheels it had beside: the plan rests on both, and on
    what is known of a kept wheel of flash-attn.
    """

    schema: Literal["vllm-ready/bundle/1"] = SCHEMA
    tool: str = VERSION
    plan: Plan
    lock: Lock
    answered: dict[str, bool]
    local_wheels: tuple[str, ...]
    kept: tuple[Kept, ...] = ()
    files: tuple[File, ...]


def refuse_foreign(folder: Path) -> None:
    """What a bundle does not need is removed from its folder: nobody else's things may lie there."""
    readme = folder / README
    is_free = not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir()))
    if not is_free and not (readme.is_file() and files.read_text(readme).startswith(_OURS)):
        raise WrongUsage(
            "is neither empty nor a bundle; what is there would be lost", where=str(folder), hint="name a new folder"
        )


def make(
    folder: Path,
    checkout: Path,
    plan: Plan,
    lock: Lock,
    answered: Mapping[str, bool],
    local_wheels: tuple[str, ...],
    known: Iterable[Kept],
    lacks: str,
    pythons: Iterable[str],
    uv: str,
    environment: Mapping[str, str],
    most: int,
    events: Subscriber,
) -> Bundle:
    """Fill a folder; given again, it goes on from what is there. No file is larger than `most` bytes.

    `known`: the kept wheels, of which the lock may name one; `lacks`: what is not in it, for its README.
    """
    vllm = plan.packages["vllm"]
    how_to = _HOW_TO.format(
        vllm=vllm.version if vllm else "",
        platform=plan.platform,
        python=plan.python,
        sums=SUMS,
        tool=TOOL,
        lacks=f"\n{lacks}\n" if lacks else "",
    )
    files.write(folder / README, how_to)  # first: by it the folder is known as ours
    _bring(folder / WHEELS, [pin.wheel for pin in lock.pins], "wheels of the environment", environment, events)
    control = {
        pin.wheel.file: pin.wheel for version in pythons for pin in _control(checkout, version, plan, uv, environment)
    }
    _bring(folder / CONTROL, list(control.values()), "wheels of vllm-ready itself", environment, events)
    for pin in lock.pins:
        parts.split(folder / WHEELS / pin.wheel.file, most)
    files.write(folder / TOOL, _tool(checkout))
    bundle = Bundle(
        plan=plan,
        lock=_within(lock),
        answered=dict(answered),
        local_wheels=local_wheels,
        kept=_brought(known, lock),
        files=tuple(_files(folder)),
    )
    document = msgspec.json.format(msgspec.json.encode(bundle), indent=1)
    files.write(folder / MANIFEST, document)
    sums = "".join(f"{each.sha256}  {each.path}\n" for each in bundle.files)
    files.write(folder / SUMS, sums)
    return bundle


def load(folder: Path) -> Bundle:
    """The manifest of a bundle that is all there; every wheel is held to its hash when it is taken out."""
    text = files.read_text(folder / MANIFEST, limit=64 * 1024 * 1024)
    try:
        bundle = msgspec.json.decode(text, type=Bundle)
        _see_that_it_makes_sense(bundle)
    except (msgspec.MsgspecError, ValueError) as error:
        raise UnreadableInput(
            f"is no manifest of a bundle: {error}",
            where=str(folder / MANIFEST),
            hint="name the folder that `bundle` made",
        ) from None
    for each in bundle.files:
        lies = folder / each.path
        if not lies.is_file() or lies.stat().st_size != each.size:
            what = "is not there" if not lies.exists() else f"has {lies.stat().st_size} bytes, {each.size} were packed"
            raise UnreadableInput(what, where=str(lies), hint="copy the whole bundle")
    return bundle


def _see_that_it_makes_sense(bundle: Bundle) -> None:
    """Names come to stand in paths and requirements."""
    for name in ("vllm", "torch"):
        package = bundle.plan.packages.get(name)
        if not package or bundle.lock.version(package.distribution or name) is None:
            raise ValueError(f"it brings no {name}")
    for pin in bundle.lock.pins:
        if parse_wheel_filename(pin.wheel.file)[0] != pin.name or str(Version(pin.version)) != pin.version:
            raise ValueError(f"{pin.wheel.file} is not {pin.name} {pin.version}")
    brought = {(pin.wheel.file, pin.wheel.sha256) for pin in bundle.lock.pins}
    for one in bundle.kept:
        if (one.file, one.sha256) not in brought:
            raise ValueError(f"it knows of {one.file} and does not bring it")
    if foreign := bundle.answered.keys() - {*sources.NAMES}:
        raise ValueError(f"there is no source {min(foreign)}")


def lock(bundle: Bundle, folder: Path) -> Lock:
    """Its lock, with every wheel in this folder."""
    return Lock(
        pins=tuple(_at(pin, (folder / WHEELS / pin.wheel.file).absolute().as_uri()) for pin in bundle.lock.pins)
    )


def write_notes(prefix: Path, folder: Path, lock: Lock) -> None:
    """Of the kept wheels that a lock takes out of a bundle: with them they are kept here too."""
    taken = {pin.wheel.file for pin in lock.pins}
    for one in load(folder).kept:
        if one.file in taken:
            wheel_store.write_note(prefix, one)


def _brought(known: Iterable[Kept], lock: Lock) -> tuple[Kept, ...]:
    now, locked = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), {pin.wheel.sha256 for pin in lock.pins}
    return tuple(msgspec.structs.replace(one.for_others, brought=now) for one in known if one.sha256 in locked)


def _within(lock: Lock) -> Lock:
    """Addresses of the network that made it are of no use on the host, and nobody's business there."""
    return Lock(pins=tuple(_at(pin, f"{WHEELS}/{quote(pin.wheel.file)}") for pin in lock.pins))


def _at(pin: Pin, url: str) -> Pin:
    return msgspec.structs.replace(pin, wheel=msgspec.structs.replace(pin.wheel, url=url))


def _bring(folder: Path, wheels: list[Wheel], title: str, environment: Mapping[str, str], events: Subscriber) -> None:
    fetch.fetch(Fetch(title=title, folder=str(folder), wheels=tuple(wheels)), environment, events)
    named = {wheel.file for wheel in wheels}
    for path in folder.iterdir():
        if path.is_file() and path.name.partition(".whl")[0] + ".whl" not in named:
            path.unlink()


def _control(checkout: Path, python: str, plan: Plan, uv: str, environment: Mapping[str, str]) -> tuple[Pin, ...]:
    """The wheels of the control environment for one Python of the host, out of those that are pinned by hash."""
    pinned = checkout / "requirements.txt"
    argv = [uv, "pip", "compile", str(pinned), "--no-deps", "--quiet", "--no-build", "--format", "pylock.toml"]
    argv += ["--no-header", "--color", "never", "--python", sys.executable, "--no-python-downloads"]
    argv += ["--python-version", python, "--python-platform", pylock.platform(plan.platform)]
    done = process.run(argv, deadline_s=300.0, env=environment)
    if not done.ok:
        raise SourceFailed(f"the control environment for Python {python}: {done.problem()}", hint="try again")
    text = pinned.read_text("utf-8")
    found = pylock.pins(done.stdout, python, plan.platform)
    foreign = [pin.name for pin in found if pin.wheel.sha256 not in text]
    if foreign:
        raise SourceFailed(f"the index has another {foreign[0]} than requirements.txt pins", hint="try another mirror")
    return found


def _tool(checkout: Path) -> bytes:
    """The checkout as an archive, the same bytes for the same files."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w|") as archive,
    ):
        for path in _of_the_tool(checkout):
            about = archive.gettarinfo(path, str(path.relative_to(checkout)))
            about.uid = about.gid = about.mtime = 0
            about.uname = about.gname = ""
            content = path.read_bytes()
            if path.suffix == ".yaml":  # the user's: addresses in it may hold a login
                content = hide_secrets(content.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return packed.getvalue()


def _of_the_tool(checkout: Path) -> Iterator[Path]:
    yield from (checkout / name for name in _OF_THE_TOOL)
    for folder in _FOLDERS_OF_THE_TOOL:
        below = sorted((checkout / folder).rglob("*"))
        yield from (path for path in below if path.is_file() and not _GENERATED & {*path.parts})


def _files(folder: Path) -> Iterator[File]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in (MANIFEST, SUMS):
            name = str(path.relative_to(folder))
            yield File(path=name, size=path.stat().st_size, sha256=parts.sha256(path))
