"""Measure `diagnose` on the public cases and on quiet texts: top 1, top 3, confidence, misses.

python benchmarks/diagnose.py [CASE ...]     cases and quiet texts
python benchmarks/diagnose.py --size         seconds and memory for 100 MB of log
"""

from __future__ import annotations

import collections
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from provision.diagnose import diagnose  # noqa: E402
from provision.diagnose._model import Diagnosis  # noqa: E402
from tests.diagnose import texts  # noqa: E402


def measure(names: list[str]) -> None:
    chosen = {
        name: case
        for name, case in texts.cases().items()
        if not names or any(part in name for part in names)
    }
    for title, symptom in (("log and host", False), ("with what the person saw", True)):
        told = {
            (name, case["cause_key"]): texts.diagnosed(text, texts.host_of(case))
            for name, case in chosen.items()
            if (text := texts.text_of(case, symptom=symptom))
        }
        _show(f"public cases, {title}", told)
    own = {
        (f"form {number}", form["cause"]): texts.diagnosed(form["text"], texts.host_of(form))
        for number, form in enumerate(texts.forms(), 1)
        if not names
    }
    _show("our own messages", own)


def _show(title: str, told: dict[tuple[str, str], Diagnosis]) -> None:
    found = {case: [finding.cause for finding in one.findings] for case, one in told.items()}
    first = [case for case in told if found[case][:1] == [case[1]]]
    third = [case for case in told if case[1] in found[case][:3]]
    print(f"{title}: top 1 {len(first)} of {len(told)}, top 3 {len(third)}")
    levels = collections.Counter(
        (one.findings[0].confidence, case in first) for case, one in told.items() if one.findings
    )
    for level in ("high", "medium", "low"):
        right, wrong = levels[level, True], levels[level, False]
        print(f"  {level}: {right} right, {wrong} wrong")
    for case in told:
        if case not in first:
            said = [f"{f.cause} ({f.confidence})" for f in told[case].findings[:4]]
            print(f"  miss {case[0]}: {case[1]}, said {', '.join(said) or 'nothing'}")


def quiet() -> None:
    loud = 0
    parts = texts.quiet()
    for part in parts:
        confident = [f for f in texts.diagnosed(part).findings if f.confidence != "low"]
        loud += bool(confident)
        for finding in confident:
            print(f"  false alarm: {finding.cause}: {finding.evidence[0].text[:120]}")
    print(f"quiet texts: {loud} of {len(parts)} with a confident finding")


def size() -> None:
    """Diagnose 100 MB of log whose error is in the middle."""
    line = (
        "INFO 11-18 18:07:{:02d} [loggers.py:118] Engine 000: "
        "Avg prompt throughput: {}.1 tokens/s, Running: {} reqs\n"
    )
    plain = "".join(line.format(i % 60, i, i % 7) for i in range(10_000)).encode()
    noisy = "".join(
        f"ERROR [x.py:{i}] request {i:x}-{i * 7919 % 99991:x} failed: cuda driver version {i}\n"
        for i in range(10_000)
    ).encode()
    error = b"ImportError: libcudart.so.13: cannot open shared object file: No such file\n"
    for name, block in (("plain", plain), ("every line an error", noisy)):
        count = 100 * 10**6 // len(block)

        def chunks(block: bytes = block, count: int = count) -> Iterator[bytes]:
            yield from [block] * (count // 2)
            yield error
            yield from [block] * (count // 2)

        began = time.monotonic()
        told = diagnose.of_log(chunks())
        seconds = time.monotonic() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{name}: {seconds:.1f} s, peak {peak:.0f} MB, {told.findings[0].cause}")


if __name__ == "__main__":
    if "--size" in sys.argv:
        size()
    else:
        measure(sys.argv[1:])
        quiet()
