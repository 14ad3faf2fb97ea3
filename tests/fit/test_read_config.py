"""fit/read_config.py and headers.py: models from folders, the cache and the hub, and their tensors."""

from __future__ import annotations

import http.server
import json
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provision.errors import UnreadableInput, WrongUsage
from provision.fit import headers, read_config, weights
from tests.fit import runs

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 128,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}


@pytest.fixture(autouse=True)
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the models and tokens of whoever runs the tests out of them."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    for name in ("HF_HUB_CACHE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


def folder(place: Path, config: dict[str, Any] = CONFIG) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    (place / "config.json").write_text(json.dumps(config))
    return place


def safetensors(path: Path, tensors: dict[str, tuple[str, list[int]]]) -> None:
    """Write the header of a safetensors file; nothing reads its tensors."""
    header = json.dumps(
        {
            name: {"dtype": dtype, "shape": shape, "data_offsets": [0, 0]}
            for name, (dtype, shape) in tensors.items()
        }
    ).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)


def plain(dtype: str = "BF16") -> dict[str, tuple[str, list[int]]]:
    tensors: dict[str, tuple[str, list[int]]] = {
        "model.embed_tokens.weight": (dtype, [128, 64]),
        "lm_head.weight": (dtype, [128, 64]),
        "model.norm.weight": (dtype, [64]),
    }
    for layer in range(2):
        name = f"model.layers.{layer}"
        tensors |= {
            f"{name}.self_attn.q_proj.weight": (dtype, [64, 64]),
            f"{name}.self_attn.k_proj.weight": (dtype, [32, 64]),
            f"{name}.self_attn.v_proj.weight": (dtype, [32, 64]),
            f"{name}.self_attn.o_proj.weight": (dtype, [64, 64]),
            f"{name}.mlp.gate_proj.weight": (dtype, [128, 64]),
            f"{name}.mlp.up_proj.weight": (dtype, [128, 64]),
            f"{name}.mlp.down_proj.weight": (dtype, [64, 128]),
            f"{name}.input_layernorm.weight": (dtype, [64]),
            f"{name}.post_attention_layernorm.weight": (dtype, [64]),
        }
    return tensors


@pytest.mark.parametrize("name", ["model", "a folder with spaces", "modèle-ü"])
def test_a_folder_and_its_file_are_the_same_model(tmp_path: Path, name: str) -> None:
    place = folder(tmp_path / name)
    by_folder, by_file = read_config.find(str(place)), read_config.find(str(place / "config.json"))
    assert by_folder.model == by_file.model
    assert by_folder.model.name == str(place)


@pytest.mark.parametrize("dtype", ["BF16", "F32"])
def test_tensors_as_the_config_implies_change_nothing(tmp_path: Path, dtype: str) -> None:
    place = folder(tmp_path / "m")
    tensors = list(plain(dtype).items())
    safetensors(place / "model-1.safetensors", dict(tensors[:5]))
    safetensors(place / "model-2.safetensors", dict(tensors[5:]))
    found = read_config.find(str(place))
    assert (found.model.stored, found.said) == (1.0, ())


def test_what_vllm_does_not_load_is_not_counted(tmp_path: Path) -> None:
    place = folder(tmp_path / "m")
    extra = {
        "model.layers.2.mlp.down_proj.weight": ("BF16", [64, 128]),
        "mtp.fc.weight": ("BF16", [64, 64]),
        "model.layers.0.self_attn.rotary_emb.inv_freq": ("F32", [8]),
    }
    safetensors(place / "model.safetensors", {**plain(), **extra})
    safetensors(place / "consolidated.safetensors", plain())
    assert read_config.find(str(place)).model.stored == 1.0


