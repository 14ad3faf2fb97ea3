"""A report as its JSON document."""

from __future__ import annotations

import msgspec

from provision.report._model import Report


def text(report: Report) -> str:
    """Return the document as it was written; a verdict that it does not support is named first."""
    doubt = {"doubt": report.doubt} if report.doubt else {}
    document = {**doubt, **msgspec.to_builtins(report)}
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"
