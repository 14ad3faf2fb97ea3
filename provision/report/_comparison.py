"""What a comparison of two runs says: single changes, and those that may be the cause of others beside them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

SCHEMA: Final = "vllm-ready/diff/1"

How = Literal["changed", "new", "gone", "worse", "better"]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it was, said in `text`. What is new has no `before`, what is gone no `after`.

    `name` is that of a figure. `gpus`: on which it shows, or which it is about. `part`: by how much a figure moved, as
    a part of what it was. `about`: the words by which a cause knows what it can touch.
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
    """Effects under what can have caused them; several causes: one of them, nobody can tell which."""

    causes: tuple[Change, ...] = ()
    effects: tuple[Change, ...] = ()


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """Which run it was."""

    run: str
    started: str
    verdict: str
    exit_code: int
    generation: str = ""
    host: str = ""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two runs. `silent` names again what got worse, or another, under the same verdict.

    `notes`: what could not be compared. `unjudged`: figures measured once that differ, which proves nothing.
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
        """Each once, also where it stands in several groups."""
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
    """Something of the host or the environment that became another."""
    how: How = "changed" if before and after else "new" if after else "gone"
    text = f"{subject} {before} -> {after}" if how == "changed" else f"{subject} {how}: {before or after}"
    return Change(
        area=area,
        subject=subject,
        how=how,
        before=before,
        after=after,
        text=text,
        gpus=tuple(gpus),
        about=about or subject,
    )
