"""`setup.sh triage`: read a broken host, and print readings, likely causes and the next command."""

import json
import os
import sys
from typing import Any, Dict, List

from .children import take_all
from .findings import harmless, likeliest
from .readings import all_readings

SCHEMA = "vllm-ready/triage/1"
USAGE = "usage: ./setup.sh triage [--json] [--quiet] [--prefix DIR]"
DONE, WRONG_USAGE, UNDECIDED = 0, 2, 5
_MOST_LINES = 12


def main(argv: List[str], checkout: str) -> int:
    options = {"--json": False, "--quiet": False}
    prefix = os.environ.get("VLLM_READY_PREFIX") or os.path.join(checkout, "envs")
    words = list(argv)
    while words:
        word = words.pop(0)
        if word in {"-h", "--help"}:
            return (
                _say(USAGE + "\nreads this host for at most 30 seconds and changes nothing") or DONE
            )
        if word == "--prefix" and words:
            prefix = os.path.join(checkout, words.pop(0))
        elif word in options:
            options[word] = True
        else:
            sys.stderr.write(
                "error: triage does not know {}\n hint: {}\n".format(harmless(word), USAGE)
            )
            return WRONG_USAGE
    readings = take_all(all_readings(checkout, prefix))
    findings = likeliest(readings)
    document = {
        "schema": SCHEMA,
        "readings": [_shown(name, answer) for name, answer in readings.items()],
        "findings": findings,
        "next": _next(findings),
    }  # type: Dict[str, Any]
    _say(
        json.dumps(document, indent=2) if options["--json"] else _text(document, options["--quiet"])
    )
    return DONE if any(one["confidence"] != "low" for one in findings) else UNDECIDED


def _shown(name: str, answer: Dict[str, Any]) -> Dict[str, str]:
    text = "\n".join(map(harmless, answer["text"].splitlines()))
    shown = {"name": name, "outcome": answer["outcome"], "text": text}
    return dict(shown, command=answer["command"]) if answer.get("command") else shown


def _next(findings: List[Dict[str, Any]]) -> str:
    if findings and findings[0]["fix"]:
        return str(findings[0]["fix"][0])
    return "./setup.sh diagnose LOG, with the log of the failure"


def _text(document: Dict[str, Any], quiet: bool) -> str:
    lines = []  # type: List[str]
    for reading in [] if quiet else document["readings"]:
        first, *more = reading["text"].splitlines() or [""]
        outcome = "" if reading["outcome"] == "value" else "({}) ".format(reading["outcome"])
        lines.append("{:<20} {}{}".format(reading["name"], outcome, first))
        lines += [" " * 21 + line for line in more[-_MOST_LINES:]]
        if reading.get("command"):
            lines.append(" " * 21 + "someone with rights reads it with: " + reading["command"])
    lines += [] if quiet else [""]
    for number, one in enumerate(document["findings"], 1):
        lines.append("{}. {} ({})".format(number, one["cause"], one["confidence"]))
        lines.append("   " + one["summary"])
        lines += ["   " + text for text in one["evidence"]]
        lines += ["   fix: " + fix for fix in one["fix"]]
    if not document["findings"]:
        lines.append("nothing known shows in these readings")
    return "\n".join([*lines, "next: " + document["next"]])


def _say(text: str) -> int:
    try:
        sys.stdout.buffer.write((text + "\n").encode("utf-8", "replace"))
        sys.stdout.flush()
    except OSError:  # a closed pipe or a full disk behind stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0
