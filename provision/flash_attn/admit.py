"""A flash-attn wheel enters the store only if it is what it says and right for the plan; published ones are fetched."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from provision.binary import wheel
from provision.binary.wheel import WheelTruth
from provision.catalog.rows import Catalogue, Machine, TorchRelease
from provision.engine import fetch, store
from provision.engine.bring_up import Asked
from provision.engine.events import Subscriber
from provision.engine.uv import planned
from provision.flash_attn import wheel_store
from provision.flash_attn.wheel_store import Kept
from provision.host import compilers, cpu, cuda_toolkits, memory
from provision.host._model import Fact, Host
from provision.plan import against_wheel
from provision.plan._model import Plan
from provision.plan.choose_toolkit import torch_cuda
from provision.plan.versions import minor
from provision.steps.model import Fetch, Wheel

FACTS: Final[tuple[Fact[Any], ...]] = (compilers.FACT, cuda_toolkits.FACT, cpu.FACT, memory.FACT)


class Refused(Exception):  # noqa: N818 - no fault of anybody's: the planner is asked again
    """This candidate cannot be had, or must not be installed; the reason is one sentence."""


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What every way to a wheel starts from; `host` knows at least FACTS, the caller holds the prefix's `lock`."""

    asked: Asked
    host: Host
    catalogue: Catalogue
    index: str
    events: Subscriber
    lock: int

    @property
    def prefix(self) -> Path:
        return Path(self.asked.prefix)

    @property
    def torch(self) -> str:
        return (self.asked.lock.version("torch") or "").partition("+")[0]

    @property
    def release(self) -> TorchRelease | None:
        return next((row for row in self.catalogue.torch if row.version == self.torch), None)

    @property
    def cxx11_abi(self) -> bool:
        """Every torch since 2.7 has the new one."""
        plan, builds = self.asked.plan, self.release.builds if self.release else ()
        here = (machine(plan), torch_cuda(plan))
        known = [one.cxx11_abi for one in builds if (one.machine, one.cuda) == here]
        return next((abi for abi in known if abi is not None), True)


def fetched(ground: Ground, published: Wheel) -> Kept:
    """A published wheel; what its name promises is looked up in the file before anybody installs it."""
    action = Fetch(title="fetch flash-attn", folder=str(ground.prefix / store.FOLDER), wheels=(published,))
    fetch.fetch(action, ground.asked.environment, ground.events)
    path = ground.prefix / store.FOLDER / published.file
    try:
        return admitted(ground, path, origin="fetched", made_from={"url": published.without_token().url})
    except Refused:
        path.unlink(missing_ok=True)
        raise


def admitted(
    ground: Ground,
    path: Path,
    *,
    origin: Literal["built", "fetched"],
    made_from: dict[str, str],
    seconds: float = 0.0,
) -> Kept:
    """Into the store, if it is what it should be for this plan's GPUs, Python and C library."""
    plan = ground.asked.plan
    python, its_machine = plan.python, machine(plan)
    path, truth = _read(path, planned(plan, "flash-attn").version)
    reasons = against_wheel.against(
        truth,
        distribution="flash-attn",
        python=python,
        machine=its_machine,
        glibc=plan.glibc,
        capabilities=plan.flash_attn.arches,
    )
    if reasons:
        raise Refused("; ".join(reasons))
    cuda = torch_cuda(plan)
    return wheel_store.keep(
        ground.prefix,
        path,
        Kept(
            file=path.name,
            sha256="",
            size=0,
            version=truth.version,
            torch=ground.torch if origin == "built" else minor(ground.torch),
            cuda=cuda,
            cpython=f"cp{python.replace('.', '')}",
            cxx11_abi=truth.cxx11_abi if truth.cxx11_abi is not None else ground.cxx11_abi,
            machine=its_machine,
            glibc=truth.glibc or "2.0",
            sm=truth.sm,
            origin=origin,
            third_party=plan.flash_attn.origin == "third party",
            made_from=made_from,
            seconds=round(seconds, 1),
            made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        ),
    )


def _read(path: Path, version: str) -> tuple[Path, WheelTruth]:
    """Some release files are named as the release before, and uv takes no file that is not what its name says."""
    try:
        truth = wheel.read(path)
        name, named, rest = path.name.split("-", 2)
        public, plus, local = named.partition("+")
        if public != version == truth.version:
            path = path.rename(path.with_name(f"{name}-{version}{plus}{local}-{rest}"))
            truth = wheel.read(path)
    except ValueError as error:
        raise Refused(str(error)) from error
    return path, truth


def machine(plan: Plan) -> Machine:
    return "x86_64" if plan.platform.startswith("x86_64-") else "aarch64"
