"""The package sources that answer: PyPI, PyTorch index, vLLM index, GitHub, or their mirrors."""

from __future__ import annotations

import msgspec

from provision.host._model import ALL, Fact, Missing, Probe, Readings, Unread

NAMES = ("pypi", "pytorch", "vllm", "github")

_SOURCES = Probe("sources", network=True)


class SourceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`detail` is the reason if the source does not answer; `late`: it may only be slow."""

    answers: bool
    detail: str = ""
    late: bool = False


def parse(readings: Readings) -> dict[str, SourceAnswer]:
    if _SOURCES.key not in readings.by_key:
        raise Unread(
            Missing(why="not read", detail="only verbs that plan or fetch ask package sources")
        )
    return msgspec.json.decode(readings.text(_SOURCES), type=dict[str, SourceAnswer])


FACT = Fact[dict[str, SourceAnswer]](
    title="Package sources", sources=(_SOURCES,), parse=parse, moving=ALL
)
