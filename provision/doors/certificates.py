"""Which certificate authorities this host trusts: as the environment, pip's settings or the system have them."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

_SYSTEM = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_configured: list[str] = []


def trust(bundle: str | None) -> None:
    """The bundle that pip is set up with here; what the environment names goes before it."""
    _configured.clear()
    _configured.extend([bundle] if bundle else [])


def bundle() -> str | bool:
    """A path for the HTTP library, or True for its own, which comes last: behind an inspecting proxy it lacks one."""
    named = [os.environ.get(name, "") for name in ("PIP_CERT", "SSL_CERT_FILE")]
    known = (*named, *_configured, ssl.get_default_verify_paths().cafile or "", *_SYSTEM)
    return next((path for path in known if path and Path(path).exists()), True)
