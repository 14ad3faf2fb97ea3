"""Plans with the optional package: its chooser, and the wheels of it that a prefix keeps."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import msgspec

from provision.catalog import rows
from provision.flash_attn import choose
from provision.plan._model import OPTIONAL, Plan, Refusal, Unsupported
from provision.plan.make import make
from provision.plan.optional import Chooser

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from provision.catalog.rows import Catalogue
    from provision.flash_attn.wheel_store import Kept
    from provision.host._model import Host
    from provision.settings import Settings
    from provision.steps.model import Lock

CHOOSER: Final[Chooser] = choose


def catalogue(prefix: str) -> Catalogue:
    if not os.path.isdir(prefix):
        return rows.load()
    from pathlib import Path

    from provision.flash_attn import wheel_store  # loading it takes an eighth of a plan

    return wheel_store.catalogue(Path(prefix), rows.load())


def make_plan(
    host: Host,
    settings: Settings,
    known: Catalogue,
    refusals: tuple[Refusal, ...] = (),
) -> Plan | Unsupported:
    return make(host, settings, known, refusals, optional=CHOOSER)


def choices() -> dict[str, str]:
    """Return choices outside the settings that change the environment."""
    from provision.flash_attn import partial_build

    only = partial_build.only()
    return {"only": only} if only else {}


def locked(prefix: Path, plan: Plan, lock: Lock) -> Lock:
    from provision.flash_attn import wheel_store

    return wheel_store.lock_kept_wheel(prefix, plan, lock)


def kept_wheels(prefix: Path) -> Iterable[Kept]:
    from provision.flash_attn import wheel_store

    return wheel_store.kept_wheels(prefix)


def plan_for_bundle(
    host: Host, settings: Settings, brought: tuple[Kept, ...]
) -> Plan | Unsupported:
    from provision.flash_attn import wheel_store

    # A third party's wheel in a bundle was allowed by the settings that made it.
    third_party = settings.flash_attn.third_party or any(wheel.third_party for wheel in brought)
    settings = msgspec.structs.replace(
        settings, flash_attn=msgspec.structs.replace(settings.flash_attn, third_party=third_party)
    )
    return make_plan(host, settings, wheel_store.with_wheels(brought, rows.load()))


def locked_from_bundle(plan: Plan, lock: Lock) -> Lock:
    """Return a bundle's lock without a wheel of the package that the plan does not name."""
    file = plan.flash_attn.wheel
    if any(pin.name == OPTIONAL and pin.wheel.file != file for pin in lock.pins):
        return lock.without((OPTIONAL,))
    return lock
