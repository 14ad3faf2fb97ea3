"""Step, Fetch, Run, Write and Need: what a numbered step may say. A step says; only the engine does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal
from urllib.parse import unquote, urlsplit

import msgspec

from provision.plan._model import Plan


class Wheel(msgspec.Struct, frozen=True, kw_only=True):
    """One published file: where it lies, and the only content that it may have. `size` is 0 where nobody says it."""

    url: str
    sha256: str
    size: int = 0

    @property
    def file(self) -> str:
        # Decoded first: what an address hides behind %2F is no way out of a folder.
        return unquote(urlsplit(self.url).path).rpartition("/")[2]

    def without_token(self) -> Wheel:
        return msgspec.structs.replace(self, url=urlsplit(self.url)._replace(query="", fragment="").geturl())


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """One distribution of the lock, and the wheel that brings it."""

    name: str
    version: str
    wheel: Wheel

    @property
    def requirement(self) -> str:
        """What uv installs from: ==2.13.0 would take 2.13.0+cpu too, where that lies beside it; === does not."""
        version = self._named
        exactly = "==" if "+" in version else "==="
        return f"{self.name}{exactly}{version} \\\n    --hash=sha256:{self.wheel.sha256}\n"

    @property
    def _named(self) -> str:
        """The version in the file's name, which uv goes by: release files of flash-attn add a local part to it."""
        named = self.wheel.file.split("-")[1:2]
        return named[0].lower() if named and named[0].partition("+")[0] == self.version else self.version


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """The whole environment, resolved before anything changes: every distribution with its one file."""

    pins: tuple[Pin, ...]

    @property
    def text(self) -> str:
        return requirements(self.pins)

    def version(self, name: str) -> str | None:
        return next((pin.version for pin in self.pins if pin.name == name), None)

    def without_tokens(self) -> Lock:
        """For every reader: an address may be signed, which is nobody else's business and soon worth nothing."""
        return Lock(pins=tuple(msgspec.structs.replace(pin, wheel=pin.wheel.without_token()) for pin in self.pins))

    def without(self, names: Iterable[str]) -> Lock:
        out = frozenset(names)
        return Lock(pins=tuple(pin for pin in self.pins if pin.name not in out))

    def some(self, names: Iterable[str]) -> tuple[Pin, ...]:
        wanted = frozenset(names)
        return tuple(pin for pin in self.pins if pin.name in wanted)


def requirements(pins: Iterable[Pin]) -> str:
    return "".join(pin.requirement for pin in pins)


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Every place that a step may name. `generation` is the virtual environment that is being built.

    `temporary` and `logs` are written on the way, `models` is where HF_HOME has them; "" is where nothing is asked of
    them. `elsewhere`: the plan's GPUs are on another host than this one.
    """

    generation: str
    prefix: str
    uv: str
    host_python: str
    temporary: str = ""
    logs: str = ""
    models: str = ""
    elsewhere: bool = False

    @property
    def python(self) -> str:
        return f"{self.generation}/bin/python"

    @property
    def state(self) -> str:
        """Plan, lock, journal and verified reports lie here, inside the generation."""
        return f"{self.generation}/.vllm-ready"

    @property
    def lock_file(self) -> str:
        return f"{self.state}/lock.txt"

    @property
    def toolkit(self) -> str:
        """CUDA_HOME, where the CUDA compiler came in wheels."""
        return f"{self.generation}/cuda"

    @property
    def wheels(self) -> str:
        """The store: every wheel of every lock, as it was published."""
        return f"{self.prefix}/wheels"  # engine/store.py keeps it small

    @property
    def unpacked(self) -> str:
        """Where uv unpacks wheels for this environment and no other: it links them into place, and then this goes.

        So nothing is copied, and no file is shared with a cache, whose damage would be installed again.
        """
        return f"{self.state}/unpacked"

    def install(self, requirements: str) -> tuple[str, ...]:
        """The one command that installs: exact files out of the store, no network, nothing resolved again."""
        argv = (self.uv, "pip", "install", "--python", self.python, "--no-deps", "--require-hashes", "--no-build")
        places = ("--no-index", "--find-links", self.wheels, "--cache-dir", self.unpacked, "--link-mode", "hardlink")
        return (*argv, *places, "--requirements", requirements)


class Fetch(msgspec.Struct, frozen=True, kw_only=True, tag="fetch"):
    """Files to be had in a folder, whole and with the right content, however many starts it takes."""

    title: str
    folder: str
    wheels: tuple[Wheel, ...]

    def only(self, wheels: Iterable[Wheel]) -> Fetch:
        some = tuple(wheels)
        return Fetch(title=_count(some), folder=self.folder, wheels=some)


class Run(msgspec.Struct, frozen=True, kw_only=True, tag="run"):
    """A command: an argv list, and how its environment differs. It may be started again after it was killed."""

    title: str
    argv: tuple[str, ...]
    env: dict[str, str] = {}
    deadline_s: float = 3600.0

    def is_about(self, place: str) -> bool:
        """Whether it makes or asks what lies there, and not only the host."""
        return any(word.startswith(place) for word in self.argv)


class Write(msgspec.Struct, frozen=True, kw_only=True, tag="write"):
    """A file, written whole or not at all."""

    title: str
    path: str
    text: str
    mode: int = 0o644


class Need(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="need"):
    """What must hold before anything is changed; `hint` is what to do where it does not.

    `beside`: a folder whose disk another need speaks of; on that disk this one is met. Or torch's libraries.
    `capabilities`, `glibc`: what a wheel must have machine code for and may ask for, where nobody has looked yet.
    """

    title: str
    kind: Literal["free space", "memory", "glibc", "library", "locks", "torch's symbols"]
    path: str = ""
    mb: int = 0
    version: str = ""
    beside: str = ""
    capabilities: tuple[str, ...] = ()
    glibc: str = ""
    hint: str = ""


Action = Fetch | Run | Write | Need


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A numbered unit of work: a pure function from plan, lock and site to actions, and what it leaves behind.

    `leaves` names the distributions that are in the environment afterwards, at the lock's version and whole.
    """

    number: int
    name: str
    title: str
    why: str
    actions: Callable[[Plan, Lock, Site], tuple[Action, ...]]
    leaves: Callable[[Plan, Lock], tuple[str, ...]] = lambda plan, lock: ()  # noqa: ARG005 - most leave none

    @property
    def label(self) -> str:
        return f"{self.number}-{self.name}"


def fetch(pins: Iterable[Pin], site: Site) -> Fetch:
    """What an installation takes out of the store."""
    wheels = tuple(pin.wheel for pin in pins)
    return Fetch(title=_count(wheels), folder=site.wheels, wheels=wheels)


def _count(wheels: tuple[Wheel, ...]) -> str:
    return f"fetch {len(wheels)} wheel{'s' * (len(wheels) != 1)}"
