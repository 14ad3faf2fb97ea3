"""The result of reading one source."""

from __future__ import annotations

from typing import Literal

import msgspec


class Reading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The unchanged text of one source, or the reason why there is none.

    Absent, refused, late and failed sources are different outcomes and are never mixed up.
    """

    outcome: Literal["ok", "absent", "refused", "timed out", "failed"]
    text: str = ""
    detail: str = ""
