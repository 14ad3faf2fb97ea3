"""The GPUs that a text lists, with their MIG slices and capabilities."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from provision.host import gpus
from provision.host._model import Found, Missing
from provision.host.accelerators import by_name
from provision.host.from_paste._paste import NOTHING

if TYPE_CHECKING:
    from provision.host.from_paste._lines import Line
    from provision.host.from_paste._paste import Paste

    # The line with the name of each GPU by number, and those of its MIG slices.
    List = dict[int, list[Line]]

_TITLE: Final = "gpu models and configuration"
_GPU: Final = re.compile(r"GPU (\d{1,3})\s?:\s*(\S.*)")
_NAME: Final = re.compile(
    r"NVIDIA|Tesla|GeForce|Quadro|TITAN|GRID|RTX|Orin|Thor|Xavier|(?:GB|GH|[ABHLMPTV])\d{1,4}\b"
)
_OTHER_MAKER: Final = re.compile(r"AMD|Radeon|Intel|.*\(gfx\d", re.IGNORECASE)
_AFTER_NAME: Final = re.compile(r"\s*\((?:UUID|arch|compute|cc\b|sm_).*", re.IGNORECASE)
# A bracket that was cut, or a quote mark of the line that followed: in no name.
_BEHIND: Final = re.compile(r"\s*(?:\([^)]*|>.*)$")
_MIG: Final = re.compile(r"MIG (\d+[cg]\.\S+)\s+Device\s+(\d{1,2})")
_CC: Final = re.compile(
    r"\((?:arch\s*=|compute capability|cc)\s*[:=]?\s*(\d{1,2}\.\d)\b", re.IGNORECASE
)
_CC_WARNING: Final = re.compile(
    r"Found GPU(\d{1,3}) .{1,80}? which is of cuda capability (\d{1,2}\.\d)\b"
)


def read(paste: Paste) -> Found | None:
    found = lists(paste)
    if not found:
        return _without_list(paste)
    first = found[0]
    if paste.is_cut:
        _mend_cut_name(first, paste.lines[-1].text)
    warnings = [
        (match, line.number) for line in paste.lines if (match := _CC_WARNING.search(line.text))
    ]
    capabilities = {match[1]: match[2] for match, _ in warnings}
    return Found(
        tuple(
            _gpu(number, [line.text for line in lines], capabilities.get(str(number)))
            for number, lines in sorted(first.items())
        ),
        (
            *(line.number for lines in first.values() for line in lines),
            *(number for _, number in warnings),
        ),
        _contradiction(found),
    )


def _without_list(paste: Paste) -> Found | None:
    values = paste.values(_TITLE)
    if not values:
        return None
    value, lines = values[0].text, (values[0].number,)
    if value.lower() == "no cuda":  # collect_env's words for torch without driver and GPU
        return Found((), lines)
    if NOTHING.fullmatch(value):
        detail = f"{paste.name} lists no GPU: {value or 'nothing'!r}"
        return Found(Missing(why="not read", detail=detail), lines)
    detail = f"{paste.name} lists no NVIDIA GPU: {value[:80]!r}"
    return Found(Missing(why="absent", detail=detail), lines)


def lists(paste: Paste) -> list[List]:
    """Return every list of GPUs in a text. A repeated number begins another list."""
    found: list[List] = []
    listed: List = {}
    current: list[Line] = []
    in_list = False  # of collect_env, where a cloud may give a GPU any name
    for line in paste.lines:
        is_title = line.text.startswith("GPU models")
        in_list = is_title or (in_list and bool(_GPU.match(line.text)))
        part = line.text.partition("configuration")[2].lstrip(" :") if is_title else line.text
        gpu, mig = _GPU.match(part), _MIG.match(part)
        if gpu and (_NAME.match(gpu[2]) or (in_list and not _is_other(gpu[2]))):
            if int(gpu[1]) in listed:
                found.append(listed)
                listed = {}
            current = listed[int(gpu[1])] = [line._replace(text=gpu[2])]
        elif mig:
            current.append(line._replace(text=part))
        elif part:
            current = []
    return [*found, listed] if listed else found


def _is_other(name: str) -> bool:
    return bool(_OTHER_MAKER.match(name)) or by_name(name) is not None


def _contradiction(found: list[List]) -> str:
    """Return which other list of a text has other GPUs. Old tables cut long names."""

    def names(listed: List) -> list[str]:
        return [_bare_name(lines[0].text) for _, lines in sorted(listed.items())]

    first = names(found[0])
    for other in found[1:]:
        theirs = names(other)
        same = len(first) == len(theirs) and all(
            one.startswith(two) or two.startswith(one)
            for one, two in zip(first, theirs, strict=True)
        )
        if not same:
            return " and ".join(
                f"{'GPUs: ' if listed is found[0] else ''}{len(listed)} from line"
                f" {min(line.number for lines in listed.values() for line in lines)}"
                for listed in (found[0], other)
            )
    return ""


def _bare_name(text: str) -> str:
    return _BEHIND.sub("", _AFTER_NAME.sub("", text)).strip()


def _mend_cut_name(listed: List, last_line: str) -> None:
    """Complete a name at the end of a cut text: "A10" beside three "A100" is an A100."""
    last_number = list(listed)[-1]
    cut = listed[last_number][0]
    complete_names = [
        lines[0].text
        for number, lines in listed.items()
        if number != last_number and lines[0].text.startswith(cut.text)
    ]
    if len(listed[last_number]) == 1 and last_line.endswith(cut.text) and complete_names:
        listed[last_number] = [cut._replace(text=complete_names[-1])]


def _gpu(number: int, texts: list[str], cc: str | None) -> gpus.Gpu:
    name = _bare_name(texts[0])
    slices = tuple(
        _slice(number, match[1], match[2])
        for match in (_MIG.match(text) for text in texts[1:])
        if match
    )
    stated = _CC.search(texts[0])
    return gpus.Gpu(
        id=str(number),
        name=name,
        cc=stated[1] if stated else cc,
        mig=True if slices else None,
        slices=slices,
        vgpu=gpus.is_vgpu(name),
        integrated=gpus.is_integrated(name),
    )


def _slice(gpu: int, profile: str, index: str) -> gpus.MigSlice:
    memory = re.search(r"\.(\d+)gb", profile)
    return gpus.MigSlice(
        id=f"{gpu}:{int(index)}", profile=profile, memory_gb=float(memory[1]) if memory else None
    )
