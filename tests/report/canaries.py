"""A report with canaries in every text and key, and the words that scrubbing must hide."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from provision.host._scrub import Scrubber
from provision.report._model import Package, Report

ME = Scrubber(home="/home/miriam", users=("miriam", "root"), hosts=("dgx-canary-07.corp.example",))
# The key must not be found in a scrubbed report.
CANARIES = {
    "miriam": "miriam",
    "dgx-canary": "dgx-canary-07",
    "corp.example": "DGX-CANARY-07.corp.example:6817",
    "/home/miriam": "/home/miriam/.cache/x",
    "colleague": "/home/colleague/lib",
    "kollegin": "/Users/kollegin/lib",
    "1654922001234": "Serial Number: 1654922001234",
    "ca:9a:4b": "ca:9a:4b:1c:00:01",
    "10.31.7.99": "10.31.7.99",
    "192.168.77": "192.168.77.3:8000",
    "db8": "2001:db8:ca9a::1",
    "GPU-ca": "GPU-ca9a4b1c-1234-5678-9abc-def012345678",
    "ca9a4b1c12345678": "ca9a4b1c123456789abcdef012345678",
    "hf_Can": "hf_CanaryCanaryCanaryCanaryCanary12",
    "bearer.can": "Authorization: Bearer bearer.canary-canary",
    "urlpass": "https://joe:urlpass@nexus.secret.example/simple",
    "nexus.secret": "https://nexus.secret.example/simple",
    "10.9.8.7": "http://10.9.8.7:8080/simple",
    "someone": "someone@mail.example",
    "alice": "ssh://alice@node17.secret.example:22/x",
    "node17": "alice@node17.secret.example:/data",
    "node18": "MASTER_ADDR=node18",
    "node19": "node19.cluster.internal",
    "bob": "user=bob",
    "dave": "SLURM_JOB_USER=dave",
    "erna": "C:\\Users\\erna\\x",
    "Hunter3": "--api-key Hunter3",
    "carol": "login: carol",
    "node20": "hostname: node20",
    "ray_miriam": "/tmp/ray_miriam/session",
    "of-miriam": "/tmp/pytest-of-miriam/x",
    "miriam_envs": "/scratch/miriam_envs",
    "canary-07-ib0": "dgx-canary-07-ib0",
    "canary_07": "dgx_canary_07_metrics",
    "pemcanary": "-----BEGIN OPENSSH PRIVATE KEY-----\npemcanary\n-----END OPENSSH PRIVATE KEY-----",
    "sigcanary": "https://x.blob.example/w.whl?sv=2020&sig=sigcanary%3D",
    "cookiecanary": "Cookie: session=cookiecanary; more=cookiecanary",
    "AccCanary": "AccountKey=AccCanary0123456789==",
    "Hunter4": "MYSQL_PWD=Hunter4",
    "npm_Can": "npm_CanaryCanaryCanaryCanaryCanary1234",
    "node21": "node21:12345:12399 [0] NCCL INFO Bootstrap",
    "node22": "srun: error: node22: task 0: Exited",
    "gpu01": "Connection to gpu01.cluster.example.org timed out",
    "login-2": "login-2.hpc.uni-x.de",
    "worker-17": "pod vllm-0 on worker-17.prod.svc.cluster.local",
    "smith": "/home/bob smith/x",
    "greta": "uid=1000(greta)",
    "hans": "/tmp/torchinductor_hans/x",
    "506b4b03": "GUID 0x506b4b0300cba1e2",
    "506b:4b03": "port 506b:4b03:00cb:a1e2",
    "ip-10-31": "ip-10-31-7-99",
}
# Values of keys that name a person, a host or a device.
NAMED = {
    "serial": "S3RIAL",
    "Serial Number": ["S3RIAL"],
    "mac": ["S3RIAL", "S3RIAL"],
    "hostname": {"static": "S3RIAL", "deep": [{"er": "S3RIAL"}]},
    "users": ["S3RIAL"],
    "node-name": "S3RIAL",
}
VERSIONS = (
    "9.1.0.70",
    "nvidia-cufile-cu13==1.15.1.6",
    "cudnn 9.10.2.21",
    "2.13.0+cu129",
    "5.15.153.1-microsoft",
)
ALL = " ; ".join((*CANARIES.values(), *VERSIONS))


def filled(kind: Any, text: str = ALL) -> Any:
    """Return a value of the type with this text in every place for a text."""
    origin, inner = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind(
            **{
                name: filled(of, text)
                for name, of in get_type_hints(kind).items()
                if name != "__match_args__"
            }
        )
    if kind is str:
        return text
    if origin is Literal:
        return inner[0]
    if origin is tuple:
        return (filled(inner[0], text), filled(inner[0], text))
    if origin is dict:
        return {f"{n} {text}": filled(inner[1], text) for n in (1, 2)}
    if kind is Any:
        return {
            text: [text, {"deep": [text], "er": {text: text}}],
            "n": 7,
            "HF_TOKEN": "x y",
            **NAMED,
        }
    if origin is not None:  # this or that
        return filled(inner[0], text)
    return kind(1)


def report(text: str = ALL) -> Report:
    source: Report = filled(Report, text)
    return msgspec.structs.replace(
        source, packages={**source.packages, "nvidia-cudnn-cu12": Package(version="9.1.0.70")}
    )