def test_tensors_outrank_the_config(tmp_path: Path) -> None:
    place = folder(tmp_path / "m")
    tensors = {**plain(), "model.layers.0.extra.weight": ("BF16", [1000, 64])}
    safetensors(place / "model.safetensors", tensors)
    found = read_config.find(str(place))
    assert found.model.stored > 1.2
    assert any("the tensors count" in text for text in found.said)
    whole = weights.of_rank(found.model, None, "bfloat16").likely * 2**30
    assert whole == pytest.approx(
        sum(2 * headers._elements(shape) for _, shape in tensors.values()) + 256 * 16 * 2, rel=0.01
    )


def test_a_damaged_header_is_passed_over(tmp_path: Path) -> None:
    place = folder(tmp_path / "m")
    (place / "model.safetensors").write_bytes(b"\xff" * 64)
    (place / "other.safetensors").write_bytes(b"12")
    assert read_config.find(str(place)).model.stored == 1.0


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ((), "has no config.json"),
        (("model.Q4_K_M.gguf",), "has only GGUF files"),
        (("params.json",), "has Mistral's params.json"),
    ],
)
def test_a_folder_without_a_config(tmp_path: Path, files: tuple[str, ...], says: str) -> None:
    for name in files:
        (tmp_path / name).write_text("")
    with pytest.raises(UnreadableInput) as caught:
        read_config.find(str(tmp_path))
    assert says in caught.value.what


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "config.json").open("wb") as stream:
        stream.truncate(10 * 2**30)
    with pytest.raises(UnreadableInput, match="larger than 16 MiB"):
        read_config.find(str(tmp_path / "config.json"))


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name(name: str) -> None:
    with pytest.raises(WrongUsage):
        read_config.find(name)


@pytest.mark.parametrize("name", ["a/b/c", "what is this", "-x"])
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(UnreadableInput, match="neither a file nor the id"):
        read_config.find(name)


def cached(home: Path, revision: str = "0123456789abcdef") -> None:
    place = home / "hub" / "models--some--model"
    folder(place / "snapshots" / revision)
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(revision)


def test_the_cache_answers_without_a_network(tmp_path: Path) -> None:
    cached(tmp_path / "hf")
    found = read_config.find("some/model", network=False)
    assert found.revision == "0123456789abcdef"
    assert "cache" in found.source
    assert read_config.find("some/model", "0123456789abcdef", network=False).model == found.model


def test_offline_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UnreadableInput, match="HF_HUB_OFFLINE"):
        read_config.find("some/model")


class Hub(http.server.BaseHTTPRequestHandler):
    """A hub with one open and one gated model."""

    seen: tuple[str | None, ...] = ()

    def do_GET(self) -> None:
        Hub.seen = (*Hub.seen, self.headers.get("Authorization"))
        opened = self.headers.get("Authorization") == "Bearer secret"
        status = {"/open/model/": 200, "/gated/model/": 200 if opened else 401}.get(
            self.path.partition("resolve")[0], 404
        )
        body = json.dumps(CONFIG).encode() if status == 200 else b"no"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    Hub.seen = ()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", address)
    yield address
    server.shutdown()
    server.server_close()


def test_a_model_of_the_hub(hub: str) -> None:
    found = read_config.find("open/model")
    assert found.model.name == "open/model"
    assert found.source == f"{hub}/open/model/resolve/main/config.json"
    assert Hub.seen == (None,)


@pytest.mark.usefixtures("hub")
def test_a_gated_model_and_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnreadableInput) as caught:
        read_config.find("gated/model")
    assert "is gated, private or missing" in caught.value.what
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert read_config.find("gated/model").model.hidden == 64
    assert Hub.seen[-1] == "Bearer secret"


@pytest.mark.usefixtures("hub")
def test_a_model_that_is_not_there() -> None:
    with pytest.raises(UnreadableInput, match="is not on the hub"):
        read_config.find("no/model")


def test_a_hub_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UnreadableInput) as caught:
        read_config.find("some/model")
    assert "the hub cannot be asked: the connection is refused" in caught.value.what


def test_the_published_sizes_are_those_on_disk() -> None:
    llama = runs.model("Llama-3.1-8B-Instruct")
    assert weights.on_disk(llama, "bfloat16") == pytest.approx(2 * llama.parameters)
