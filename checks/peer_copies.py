"""Whether what one GPU copies to another arrives, byte by byte, over every pair and in both directions."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from . import _devices, _pairs
from ._contract import Check, Context, Needs, Verdict, whole

# Bytes, and how far source and destination lie off the start of their memory: one, a page and more, many.
_CASES = ((1, 0, 0), (4_097, 1, 3), (2**20 + 3, 0, 1), (2**23 + 5, 3, 0))
_AROUND, _UNTOUCHED = 64, 0xA5
_STUCK_S = 60.0


def body(context: Context) -> Verdict:
    torch: Any = importlib.import_module("torch")
    gpus = whole(context.gpus)
    seen, count = torch.cuda.device_count(), len(gpus)
    if seen < count:
        return Verdict(passed=False, summary=f"torch sees {seen} GPUs of {count}", hint="see the check gpus_seen")
    links = _pairs.links(context.facts, gpus)
    access = {pair: bool(torch.cuda.can_device_access_peer(*pair)) for pair in _pairs.pairs(count)}
    with _devices.room():
        found = judged(torch, [f"cuda:{number}" for number in range(count)], _copy, _STUCK_S, denied(access, links))
    told = [{"pair": _pairs.name(pair), "link": links.get(pair), "peer_access": can} for pair, can in access.items()]
    hint = "" if found.passed else _pairs.suspect(context.facts)
    return replace(found, evidence=found.evidence | {"pairs": told}, hint=hint, gpus=gpus)


def _copy(destination: Any, source: Any) -> None:
    """By the driver, directly where the two may access each other and else by way of the host."""
    destination.copy_(source)


def denied(access: dict[_pairs.Pair, bool], links: dict[_pairs.Pair, str]) -> list[str]:
    """NVLink always comes with peer access; over PCIe some GPUs are sold without."""
    without = [pair for pair, can in access.items() if links.get(pair, "").startswith("NV") and not can]
    return [f"{_pairs.name(pair)}: joined by {links[pair]}, and no peer access" for pair in without]


def judged(
    torch: Any, devices: list[str], copy: Callable[[Any, Any], None], stuck_s: float, problems: list[str]
) -> Verdict:
    problems = list(problems)
    hangs = _pairs.stuck(_every_pair(torch, devices, copy, problems), stuck_s)
    if hangs:
        problems.insert(0, f"{hangs}: a copy does not end within {stuck_s:g} s")
    evidence = {"problems": problems, "bytes": [size for size, _, _ in _CASES], "method": _METHOD}
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        return Verdict(passed=False, summary="; ".join(problems[:3]) + more, evidence=evidence)
    ordered = len(_pairs.pairs(len(devices)))
    summary = f"over each of {ordered} ordered pairs of GPUs {len(_CASES)} copies arrived byte by byte"
    return Verdict(passed=True, summary=summary, evidence=evidence)


_METHOD = "a pattern of position and pair; compared with the host's on the destination, and again back on the host"


def _every_pair(torch: Any, devices: list[str], copy: Callable[[Any, Any], None], problems: list[str]) -> Iterator[str]:
    patterns = {size: pattern(torch, size) for size in sorted({size for size, _, _ in _CASES})}
    for number, pair in enumerate(_pairs.pairs(len(devices)), start=1):
        yield _pairs.name(pair)
        try:
            for size, before, after in _CASES:
                given = patterns[size] + number  # bytes wrap: what an earlier pair left behind is wrong everywhere
                text = _tried(torch, copy, given, (devices[pair[0]], before), (devices[pair[1]], after))
                if text:
                    problems.append(f"{_pairs.name(pair)}: {size} bytes: {text}")
                    break
        except RuntimeError as problem:  # what the driver says is the finding
            if _devices.full(problem):
                raise
            problems.append(f"{_pairs.name(pair)}: {str(problem).strip().splitlines()[0]}")


def pattern(torch: Any, size: int) -> Any:
    """Bytes that tell where they belong: no two blocks of it are alike, at whatever distance."""
    position = torch.arange(size, dtype=torch.int64)
    return (((position * 2_654_435_761) ^ (position >> 7) * 40_503) >> 11 & 0xFF).to(torch.uint8)


def _tried(
    torch: Any, copy: Callable[[Any, Any], None], given: Any, source: tuple[str, int], destination: tuple[str, int]
) -> str:
    """What is wrong with one copy, if anything; what lies around it must stay as it was."""
    (sender, before), (receiver, after) = source, destination
    skipped, lead, trail = (
        torch.full((length,), _UNTOUCHED, dtype=torch.uint8) for length in (before, _AROUND + after, _AROUND)
    )
    sent = torch.cat([skipped, given]).to(sender)[before:]
    wanted = torch.cat([lead, given, trail])
    # What lies there before differs in every byte, so that nothing that did not come can be taken for it.
    received = torch.cat([lead, 255 - given, trail]).to(receiver)
    if text := _first_wrong(sent.cpu(), given, 0):
        return f"the first GPU does not give back what the host wrote there: {text}"
    copy(received[len(lead) : len(lead) + len(given)], sent)
    for device in {sender, receiver} - {"cpu"}:
        torch.cuda.synchronize(device)
    there = _first_wrong(received, wanted.to(receiver), len(lead))
    back = _first_wrong(received.cpu(), wanted, len(lead))
    if there and not back:
        return f"wrong where the second GPU looks ({there}), and right back on the host"
    return there or (back and f"right on the second GPU, and wrong back on the host: {back}")


def _first_wrong(found: Any, wanted: Any, lead: int) -> str:
    if found.equal(wanted):
        return ""
    wrong = (found != wanted).nonzero()
    at = int(wrong[0])
    return f"{len(wrong)} wrong, the first is byte {at - lead}: {int(found[at])} instead of {int(wanted[at])}"


CHECK = Check(
    name="peer_copies",
    title="Copies between GPUs",
    proves="what any GPU copies to any other arrives byte by byte, and GPUs joined by NVLink may access each other",
    step=40,
    weight="must",
    on="environment",
    profile="quick",
    deadline_s=300,
    needs=Needs(packages=("torch",), profile="cuda", gpus=2),
    body=body,
    every_gpu=True,
)
