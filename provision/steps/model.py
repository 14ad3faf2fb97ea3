"""Step, Fetch, Run, Write and Need: the words of numbered steps. Only the engine executes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

import msgspec

from provision.errors import StepFailed
from provision.plan._model import OPTIONAL_DISTRIBUTIONS, Plan
from provision.steps.wheel_folder import FOLDER


class Wheel(msgspec.Struct, frozen=True, kw_only=True):
    """One published file: its address and the hash of its content. `size` is 0 if unknown."""

    url: str
    sha256: str
    size: int = 0

    @property
    def file(self) -> str:
        # Decoded first: %2F in an address must be no way out of a folder.
        return unquote(urlsplit(self.url).path).rpartition("/")[2]

    def without_token(self) -> Wheel:
        """Return it without the query of its address, which may be a signature."""
        return msgspec.structs.replace(
            self, url=urlsplit(self.url)._replace(query="", fragment="").geturl()
        )


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """One distribution of the lock, and the wheel that brings it."""

    name: str
    version: str
    wheel: Wheel

    @property
    def requirement(self) -> str:
        version = self._named
        # ==2.13.0 would take a 2.13.0+cpu that lies beside it, too; === does not.
        exactly = "==" if "+" in version else "==="
        return f"{self.name}{exactly}{version} \\\n    --hash=sha256:{self.wheel.sha256}\n"

    @property
    def _named(self) -> str:
        """The version in the file's name, which uv checks: some release files add a local part."""
        named = self.wheel.file.split("-")[1:2]
        return (
            named[0].lower()
            if named and named[0].partition("+")[0] == self.version
            else self.version
        )


INSTALLERS: Final = ("pip", "uv")  # every new environment has them


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """The whole environment, resolved before anything changes: each distribution with its file."""

    pins: tuple[Pin, ...]

    @property
    def text(self) -> str:
        return requirements(self.pins)

    def version(self, name: str) -> str | None:
        return next((pin.version for pin in self.pins if pin.name == name), None)

    def without_tokens(self) -> Lock:
        """Return a lock that everyone may read: a signature in an address is a secret."""
        replace = msgspec.structs.replace
        return Lock(pins=tuple(replace(pin, wheel=pin.wheel.without_token()) for pin in self.pins))

    def without(self, names: Iterable[str]) -> Lock:
        left_out = frozenset(names)
        return Lock(pins=tuple(pin for pin in self.pins if pin.name not in left_out))

    def some(self, names: Iterable[str]) -> tuple[Pin, ...]:
        chosen = frozenset(names)
        return tuple(pin for pin in self.pins if pin.name in chosen)

    @property
    def optional(self) -> tuple[Pin, ...]:
        return self.some(OPTIONAL_DISTRIBUTIONS)

    @property
    def required(self) -> Lock:
        """The lock without the optional package, which its own step installs and tries."""
        return self.without(OPTIONAL_DISTRIBUTIONS)


def requirements(pins: Iterable[Pin]) -> str:
    return "".join(pin.requirement for pin in pins)


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Every place that a step may name. `generation` is the virtual environment that is built.

    `temporary` and `logs` are written on the way, `models` is the folder of HF_HOME; "" means that
    the place has to meet no need. `elsewhere`: the plan's GPUs are on another host than this one.
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
        """The folder of plan, lock, journal and verified reports, inside the environment."""
        return f"{self.generation}/.vllm-ready"

    @property
    def lock_file(self) -> str:
        return f"{self.state}/lock.txt"

    @property
    def toolkit(self) -> str:
        """CUDA_HOME, if the CUDA compiler came in wheels."""
        return f"{self.generation}/cuda"

    @property
    def wheels(self) -> str:
        """The store: every wheel of every lock, as it was published."""
        return f"{self.prefix}/{FOLDER}"  # engine/store.py keeps it small

    @property
    def unpacked(self) -> str:
        """The folder in which uv unpacks wheels for this environment only.

        uv links files from it into place, and then it is removed. So nothing is copied, and no file
        is shared with a cache whose damage would be installed again.
        """
        return f"{self.state}/unpacked"

    def install(self, requirements: str) -> tuple[str, ...]:
        """Return the command that installs exact files out of the store, without a network."""
        return (
            *(self.uv, "pip", "install", "--python", self.python, "--no-deps"),
            *("--require-hashes", "--no-build", "--no-index", "--find-links", self.wheels),
            *("--cache-dir", self.unpacked, "--link-mode", "hardlink"),
            *("--requirements", requirements),
        )


