"""The certificate authorities of this host: from the environment, pip's settings or the system."""

from __future__ import annotations

import os
from pathlib import Path

_SYSTEM = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
_configured: list[str] = []


def trust(bundle: str | None) -> None:
    """Use the bundle that pip is configured with; bundles from the environment come before it."""
    _configured[:] = [bundle] if bundle else []


def bundle() -> str | bool:
    """Return the path of a bundle, or True for that of the HTTP library.

    The library's own bundle comes last: it lacks the authority of an inspecting proxy.
    """
    import ssl  # only who talks to a server needs it, and it loads slowly

    from_environment = [os.environ.get(name, "") for name in ("PIP_CERT", "SSL_CERT_FILE")]
    default = ssl.get_default_verify_paths().cafile or ""
    candidates = (*from_environment, *_configured, default, *_SYSTEM)
    return next((path for path in candidates if path and Path(path).exists()), True)
