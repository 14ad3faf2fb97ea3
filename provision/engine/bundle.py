"""A bundle: a folder with all that a host without a network needs.

It holds the wheels, their lock and plan, and vllm-ready itself.
"""

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
from provision.errors import NotWritable, SourceFailed, UnreadableInput, WrongUsage
from provision.events import Subscriber
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
# The files that running needs and the user reads; tests and benchmarks are left out.
_OF_THE_TOOL: Final = (
    *("setup.sh", "config.yaml", "requirements.txt", "pyproject.toml", "README.md", "LICENSE"),
)
_FOLDERS_OF_THE_TOOL: Final = ("provision", "checks", "tasks", "docs/schemas")
_GENERATED: Final = {"__pycache__", "task-results"}

_HOW_TO: Final = """\
Everything for vLLM {vllm} on {platform} with Python {python}. On the host:

    cd FOLDER && sha256sum --check --quiet {sums}
    mkdir vllm-ready && tar xf FOLDER/{tool} -C vllm-ready && cd vllm-ready
    ./setup.sh up --bundle FOLDER
{lacks}"""


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the bundle; a wheel that is split into parts has one File for each part."""

    path: str
    size: int
    sha256: str


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """The manifest of a bundle.

    The plan depends on the sources that `answered` the host that made the bundle, on its local
    wheels, and on the notes of a stored flash-attn wheel.
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
    """Raise WrongUsage if a folder holds anything but a bundle.

    Making a bundle removes every other file from its folder.
    """
    readme = folder / README
    try:
        is_free = not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir()))
        folder.exists()
    except OSError as error:
        raise NotWritable(
            f"cannot be used: {error.strerror}", where=str(folder), hint="name another folder"
        ) from None
    if not is_free and not (readme.is_file() and files.read_text(readme).startswith(_OURS)):
        raise WrongUsage(
            "is neither empty nor a bundle, and its files would be lost",
            where=str(folder),
            hint="name a new folder",
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
    """Fill a folder with a bundle; a repeated call continues from the files that are there.

    No file becomes larger than `most` bytes. `known` are the stored wheels, of which the lock may
    name one. `lacks` says in the README what the bundle does not contain.
    """
    vllm = plan.packages["vllm"]
    # The README comes first, because it marks the folder as a bundle.
    files.write(
        folder / README,
        _HOW_TO.format(
            vllm=vllm.version if vllm else "",
            platform=plan.platform,
            python=plan.python,
            sums=SUMS,
            tool=TOOL,
            lacks=f"\n{lacks}\n" if lacks else "",
        ),
    )
    wheels = [pin.wheel for pin in lock.pins]
    _download(folder / WHEELS, wheels, "wheels of the environment", environment, events)
    control = {
        pin.wheel.file: pin.wheel
        for python in pythons
        for pin in _control_pins(checkout, python, plan, uv, environment)
    }
    _download(
        folder / CONTROL, list(control.values()), "wheels of vllm-ready itself", environment, events
    )
    # Some file systems and upload forms limit the size of a file.
    for pin in lock.pins:
        parts.split(folder / WHEELS / pin.wheel.file, most)
    files.write(folder / TOOL, _archive(checkout))
    bundle = Bundle(
        plan=plan,
        # Addresses of the network that made the bundle are useless on the host, and may be private.
        lock=_moved(lock, WHEELS),
        answered=dict(answered),
        local_wheels=local_wheels,
        kept=_brought_notes(known, lock),
        files=tuple(_files(folder)),
    )
    # The manifest comes after all files that it lists.
    files.write(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(bundle), indent=1))
    files.write(folder / SUMS, "".join(f"{file.sha256}  {file.path}\n" for file in bundle.files))
    return bundle


def load(folder: Path) -> Bundle:
    """Read the manifest of a bundle, and raise UnreadableInput if a file of it is missing.

    Only sizes are compared here. A wheel's hash is verified when the wheel is used.
    """
    text = files.read_text(folder / MANIFEST, limit=64 * 1024 * 1024)
    try:
        bundle = msgspec.json.decode(text, type=Bundle)
        _validate(bundle)
    except (ValueError, RecursionError) as error:
        raise UnreadableInput(
            f"is not the manifest of a bundle: {error}",
            where=str(folder / MANIFEST),
            hint="name the folder that `bundle` has made",
        ) from None
    for file in bundle.files:
        path = folder / file.path
        # Not Path.exists, which fails for a name that is too long.
        if not os.path.exists(path):
            raise UnreadableInput("is missing", where=str(path), hint="copy the whole bundle")
        if not path.is_file() or path.stat().st_size != file.size:
            raise UnreadableInput(
                f"has {path.stat().st_size} bytes, {file.size} were packed",
                where=str(path),
                hint="copy the whole bundle",
            )
    return bundle


