"""The planned candidate as work for the engine: fetch a published wheel, or compile."""

from __future__ import annotations

from pathlib import Path

from provision.flash_attn import admit, compile_candidate, find, wheel_store
from provision.flash_attn.admit import Order
from provision.flash_attn.find import NotPublished
from provision.steps.model import CandidateRefused, Fetch, WheelCandidate, WheelWork
from provision.steps.wheel_folder import FOLDER


def candidate(order: Order) -> WheelCandidate:
    """Return the planned candidate. Raise CandidateRefused if it cannot be obtained by itself."""
    if order.plan.flash_attn.flavour != "2":
        raise CandidateRefused(
            "it is resolved together with vLLM, which ./setup.sh up --upgrade does"
        )
    if order.plan.compiles:
        return compile_candidate.candidate(order)
    return _published(order)


def _published(order: Order) -> WheelCandidate:
    try:
        wheel = find.find(order.plan, order.settings, order.connection)
    except NotPublished as failure:
        raise CandidateRefused(failure.what) from failure

    def keep(path: Path, seconds: float) -> None:  # noqa: ARG001 - the time of a download says nothing
        try:
            admit.admit(
                order,
                path,
                origin="fetched",
                made_from={"url": wheel.without_token().url},
                seconds=0.0,
            )
        except CandidateRefused:
            path.unlink(missing_ok=True)
            raise

    work = WheelWork(
        fetch=Fetch(title="fetch flash-attn", folder=str(order.prefix / FOLDER), wheels=(wheel,)),
        wheel=lambda site: wheel_store.path_of(order.prefix, wheel.file),  # noqa: ARG005 - no toolkit
        keep=keep,
    )
    return WheelCandidate(work=lambda tools: work)  # noqa: ARG005 - no tools
