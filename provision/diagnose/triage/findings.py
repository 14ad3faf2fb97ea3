"""From readings to likely causes, by the patterns in causes.json and by signs of the host."""

import json
import os
import re
from typing import Any, Dict, Iterator, List, Tuple

from .children import Answer

LEVELS = ("low", "medium", "high")
_MOST = 3
_LONGEST = 400
_SECRET = re.compile(
    r"\b(?:hf_\w{10,}|gh[oprsu]_\w{8,}|sk-[\w-]{16,}|nvapi-[\w-]{8,}|eyJ[\w-]{8,}\.[\w.-]+)"
    r"|(?i:(?<=token=)|(?<=password=)|(?<=api_key=)|(?<=bearer ))[^\s\"',;&]+"
)
Sign = Tuple[str, str, str]


def causes() -> Dict[str, Any]:
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "causes.json")
    with open(path, encoding="utf-8") as stream:
        loaded = json.load(stream)  # type: Dict[str, Any]
    return loaded


def likeliest(readings: Dict[str, Answer]) -> List[Dict[str, Any]]:
    """Return at most three findings, best first; each cause once."""
    known = causes()
    best = {}  # type: Dict[str, Tuple[str, List[str]]]
    for cause, confidence, text in list(_signs(readings)) + list(_matches(readings, known)):
        level, texts = best.get(cause, (confidence, []))
        higher = max(level, confidence, key=LEVELS.index)
        best[cause] = (higher, [*texts, harmless(text)])
    ordered = sorted(best.items(), key=lambda item: -LEVELS.index(item[1][0]))
    return [
        {
            "cause": name,
            "summary": known[name]["summary"],
            "fix": known[name]["fix"],
            "evidence": texts[:_MOST],
            "confidence": level,
            "proof": known[name]["proof"],
        }
        for name, (level, texts) in ordered[:_MOST]
    ]


def harmless(text: str) -> str:
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return _SECRET.sub("***", plain)[:_LONGEST]


def _signs(readings: Dict[str, Answer]) -> Iterator[Sign]:
    driver, libraries = readings["driver"], readings["driver libraries"]
    devices, disks = readings["devices"], readings["disks"]
    loaded, versions = driver.get("version"), libraries.get("versions", [])
    full = [version for version in versions if version.count(".") >= 1]
    if loaded and full and loaded not in full:
        yield (
            "nvml-driver-library-mismatch",
            "high",
            "{}; {}".format(driver["text"], libraries["text"]),
        )
    for path in libraries.get("empty", []):
        yield "empty-driver-libraries", "high", path + " is empty"
    if devices.get("gpus") and driver["outcome"] == "none":
        yield "driver-missing", "high", devices["text"]
    if (
        loaded
        and devices["outcome"] == "value"
        and not any("uvm" in name for name in devices.get("files", []))
    ):
        yield "nvidia-uvm-broken", "medium", devices["text"]
    for place in disks.get("full", []):
        yield "disk-full", "high", "{} is full: {}".format(place, disks["text"])
    if disks.get("small_shm") and loaded:
        yield "container-shm-too-small", "medium", disks["text"]
    if readings["memory"].get("oom_kills"):
        yield "host-out-of-memory", "medium", readings["memory"]["text"]
    if readings["fabric manager"].get("state") in {"inactive", "failed"}:
        yield "fabric-manager-not-running", "high", readings["fabric manager"]["text"]
    if readings["GPU memory"].get("hidden"):
        yield "gpu-memory-utilization-vs-free", "low", readings["GPU memory"]["text"]


def _matches(readings: Dict[str, Answer], known: Dict[str, Any]) -> Iterator[Sign]:
    texts = {
        "kernel log": readings["kernel log"].get("text", ""),
        "previous boot": readings["previous boot"].get("text", ""),
        "nvidia-smi": readings["nvidia-smi"].get("text", ""),
        "newest failure": readings["newest failure"].get("log", ""),
    }
    for where, text in texts.items():
        lines = list(dict.fromkeys(line.strip()[:2000] for line in text.splitlines()[-2000:]))
        for name, cause in known.items():
            for form in cause["forms"]:
                for line in _shown(form, lines):
                    level = form["confidence"]
                    # The kernel may have ended another program, long ago.
                    if name == "host-out-of-memory" and where != "newest failure":
                        level = min(level, "medium", key=LEVELS.index)
                    yield name, level, "{}: {}".format(where, line)


def _shown(form: Dict[str, str], lines: List[str]) -> List[str]:
    """Return the first line that a form matches, if what must or must not be beside it agrees."""
    if not any(word in line.lower() for word in form["words"] for line in lines):
        return []
    found = [line for line in lines if re.search(form["pattern"], line, re.IGNORECASE)][:1]
    for key, wanted in (("beside", True), ("without", False)):
        pattern = form.get(key)
        if (
            found
            and pattern
            and wanted != any(re.search(pattern, line, re.IGNORECASE) for line in lines)
        ):
            return []
    return found
