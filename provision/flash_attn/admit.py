"""Orders for a flash-attn wheel, and its admission into the store after it was inspected."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from provision.binary import wheel
from provision.binary.wheel import WheelContents
from provision.catalog.rows import Catalogue, Machine, TorchRelease
from provision.doors.addresses import Connection
from provision.flash_attn import wheel_store
from provision.flash_attn.wheel_store import Kept
from provision.host import compilers, cpu, cuda_toolkits, memory
from provision.host._model import Fact, Host
from provision.plan import against_wheel
from provision.plan._model import Plan
from provision.plan.choose_toolkit import torch_cuda
from provision.plan.versions import minor
from provision.settings import Settings
from provision.steps.model import CandidateRefused, Lock

FACTS: Final[tuple[Fact[Any], ...]] = (compilers.FACT, cuda_toolkits.FACT, cpu.FACT, memory.FACT)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The planned wheel, and all that is needed to fetch or compile it.

    `host` knows at least FACTS; `index` is the address of the package index.
    """

    plan: Plan
    lock: Lock
    prefix: Path
    settings: Settings
    host: Host
    catalogue: Catalogue
    index: str
    connection: Connection

    @property
    def version(self) -> str:
        return self.plan.optional.version if self.plan.optional else ""

    @property
    def torch(self) -> str:
        return (self.lock.version("torch") or "").partition("+")[0]

    @property
    def release(self) -> TorchRelease | None:
        return next((row for row in self.catalogue.torch if row.version == self.torch), None)

    @property
    def machine(self) -> Machine:
        return "x86_64" if self.plan.platform.startswith("x86_64-") else "aarch64"

    @property
    def cxx11_abi(self) -> bool:
        """Return whether this torch has the new C++ ABI, as every torch since 2.7."""
        builds = self.release.builds if self.release else ()
        here = (self.machine, torch_cuda(self.plan))
        known = (build.cxx11_abi for build in builds if (build.machine, build.cuda) == here)
        return next((abi for abi in known if abi is not None), True)


def admit(
    order: Order,
    path: Path,
    *,
    origin: Literal["built", "fetched"],
    made_from: dict[str, str],
    seconds: float,
) -> None:
    """Take a wheel into the store if it suits the plan's GPUs, Python and C library.

    Raise CandidateRefused if its contents do not. A file name promises nothing.
    """
    plan = order.plan
    path, truth = _read(path, order.version)
    if reasons := against_wheel.reasons_against(
        truth,
        distribution="flash-attn",
        python=plan.python,
        machine=order.machine,
        glibc=plan.glibc,
        capabilities=plan.flash_attn.arches,
    ):
        raise CandidateRefused("; ".join(reasons))
    wheel_store.keep(
        order.prefix,
        path,
        Kept(
            file=path.name,
            sha256="",
            size=0,
            version=truth.version,
            # A wheel that was built here was linked with this very torch.
            torch=order.torch if origin == "built" else minor(order.torch),
            cuda=torch_cuda(plan),
            cpython=f"cp{plan.python.replace('.', '')}",
            cxx11_abi=truth.cxx11_abi if truth.cxx11_abi is not None else order.cxx11_abi,
            machine=order.machine,
            glibc=truth.glibc or "2.0",
            sm=truth.sm,
            origin=origin,
            third_party=plan.flash_attn.origin == "third party",
            made_from=made_from,
            seconds=round(seconds, 1),
            made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        ),
    )


def _read(path: Path, version: str) -> tuple[Path, WheelContents]:
    """Read a wheel, and rename its file where it is named after the release before.

    uv installs no file whose name differs from its contents.
    """
    try:
        truth = wheel.read(path)
        name, named, rest = path.name.split("-", 2)
        public, plus, local = named.partition("+")
        if public != version == truth.version:
            path = path.rename(path.with_name(f"{name}-{version}{plus}{local}-{rest}"))
            truth = wheel.read(path)
    except ValueError as error:
        raise CandidateRefused(str(error)) from error
    return path, truth
