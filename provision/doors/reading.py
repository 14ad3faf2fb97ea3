"""What one source said, as the doors hand it in."""

from __future__ import annotations

from typing import Literal

import msgspec


class Reading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one source said: its text as it was, or why there is none. These are never mixed up."""

    outcome: Literal["ok", "absent", "refused", "timed out", "failed"]
    text: str = ""
    detail: str = ""
