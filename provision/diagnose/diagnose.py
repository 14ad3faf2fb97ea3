"""The diagnosis of one log: read it, gather facts, rank causes, fill their fixes."""

from __future__ import annotations

from collections.abc import Iterable

from provision.catalog import rows
from provision.diagnose import (
    catalogue,
    facts,
    fixes,
    memory_arithmetic,
    on_host,
    rank,
    reader,
    stopped,
)
from provision.diagnose._model import LEVELS, Diagnosis, Finding, Line
from provision.host._model import Host

_MOST_ROOTS = 8
_COLLECT = (
    "the log from its first line, not only its end: the first error is the one that counts",
    "the environment: vllm collect-env, or python -m torch.utils.collect_env",
    "the host: ./setup.sh host -o host.json, then ./setup.sh diagnose LOG --host host.json",
    "the kernel's log of the time: sudo dmesg -T | tail -n 200",
    "a run with more output: VLLM_LOGGING_LEVEL=DEBUG NCCL_DEBUG=INFO CUDA_LAUNCH_BLOCKING=1",
    "ask in the tracker of the program that prints the first error, with all of these",
)


def of_log(
    chunks: Iterable[bytes], host: Host | None = None, here: Host | None = None
) -> Diagnosis:
    """Diagnose a log; `host` is that of --host, `here` this host where there is no other."""
    causes, builds = catalogue.load(), rows.load()
    found = reader.scan(chunks, causes)
    if stage := stopped.signal(found):
        found.signals.append(stage)
    gathered = facts.gather(host, found.surroundings, builds, here)
    ranked = rank.rank(found, gathered, causes)
    findings = tuple(_finding(one, gathered) for one in ranked)
    if any(finding.confidence != "low" for finding in findings):
        return Diagnosis(findings=findings)
    return Diagnosis(
        findings=findings,
        root_lines=_roots(found),
        collect=_COLLECT if found.roots or found.wrappers or findings else (),
    )


def of_host(host: Host) -> Diagnosis:
    """Return what is wrong on a host already, and what will be, without a log."""
    causes, builds = catalogue.load(), rows.load()
    gathered = facts.of_host(host, builds, "this host")
    signs: dict[str, list[on_host.Sign]] = {}
    for sign in on_host.signs(host, builds):
        signs.setdefault(sign.cause, []).append(sign)
    ordered = sorted(signs.items(), key=lambda item: -LEVELS.index(item[1][0].confidence))
    return Diagnosis(
        findings=tuple(
            Finding(
                cause=name,
                summary=causes.causes[name].cause,
                fix=tuple(fixes.filled(fix, {}, gathered) for fix in causes.causes[name].fix),
                evidence=(),
                confidence=shown[0].confidence,
                because="the host shows it",
                host_facts=tuple(reader.evidence(1, sign.text).text for sign in shown),
                proof=causes.causes[name].proof,
                sources=causes.causes[name].sources,
                look_alikes=causes.causes[name].look_alikes,
            )
            for name, shown in ordered
        )
    )


def _roots(found: reader.Scan) -> tuple[Line, ...]:
    """Return the first errors, since later ones follow from them, and the last one."""
    lines = found.roots or found.wrappers
    return tuple(dict.fromkeys((*lines[: _MOST_ROOTS - 1], *lines[-1:])))


def _finding(one: rank.Ranked, gathered: facts.Facts) -> Finding:
    arithmetic = memory_arithmetic.advice(one.values)
    return Finding(
        cause=one.cause.name,
        summary=one.cause.cause,
        fix=(*arithmetic, *(fixes.filled(fix, one.values, gathered) for fix in one.cause.fix)),
        evidence=one.evidence,
        confidence=one.confidence,
        because=one.because,
        host_facts=tuple(dict.fromkeys(t for match in one.matches for t in match.host_facts)),
        proof=one.cause.proof,
        sources=one.cause.sources,
        look_alikes=one.cause.look_alikes,
    )
