"""Measure `diagnose` on the public cases and on quiet texts: top 1, top 3, confidence, misses.

python benchmarks/diagnose.py [CASE ...]     cases and quiet texts
python benchmarks/diagnose.py --size         seconds and memory for 100 MB of log
"""

from __future__ import annotations

import collections
import re
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import msgspec  # noqa: E402
import yaml  # noqa: E402

from provision.diagnose import diagnose  # noqa: E402
from provision.diagnose._model import Diagnosis  # noqa: E402
from provision.host import from_text  # noqa: E402
from provision.host._model import Host  # noqa: E402

CASES = ROOT / "tests" / "diagnose" / "cases"
QUIET = ROOT / "tests" / "diagnose" / "quiet"
_VERSIONS = {"driver": r"\d{3}(?:\.\d+)*", "python": r"3\.\d+(?:\.\d+)*", "glibc": r"2\.\d+"}


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One public case: its text, its host as a short description, and the right cause."""

    name: str
    cause: str
    text: str
    symptom: str
    host: str


def cases(names: list[str]) -> Iterator[Case]:
    for path in sorted(CASES.glob("*.yaml")):
        if not names or any(name in path.stem for name in names):
            case = yaml.safe_load(path.read_text(encoding="utf-8"))
            yield Case(
                name=path.stem,
                cause=case["cause_key"],
                text="\n".join(filter(None, [case.get("log"), case.get("collect_env")])),
                symptom=case.get("symptom", ""),
                host=yaml.safe_dump(short_description(case.get("host", {}))),
            )


def short_description(host: dict[str, Any]) -> dict[str, Any]:
    """Return what of a case's host the short description can say."""
    described: dict[str, Any] = {
        name: match[0]
        for name, shape in _VERSIONS.items()
        if (match := re.fullmatch(shape, str(host.get(name, ""))))
    }
    if gpus := host.get("gpus"):
        counted = collections.Counter(gpus)
        described["gpus"] = [{"name": name, "count": count} for name, count in counted.items()]
    return described


def diagnosed(text: str, host: str) -> Diagnosis:
    described = from_text.parse(host, "host") if host != "{}\n" else Host(described={})
    return diagnose.of_log([text.encode()], described)


def measure(names: list[str]) -> None:
    for title, with_symptom in (("log and host", False), ("with what the person saw", True)):
        tried = [case for case in cases(names) if case.text or with_symptom]
        places = {}
        for case in tried:
            text = f"{case.text}\n{case.symptom}" if with_symptom else case.text
            places[case] = diagnosed(text, case.host)
        _show(title, places)


def _show(title: str, places: dict[Case, Diagnosis]) -> None:
    found = {case: [finding.cause for finding in told.findings] for case, told in places.items()}
    first = [case for case in places if found[case][:1] == [case.cause]]
    third = [case for case in places if case.cause in found[case][:3]]
    print(f"{title}: top 1 {len(first)} of {len(places)}, top 3 {len(third)}")
    levels = collections.Counter(
        (told.findings[0].confidence, case in first)
        for case, told in places.items()
        if told.findings
    )
    for level in ("high", "medium", "low"):
        right, wrong = levels[level, True], levels[level, False]
        print(f"  {level}: {right} right, {wrong} wrong")
    for case in places:
        if case not in first:
            told = [f"{f.cause} ({f.confidence})" for f in places[case].findings[:4]]
            print(f"  miss {case.name}: {case.cause}, said {', '.join(told) or 'nothing'}")


def quiet() -> None:
    texts = sorted(QUIET.glob("*.txt"))
    loud = 0
    for path in texts:
        for part in re.split(r"^=== .*\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
            told = diagnosed(part, "{}\n") if part.strip() else Diagnosis(findings=())
            confident = [f for f in told.findings if f.confidence != "low"]
            loud += bool(confident)
            for finding in confident:
                line = finding.evidence[0].text[:120] if finding.evidence else ""
                print(f"  false alarm in {path.name}: {finding.cause}: {line}")
    count = sum(len(re.findall(r"^=== ", path.read_text(), re.MULTILINE)) for path in texts)
    print(f"quiet texts: {loud} of {count} with a confident finding")


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
