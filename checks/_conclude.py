"""Turns claims into results, and results into a report with its verdict; pure."""

from __future__ import annotations

from typing import Any

from ._contract import gpus_of_one_process

Document = dict[str, Any]


def result_document(check: Document, claim: Document, seconds: float) -> Document:
    """Return the result of a check, as a report has it, and the figures that it measured.

    `check` is a description, `claim` what the process of the body left.
    """
    weight = check.get("weight", "must")
    failed_should = claim["outcome"] == "fail" and weight == "should"
    figures = [{**figure, "check": check["name"]} for figure in claim.get("figures", ())]
    return {
        "result": {
            "name": check["name"],
            "step": check.get("step", 0),
            "outcome": "warn" if failed_should else claim["outcome"],
            "weight": weight,
            "proves": check.get("proves", ""),
            "summary": claim["summary"],
            "evidence": claim.get("evidence", {}),
            "seconds": seconds,
            "hint": claim.get("hint", ""),
            "every_gpu": check.get("every_gpu", False),
            "gpus": list(claim.get("gpus", ())),
            "measured": len(figures),
        },
        "figures": figures,
    }


def error_claim(summary: str) -> Document:
    """Return the claim of a check that could not decide."""
    return {"outcome": "error", "summary": summary, "evidence": {}, "hint": ""}


def report(
    documents: list[Document], promised: list[str], gpus: list[str], started: str
) -> tuple[Document, int]:
    """Return the document that `./setup.sh check --python` writes, and its exit code."""
    results = [document["result"] for document in documents]
    outcomes = {result["name"]: result["outcome"] for result in results}
    # A skipped check proves nothing, so "skip" does not count as passed.
    proved = (
        bool(promised)
        and all(outcomes[name] in {"pass", "warn"} for name in promised)
        and all(_tried_on_all(result, gpus) for result in results)
    )
    verdict, code = ("verified", 0) if proved else ("undecided", 5)
    if "fail" in outcomes.values():
        verdict, code = "not verified", 1
    return {
        "schema": "vllm-ready/report/1",
        "run": "",
        "started": started,
        "verdict": verdict,
        "exit_code": code,
        "host": {},
        "plan": None,
        "generation": "",
        "steps": [],
        "owed": [],
        "promised": promised,
        "gpus": gpus,
        "checks": results,
        "figures": [figure for document in documents for figure in document["figures"]],
    }, code


def _tried_on_all(result: Document, gpus: list[str]) -> bool:
    """Return False if a check about every GPU passed without trying each that one process can use.

    GPUs "beyond" a claim lack what the check needs, and count as tried if another GPU was tried.
    """
    if not result["every_gpu"] or result["outcome"] not in {"pass", "warn"}:
        return True
    beyond = result["evidence"].get("beyond", {}) if result["gpus"] else {}
    return sorted([*result["gpus"], *beyond]) == sorted(gpus_of_one_process(tuple(gpus)))
