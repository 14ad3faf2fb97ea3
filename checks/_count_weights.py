"""Count the weights of a model with vLLM's own code, on the meta device: no memory, no weights.

`fit --exact` runs it as a script of the environment, with a folder that has a config.json, the
context, and where to write the result. Only that file is the answer.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from importlib import import_module
from pathlib import Path


def count(folder: str, length: int) -> dict[str, object]:
    """Return the bytes of parameters and buffers as vLLM makes them on one rank."""
    torch = import_module("torch")
    distributed = import_module("vllm.distributed")
    loader = import_module("vllm.model_executor.model_loader.utils")
    arguments = import_module("vllm.engine.arg_utils").EngineArgs(
        model=folder,
        skip_tokenizer_init=True,
        enforce_eager=True,
        load_format="dummy",
        max_model_len=length,
    )
    config = arguments.create_engine_config()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    before = torch.get_default_dtype()
    with import_module("vllm.config").set_current_vllm_config(config):
        distributed.init_distributed_environment(1, 0, address, 0, "gloo")
        distributed.initialize_model_parallel(1)
        torch.set_default_dtype(config.model_config.dtype)
        try:
            with torch.device("meta"):
                model = loader.initialize_model(vllm_config=config)
        finally:
            torch.set_default_dtype(before)
    tensors = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return {
        "bytes": sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()),
        "tensors": len(tensors),
    }


def main(argv: list[str]) -> int:
    """Write what was counted, or why it could not be."""
    folder, length, output = argv
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["VLLM_NO_USAGE_STATS"] = "1"
    try:
        result = count(folder, int(length))
    except Exception as error:  # noqa: BLE001 - whatever vLLM raises is the answer
        result = {"problem": f"{type(error).__name__}: {error}"[:500]}
    Path(output).write_text(json.dumps(result), encoding="utf-8")
    return 0 if "bytes" in result else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
