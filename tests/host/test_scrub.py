"""Canaries: secrets in every form, which must never reach a recording, and texts that must stay."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.doors.reading import Reading
from provision.host import sources
from provision.host._scrub import Scrubber, hide_secrets
from provision.host.record import scrub_reading
from provision.session import inputs
from provision.settings import Settings

ME = Scrubber(home="/home/miriam", users=("miriam", "root"), hosts=("dgx-canary-07.corp.example",))


@pytest.mark.parametrize(
    ("text", "canary"),
    [
        ("HF_TOKEN=hf_CanaryCanaryCanaryCanaryCanary12", "hf_Canary"),
        ("a word hf_CanaryCanaryCanaryCanaryCanary12 in prose", "hf_Canary"),
        ("ghp_canaryCANARY1234567890canaryCANARY12", "canary"),
        ("github_pat_11CANARY0canary_canarycanary", "canary"),
        ("glpat-canary-canary-1234", "canary"),
        ("SLURM_JWT=canary", "canary"),
        ("nvapi-canary_canary-canary", "canary"),
        ("Authorization: Bearer canary.canary-canary", "canary"),
        ("authorization: Basic Y2FuYXJ5OmNhbmFyeQ==", "Y2FuYXJ5"),
        ("token eyJhbGciOiJI.eyJjYW5hcnki.canary_sig", "canary_sig"),
        ("https://miriam:canary@nexus.example/simple", "canary@"),
        ("https://canarytoken@nexus.example/simple", "canarytoken"),
        ("index-url = http://user:p%40canary:x@[::1]:8080/", "canary"),
        ("vllm.api_key: 'canary-secret'", "canary"),
        ("password=canary quiet", "canary"),
        ("vllm serve x --api-key canary --port 8000", "canary"),
        (r"C:\Users\canary\x", "canary"),
        ("AWS_SECRET_ACCESS_KEY=canary/canary", "canary"),
        ("?access_token=canary&x=1", "canary"),
        ("Serial Number: canary1234", "canary1234"),
        ("board serial 1654922001234", "1654922001234"),
        ("GPU UUID: GPU-ca9a4b1c-1234-5678-9abc-def012345678", "ca9a4b1c"),
        ("MIG-ca9a4b1c-1234-5678-9abc-def012345678", "ca9a4b1c"),
        ("MIG-GPU-ca9a4b1c-1234-5678-9abc-def012345678/1/0", "ca9a4b1c"),
        ("root=UUID=ca9a4b1c-1234-5678-9abc-def012345678 ro", "ca9a4b1c"),
        ("0::/system.slice/docker-" + "ca9a4b1c" * 8 + ".scope", "ca9a4b1c"),
        ("root=/dev/disk/by-id/nvme-Vendor_Canary123 ro", "Canary123"),
        ("UV_INDEX_CORP_USERNAME=canary", "canary"),
        ("link/ether ca:9a:4b:1c:00:01 brd", "ca:9a"),
        ("inet 10.31.7.99/24 scope global", "10.31.7.99"),
        ("VLLM_HOST_IP=192.168.77.3", "192.168.77.3"),
        ("inet6 fe80::ca9a:4bff:fe1c:1/64", "ca9a"),
        ("addr 2001:db8:ca9a::1.", "ca9a"),
        ("/home/miriam/.cache/uv", "miriam"),
        ("LD_LIBRARY_PATH=/scratch/miriam/lib:/home/other/lib", "miriam"),
        ("/home/colleague/lib:/x", "colleague"),
        ("running on dgx-canary-07 now", "canary"),
        ("master=DGX-CANARY-07.corp.example:6817", "CANARY"),
    ],
)
def test_no_canary_survives(text: str, canary: str) -> None:
    assert canary in text
    assert canary not in ME.text(text)
    assert canary not in json.dumps(ME.value({"deep": [{"er": text}]}))


@pytest.mark.parametrize(
    "text",
    [
        "Linux version 5.15.153.1-microsoft-standard-WSL2",
        "0000:17:00.0 0000:ca:00.0 2a3b:00:00.0 00000000:17:00.0",
        "nvidia_cudnn_cu12-9.10.2.21-py3-none-manylinux_2_27_x86_64.whl",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build",
        "hf_transfer hf_overrides tokenizers TOKENIZERS_PARALLELISM=false max_tokens=4096",
        'PRETTY_NAME="Ubuntu 24.04" root=/dev/vda1 0::/user.slice/user-1000.slice',
        "flags : fpu vme avx512_bf16 amx_tile",
        "MemTotal: 263939672 kB 9223372036854771712",
        "index-url = https://nexus.corp.example/simple http://10.1.2.3:8080/simple",
        "listening on 127.0.0.1 and 0.0.0.0",
        "CUDA_VISIBLE_DEVICES=0,1,2,3",
        "gpu0 GPU-0 MIG 1g.10gb",
        "12:34:56 up 3 days",
    ],
)
def test_what_a_recording_is_for_stays(text: str) -> None:
    assert ME.text(text) == text


def test_our_home_is_a_tilde() -> None:
    assert ME.text("/home/miriam/.local/bin/python3.12") == "~/.local/bin/python3.12"
    assert ME.text("/home/miriam2/x") != "~2/x"


def test_a_name_that_says_secret_hides_its_value_whole() -> None:
    seen = {
        "variables": {
            "HF_TOKEN": "two words",
            "VLLM_API_KEY": "x",
            "HF_HOME": "/data/hf",
            "HF_TOKEN_SET": "1",
        }
    }
    assert ME.value(seen) == {
        "variables": {
            "HF_TOKEN": "***",
            "VLLM_API_KEY": "***",
            "HF_HOME": "/data/hf",
            "HF_TOKEN_SET": "1",
        }
    }


def test_users_and_hosts_with_ordinary_names_cost_no_facts() -> None:
    scrubber = Scrubber(home="/home/ubuntu", users=("ubuntu", "max"), hosts=("localhost", "gpu"))
    assert scrubber.text("ID=ubuntu\nmemory max gpu\n") == "ID=ubuntu\nmemory max gpu\n"
    assert scrubber.text("/home/ubuntu/x") == "~/x"


def test_a_user_called_vllm_costs_no_source_and_no_disk() -> None:
    for name in (*sources.NAMES, *inputs.paths(Settings())):
        ours = {name: {"answers": True}}
        assert Scrubber(home=f"/home/{name}", users=(name,), hosts=(name,)).value(ours) == ours


def test_a_reading_is_scrubbed_in_text_and_detail_and_stays_json() -> None:
    text = json.dumps({"/home/miriam/pip.conf": "password = canary\nx = 1"})
    reading = scrub_reading(
        Reading(outcome="failed", text=text, detail="as miriam on dgx-canary-07"), ME
    )
    assert json.loads(reading.text) == {"~/pip.conf": "password = ***\nx = 1"}
    assert reading.detail == "as *** on ***"


@given(st.text(max_size=200))
def test_a_name_is_found_amid_anything_and_scrubbing_twice_changes_nothing(text: str) -> None:
    once = ME.text(f"{text} miriam {text}")
    assert "miriam" not in once
    assert ME.text(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "nvidia-cudnn-cu12==9.1.0.70",
        "nvidia-cudnn-cu12 9.1.0.70, nvidia-cufile-cu13 (1.15.1.6)",
        "cuDNN 9.10.2.21 and version: 1.2.3.4",
        "needs >=9.1.0.70, <=9.2.0.1",
        "300.1.2.3",
        "vLLM 0.10.1.1 to 0.10.1",
    ],
)
def test_four_numbers_that_are_a_version_stay(text: str) -> None:
    assert ME.text(text) == text


def test_which_four_numbers_are_versions_may_be_known() -> None:
    readings = {
        "cudnn": "9.1.0.70",
        "wanted": "9.1.0.71",
        "at": "10.31.7.99",
        "readings": "found 9.1.0.71 at 10.31.7.99",
    }
    assert ME.value(readings) == {
        "cudnn": "9.1.0.70",
        "wanted": "***",
        "at": "***",
        "readings": "found *** at ***",
    }
    assert ME.with_versions(["9.1.0.71", "2.0"]).value(readings) == {
        **readings,
        "at": "***",
        "readings": "found 9.1.0.71 at ***",
    }


def test_how_long_a_token_takes_is_no_secret() -> None:
    assert (
        ME.text("time to first token: 32.1 ms, tokens: 7")
        == "time to first token: 32.1 ms, tokens: 7"
    )


def test_a_long_line_of_secret_words_takes_no_time() -> None:
    begun = time.monotonic()
    assert hide_secrets("token" * 16_000) == "token" * 16_000
    assert time.monotonic() - begun < 5
