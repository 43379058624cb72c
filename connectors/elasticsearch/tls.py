"""Whom to trust: an authority, or one certificate, known by its fingerprint."""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
from pathlib import Path

import httpx

from retrieve_rerank.errors import ConfigError, ConnectionFailedError

_TIMEOUT_S = 10.0


def trusting_context(ca_certs: Path | None) -> ssl.SSLContext:
    """Make a context that trusts the authorities in a file; None takes the usual public ones.

    Raises ConfigError where the file cannot be read.
    """
    if ca_certs is None:
        return httpx.create_ssl_context()
    try:
        return ssl.create_default_context(cafile=ca_certs)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(f"cannot read certificates from {ca_certs}: {exc}") from exc


def pinned_context(host: str, port: int, fingerprint: str) -> ssl.SSLContext:
    """Make a context that trusts what the certificate with this SHA-256 has signed, and no other.

    The certificate is taken from what the server shows: its own, or its authority's if it sends
    the whole chain. Names are not compared, as the fingerprint says whom to trust. Raises
    ConfigError, and ConnectionFailedError where the server shows no such certificate.
    """
    wanted = fingerprint.replace(":", "").lower()
    if not re.fullmatch("[0-9a-f]{64}", wanted):
        raise ConfigError("a fingerprint is a SHA-256: 64 hexadecimal digits, colons allowed")
    chain = _shown_by(host, port)
    shown = {hashlib.sha256(each).hexdigest(): each for each in chain}
    if wanted not in shown:
        raise ConnectionFailedError(
            f"no certificate of {host}:{port} has the fingerprint {wanted}; it shows: "
            f"{', '.join(shown)}"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # also where it is not self-signed
    context.load_verify_locations(cadata=shown[wanted])
    return context


def _shown_by(host: str, port: int) -> list[bytes]:
    """Fetch the certificates that a server shows, in DER."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as encrypted,
        ):
            if hasattr(encrypted, "get_unverified_chain"):  # since Python 3.13
                return list(encrypted.get_unverified_chain())
            inner = encrypted._sslobj  # type: ignore[attr-defined]  # as urllib3 does before 3.13
            return [
                ssl.PEM_cert_to_DER_cert(each.public_bytes())
                for each in inner.get_unverified_chain()
            ]
    except OSError as exc:
        raise ConnectionFailedError(f"cannot reach {host}:{port}: {exc}") from exc
