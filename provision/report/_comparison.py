"""The comparison of two runs: single changes, and the causes that each effect may have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

SCHEMA: Final = "vllm-ready/diff/1"

How = Literal["changed", "new", "gone", "worse", "better"]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One difference, as a sentence in `text`. A new thing has no `before`, a gone one no `after`.

    `name` is that of a figure. `gpus` are those that the change is about. `part` is the change of
    a figure as a fraction of its earlier value. `about` holds the words that match it to a cause.
    """

    area: Literal["host", "environment", "check", "figure"]
    subject: str
    name: str = ""
    how: How = "changed"
    before: str = ""
    after: str = ""
    text: str
    gpus: tuple[str, ...] = ()
    about: str = ""
    part: float = 0.0


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Effects and their possible causes; of several causes any one may be the real one."""

    causes: tuple[Change, ...] = ()
    effects: tuple[Change, ...] = ()


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two runs."""

    run: str
    started: str
    verdict: str
    exit_code: int
    generation: str = ""
    host: str = ""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two runs. `silent` repeats the changes for the worse that an equal verdict would hide.

    `notes` name what could not be compared. `unjudged` are figures that were measured once and
    differ, which proves nothing.
    """

    schema: Literal["vllm-ready/diff/1"] = SCHEMA
    before: Side
    after: Side
    other_host: bool = False
    silent: tuple[Change, ...] = ()
    groups: tuple[Group, ...] = ()
    notes: tuple[str, ...] = ()
    unjudged: tuple[str, ...] = ()

    @property
    def causes(self) -> tuple[Change, ...]:
        """Return every cause once, even one that is in several groups."""
        return tuple(dict.fromkeys(change for group in self.groups for change in group.causes))

    @property
    def effects(self) -> tuple[Change, ...]:
        return tuple(change for group in self.groups for change in group.effects)


def change(
    area: Literal["host", "environment"],
    subject: str,
    before: str,
    after: str,
    gpus: Iterable[str] = (),
    about: str = "",
) -> Change:
    how: How = "changed" if before and after else "new" if after else "gone"
    is_changed = how == "changed"
    return Change(
        area=area,
        subject=subject,
        how=how,
        before=before,
        after=after,
        text=f"{subject} {before} -> {after}"
        if is_changed
        else f"{subject} {how}: {before or after}",
        gpus=tuple(gpus),
        about=about or subject,
    )
