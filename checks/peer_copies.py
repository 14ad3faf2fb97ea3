"""Checks that copies between GPUs arrive byte by byte, over every pair and in both directions."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from . import _devices, _pairs
from ._contract import Check, Context, Needs, Verdict, whole_gpus
from ._host import first_of

# Bytes, and the offsets of source and destination in their memory: a single byte, a page and
# more, and many. Odd sizes and offsets, so that both ends of a copy are tried, too.
_CASES = ((1, 0, 0), (4_097, 1, 3), (2**20 + 3, 0, 1), (2**23 + 5, 3, 0))
_AROUND, _UNTOUCHED = 64, 0xA5
_HANG_S = 60.0
_METHOD = (
    "a pattern of position and pair; compared with the host's on the destination, "
    "and again back on the host"
)

Copy = Callable[[Any, Any], None]


def body(context: Context) -> Verdict:
    torch: Any = importlib.import_module("torch")
    gpus = whole_gpus(context.gpus)
    visible, count = torch.cuda.device_count(), len(gpus)
    if visible < count:
        return Verdict(
            passed=False,
            summary=f"torch sees {visible} GPUs of {count}",
            hint="see the check gpus_seen",
        )
    links = _pairs.links(context.facts, gpus)
    access = {pair: bool(torch.cuda.can_device_access_peer(*pair)) for pair in _pairs.pairs(count)}
    devices = [f"cuda:{number}" for number in range(count)]
    with _devices.errors_if_full():
        verdict = judge(torch, devices, _copy, _HANG_S, missing_access(access, links))
    return replace(
        verdict,
        evidence={
            **verdict.evidence,
            "pairs": [
                {"pair": _pairs.name(pair), "link": links.get(pair), "peer_access": can}
                for pair, can in access.items()
            ],
        },
        hint="" if verdict.passed else _pairs.describe_suspects(context.facts),
        gpus=gpus,
    )


def _copy(destination: Any, source: Any) -> None:
    # The driver copies directly if the two GPUs may access each other, else through the host.
    destination.copy_(source)


def missing_access(access: dict[_pairs.Pair, bool], links: dict[_pairs.Pair, str]) -> list[str]:
    """Return the pairs with NVLink and without peer access; over PCIe some GPUs are sold so."""
    return [
        f"{_pairs.name(pair)}: joined by {links[pair]}, and no peer access"
        for pair, can in access.items()
        if links.get(pair, "").startswith("NV") and not can
    ]


def judge(
    torch: Any, devices: list[str], copy: Copy, hang_s: float, known_problems: list[str]
) -> Verdict:
    problems = list(known_problems)
    hanging = _pairs.find_hang(_try_pairs(torch, devices, copy, problems), hang_s)
    if hanging:
        problems.insert(0, f"{hanging}: a copy does not end within {hang_s:g} s")
    evidence = {"problems": problems, "bytes": [size for size, _, _ in _CASES], "method": _METHOD}
    return Verdict(
        passed=not problems,
        summary=first_of(problems)
        or f"over each of {len(_pairs.pairs(len(devices)))} ordered pairs of GPUs "
        f"{len(_CASES)} copies arrived byte by byte",
        evidence=evidence,
    )


def _try_pairs(torch: Any, devices: list[str], copy: Copy, problems: list[str]) -> Iterator[str]:
    """Yield the name of each pair before it is tried, and add what is wrong to the problems."""
    patterns = {size: pattern(torch, size) for size in sorted({size for size, _, _ in _CASES})}
    for number, pair in enumerate(_pairs.pairs(len(devices)), start=1):
        name = _pairs.name(pair)
        yield name
        try:
            for size, before, after in _CASES:
                # Each pair has its own bytes (they wrap), so that what an earlier pair left
                # behind is wrong everywhere.
                data = patterns[size] + number
                source, destination = (devices[pair[0]], before), (devices[pair[1]], after)
                if text := _try_copy(torch, copy, data, source, destination):
                    problems.append(f"{name}: {size} bytes: {text}")
                    break
        except RuntimeError as error:  # the driver's words are the finding
            if _devices.means_full(error):
                raise
            problems.append(f"{name}: {str(error).strip().splitlines()[0]}")


def pattern(torch: Any, size: int) -> Any:
    """Return bytes that show their position: no two blocks are alike, at any distance."""
    position = torch.arange(size, dtype=torch.int64)
    return (((position * 2_654_435_761) ^ (position >> 7) * 40_503) >> 11 & 0xFF).to(torch.uint8)


def _try_copy(
    torch: Any, copy: Copy, data: Any, source: tuple[str, int], destination: tuple[str, int]
) -> str:
    """Return what is wrong with one copy, or with the bytes around it, which must not change."""
    (sender, before), (receiver, after) = source, destination
    skipped, lead, trail = (
        torch.full((length,), _UNTOUCHED, dtype=torch.uint8)
        for length in (before, _AROUND + after, _AROUND)
    )
    sent = torch.cat([skipped, data]).to(sender)[before:]
    expected = torch.cat([lead, data, trail])
    # The destination first differs in every byte, so that a byte that did not arrive shows.
    received = torch.cat([lead, 255 - data, trail]).to(receiver)
    if text := _first_wrong(sent.cpu(), data, 0):
        return f"the first GPU does not give back what the host wrote there: {text}"
    copy(received[len(lead) : len(lead) + len(data)], sent)
    for device in {sender, receiver} - {"cpu"}:
        torch.cuda.synchronize(device)
    on_gpu = _first_wrong(received, expected.to(receiver), len(lead))
    on_host = _first_wrong(received.cpu(), expected, len(lead))
    if on_gpu and not on_host:
        return f"wrong where the second GPU looks ({on_gpu}), and right back on the host"
    if on_host and not on_gpu:
        return f"right on the second GPU, and wrong back on the host: {on_host}"
    return on_gpu


def _first_wrong(received: Any, expected: Any, lead: int) -> str:
    if received.equal(expected):
        return ""
    wrong = (received != expected).nonzero()
    at = int(wrong[0])
    return (
        f"{len(wrong)} wrong, the first is byte {at - lead}: "
        f"{int(received[at])} instead of {int(expected[at])}"
    )


CHECK = Check(
    title="Copies between GPUs",
    proves="copies from any GPU to any other arrive byte by byte, "
    "and GPUs joined by NVLink may access each other",
    step=40,
    needs=Needs(packages=("torch",), profile="cuda", gpus=2),
    body=body,
    every_gpu=True,
)
