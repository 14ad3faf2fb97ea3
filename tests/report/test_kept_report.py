"""Reports in logs/: scrubbed of this user and host, complete enough for comparisons."""

from __future__ import annotations

import msgspec

from provision.report import share
from provision.results import CheckResult
from tests.report import canaries
from tests.report.canaries import ME, VERSIONS
from tests.report.test_share import shape, texts

HERE = (
    "miriam",
    "dgx-canary",
    "hf_Can",
    "bearer.can",
    "urlpass",
    "1654922001234",
    "ca:9a:4b",
    "GPU-ca",
    "10.31.7.99",
)


def test_no_text_names_this_user_this_host_or_a_secret() -> None:
    full = canaries.report()
    document = msgspec.to_builtins(share.scrubbed_for_logs(full, ME))
    document["host"].pop("facts", None)
    for text in texts(document):
        assert not [needle for needle in HERE if needle.lower() in text.lower()], text
        if "2.13.0+cu129" in text:
            assert all(version in text for version in VERSIONS), text
    before = msgspec.to_builtins(full)
    before["host"].pop("facts", None)
    assert shape(document) == shape(before)


def test_paths_of_an_environment_hashes_and_mirrors_stay() -> None:
    line = "/data/envs/20261120T000000Z-0000/bin/python -m pip --index-url https://nexus.corp.example/simple"
    full = msgspec.structs.replace(
        canaries.report("x"), commands={"50-vllm": (line, "/home/miriam/envs/a/bin/vllm")}
    )
    step = msgspec.structs.replace(full.steps[0], fingerprint="ab" * 32)
    scrubbed = share.scrubbed_for_logs(msgspec.structs.replace(full, steps=(step,)), ME)
    assert scrubbed.commands == {"50-vllm": (line, "~/envs/a/bin/vllm")}
    assert scrubbed.steps[0].fingerprint == "ab" * 32


def test_a_user_named_like_a_part_of_a_check_keeps_its_name() -> None:
    speed = type(ME)(home="/home/speed", users=("speed",), hosts=())
    check = CheckResult(name="speed_matmul", outcome="pass")
    full = msgspec.structs.replace(
        canaries.report("x"), checks=(check,), commands={"50-vllm": ("ls /tmp/ray_speed",)}
    )
    assert share.scrubbed_for_logs(full, speed).checks == (check,)
    assert "speed" not in str(share.scrubbed_for_sharing(full, speed))