def _validate(bundle: Bundle) -> None:
    """Raise ValueError if the plan, lock and notes contradict each other.

    Names and versions become parts of paths and requirements, so they must be what they claim.
    """
    for name in ("vllm", "torch"):
        package = bundle.plan.packages.get(name)
        if not package or bundle.lock.version(package.distribution or name) is None:
            raise ValueError(f"it contains no {name}")
    for pin in bundle.lock.pins:
        if (
            parse_wheel_filename(pin.wheel.file)[0] != pin.name
            or str(Version(pin.version)) != pin.version
        ):
            raise ValueError(f"{pin.wheel.file} is not {pin.name} {pin.version}")
    brought = {(pin.wheel.file, pin.wheel.sha256) for pin in bundle.lock.pins}
    for note in bundle.kept:
        if (note.file, note.sha256) not in brought:
            raise ValueError(f"it has a note on {note.file}, but not the wheel")
    if foreign := bundle.answered.keys() - {*sources.NAMES}:
        raise ValueError(f"there is no source {min(foreign)}")


def lock_within(bundle: Bundle, folder: Path) -> Lock:
    """Return the bundle's lock with the wheels' addresses in this folder."""
    return _moved(bundle.lock, (folder / WHEELS).absolute().as_uri())


def write_notes(prefix: Path, folder: Path, lock: Lock) -> None:
    """Write the notes of the stored wheels that a lock takes from a bundle.

    With its note the wheel also stays in this prefix's wheel store.
    """
    locked = {pin.wheel.file for pin in lock.pins}
    for note in load(folder).kept:
        if note.file in locked:
            wheel_store.write_note(prefix, note)


def _brought_notes(known: Iterable[Kept], lock: Lock) -> tuple[Kept, ...]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    locked = {pin.wheel.sha256 for pin in lock.pins}
    return tuple(
        msgspec.structs.replace(note.for_others, brought=now)
        for note in known
        if note.sha256 in locked
    )


def _moved(lock: Lock, folder: str) -> Lock:
    replace = msgspec.structs.replace
    return Lock(
        pins=tuple(
            replace(pin, wheel=replace(pin.wheel, url=f"{folder}/{quote(pin.wheel.file)}"))
            for pin in lock.pins
        )
    )


def _download(
    folder: Path,
    wheels: list[Wheel],
    title: str,
    environment: Mapping[str, str],
    events: Subscriber,
) -> None:
    """Download wheels into a folder and remove all others from it."""
    fetch.fetch(Fetch(title=title, folder=str(folder), wheels=tuple(wheels)), environment, events)
    names = {wheel.file for wheel in wheels}
    for path in folder.iterdir():
        if path.is_file() and path.name.partition(".whl")[0] + ".whl" not in names:
            path.unlink()


def _control_pins(
    checkout: Path, python: str, plan: Plan, uv: str, environment: Mapping[str, str]
) -> tuple[Pin, ...]:
    pinned = checkout / "requirements.txt"
    argv = [uv, "pip", "compile", str(pinned), "--no-deps", "--quiet", "--no-build"]
    argv += ["--format", "pylock.toml", "--no-header", "--color", "never"]
    argv += ["--python", sys.executable, "--no-python-downloads"]
    argv += ["--python-version", python, "--python-platform", pylock.platform(plan.platform)]
    finished = process.run(argv, deadline_s=300.0, env=environment)
    if not finished.ok:
        raise SourceFailed(
            f"the control environment for Python {python} cannot be resolved: {finished.problem()}",
            hint="retry with the same command",
        )
    text = pinned.read_text("utf-8")
    pins = pylock.pins(finished.stdout, python, plan.platform)
    # The index may offer other files than the hashes in requirements.txt allow.
    foreign = [pin.name for pin in pins if pin.wheel.sha256 not in text]
    if foreign:
        raise SourceFailed(
            f"the index has another {foreign[0]} than requirements.txt pins",
            hint="use another mirror",
        )
    return pins


def _archive(checkout: Path) -> bytes:
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w|") as archive,
    ):
        for path in _files_of_the_tool(checkout):
            member = archive.gettarinfo(path, str(path.relative_to(checkout)))
            # Owners and times are left out, so that the same files give the same archive.
            member.uid = member.gid = member.mtime = 0
            member.uname = member.gname = ""
            content = path.read_bytes()
            if path.suffix == ".yaml":  # addresses in the user's settings may contain a login
                text = content.decode("utf-8", "surrogateescape")
                content = hide_secrets(text).encode("utf-8", "surrogateescape")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _files_of_the_tool(checkout: Path) -> Iterator[Path]:
    yield from (checkout / name for name in _OF_THE_TOOL)
    for folder in _FOLDERS_OF_THE_TOOL:
        yield from (
            path
            for path in sorted((checkout / folder).rglob("*"))
            if path.is_file() and not _GENERATED & {*path.parts}
        )


def _files(folder: Path) -> Iterator[File]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in (MANIFEST, SUMS):
            yield File(
                path=str(path.relative_to(folder)),
                size=path.stat().st_size,
                sha256=parts.sha256(path),
            )