class Fetch(msgspec.Struct, frozen=True, kw_only=True, tag="fetch"):
    """Files to fetch into a folder, complete and with the right content. A retry resumes."""

    title: str
    folder: str
    wheels: tuple[Wheel, ...]

    def only(self, wheels: Iterable[Wheel]) -> Fetch:
        some = tuple(wheels)
        return Fetch(title=_count(some), folder=self.folder, wheels=some)


class Run(msgspec.Struct, frozen=True, kw_only=True, tag="run"):
    """A command: an argv list, with changes to its environment. It may run again after a kill."""

    title: str
    argv: tuple[str, ...]
    env: dict[str, str] = {}
    deadline_s: float = 3600.0

    def is_about(self, place: str) -> bool:
        """Return whether it names something at a place, and not only on the host."""
        return any(word.startswith(place) for word in self.argv)


class Write(msgspec.Struct, frozen=True, kw_only=True, tag="write"):
    """A file to write, completely or not at all."""

    title: str
    path: str
    text: str
    mode: int = 0o644


class Need(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="need"):
    """A condition that must hold before anything is changed; `hint` says how to meet it.

    `beside` is a folder on whose disk another need covers this one, or the folder of torch's
    libraries. A wheel that was not inspected yet must have code for `capabilities` and accept
    `glibc`.
    """

    title: str
    kind: Literal[
        "free space",
        "memory",
        "glibc",
        "library",
        "locks",
        "shared memory",
        "readable",
        "loopback",
        "torch's symbols",
    ]
    path: str = ""
    mb: int = 0
    version: str = ""
    beside: str = ""
    capabilities: tuple[str, ...] = ()
    glibc: str = ""
    hint: str = ""


Action = Fetch | Run | Write | Need


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A numbered unit of work: a pure function from plan, lock and site to actions.

    `leaves` names the distributions that the environment then holds, complete and at the lock's
    version. The engine goes on without an `optional` step where none of its candidates works.
    `parts` names further steps that make a candidate, by number.
    """

    number: int
    name: str
    title: str
    why: str
    actions: Callable[[Plan, Lock, Site], tuple[Action, ...]]
    leaves: Callable[[Plan, Lock], tuple[str, ...]] = lambda plan, lock: ()  # noqa: ARG005 - default
    optional: bool = False
    parts: dict[int, str] = {}

    @property
    def label(self) -> str:
        return f"{self.number}-{self.name}"


class CandidateRefused(Exception):  # noqa: N818 - nothing failed: the next candidate is tried
    """A candidate of an optional step cannot be used; the text is the reason, one sentence."""


class WheelWork(msgspec.Struct, frozen=True, kw_only=True):
    """The work that brings the wheel of a candidate: a file to fetch, or steps in a toolkit.

    `folder` names the toolkit below the prefix's toolkits, and `lock` is what is installed in it.
    `wheel` returns the wheel that the work has left at a site. `keep` takes it into the store,
    given the seconds of work, or raises CandidateRefused. `refusal` returns the reason that a
    failed step is against the candidate, or "" if a retry may help.
    """

    wheel: Callable[[Site], Path | None]
    keep: Callable[[Path, float], None]
    fetch: Fetch | None = None
    folder: str = ""
    lock: Lock = Lock(pins=())
    steps: tuple[Step, ...] = ()
    note: str = ""  # said before the work begins
    refusal: Callable[[StepFailed], str] = lambda failure: ""  # noqa: ARG005 - default


class WheelCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """One way to bring the wheel of an optional step into the store. The engine tries it.

    `tools` are requirements that the engine resolves beside the plan's lock. `work` takes their
    lock and returns what is to be done, or raises CandidateRefused.
    """

    work: Callable[[Lock], WheelWork]
    tools: tuple[str, ...] = ()


def fetch(pins: Iterable[Pin], site: Site) -> Fetch:
    wheels = tuple(pin.wheel for pin in pins)
    return Fetch(title=_count(wheels), folder=site.wheels, wheels=wheels)


def _count(wheels: tuple[Wheel, ...]) -> str:
    return f"fetch {len(wheels)} wheel{'s' * (len(wheels) != 1)}"
