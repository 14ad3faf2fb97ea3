"""The fields that every row of the catalogue has."""

from __future__ import annotations

import msgspec


class Row(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """The fields of every row: the source of its figures, and the day they were read."""

    source: str
    read: str
