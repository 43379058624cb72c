"""How a server is reached: the port, compression, a certificate of one's own."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from retrieve_rerank.connectors.qdrant import QdrantConnector
from retrieve_rerank.connectors.qdrant.address import Address
from retrieve_rerank.errors import ConfigError, ConnectionFailedError
from tests.connectors.qdrant.stub import Stub, serving


@pytest.mark.parametrize(
    ("host", "compress"),
    [
        *[(near, False) for near in ("localhost", "127.0.0.1", "[::1]", "10.1.2.3", "qdrant")],
        *[(near, False) for near in ("[fd00::7]", "192.168.0.9", "db.internal", "nas.local")],
        *[(far, True) for far in ("x.cloud.qdrant.io", "8.8.8.8", "[2606:4700::1111]")],
    ],
)
def test_answers_of_hosts_nearby_come_uncompressed(host: str, compress: bool) -> None:
    assert Address.parse(f"qdrant+https://{host}/docs").compress is compress
    assert Address.parse(f"qdrant+https://{host}/docs", compress=not compress).compress != compress


def test_a_server_is_told_what_it_may_compress_by(stub: Stub) -> None:
    QdrantConnector.create(stub.url, encoder=None).close()
    assert set(stub.encodings) == {"identity"}
    stub.encodings.clear()
    QdrantConnector.connect(stub.url, compress=True).close()
    assert all("gzip" in each for each in stub.encodings)
    assert stub.encodings


def test_grpc_is_at_the_next_port_or_where_it_is_said_to_be() -> None:
    assert Address.parse("qdrant://host/docs").grpc_port == 6334
    assert Address.parse("qdrant+https://host:443/docs", grpc_port=443).grpc_port == 443


def test_a_server_that_wants_a_certificate_is_shown_one(tmp_path: Path) -> None:
    _certificate(tmp_path, "ca")
    for name in ("server", "client"):
        _certificate(tmp_path, name, signed_by="ca")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    context.load_verify_locations(tmp_path / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    both = tmp_path / "both.pem"
    both.write_text((tmp_path / "client.pem").read_text() + (tmp_path / "client.key").read_text())
    ca: dict[str, Any] = {"ca_certs": tmp_path / "ca.pem"}
    with serving(Stub(), tls=context) as stub:
        shown: dict[str, Any] = {
            "client_cert": tmp_path / "client.pem",
            "client_key": tmp_path / "client.key",
        }
        QdrantConnector.create(stub.url, encoder=None, **ca, **shown).close()
        QdrantConnector.connect(stub.url, **ca, client_cert=both).close()
        with pytest.raises(ConnectionFailedError, match=r"broke off|reached"):
            QdrantConnector.connect(stub.url, **ca)
        with pytest.raises(ConfigError, match=r"cannot read certificates from .*client\.pem"):
            QdrantConnector.connect(stub.url, **ca, client_cert=tmp_path / "client.pem")


def _certificate(folder: Path, name: str, *, signed_by: str | None = None) -> None:
    """Write NAME.pem and NAME.key, for 127.0.0.1."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key"]
    command += ["-out", f"{name}.pem"]
    if signed_by is None:
        command += ["-addext", "keyUsage=critical,keyCertSign"]
    else:
        command += ["-CA", f"{signed_by}.pem", "-CAkey", f"{signed_by}.key"]
        command += ["-addext", "basicConstraints=critical,CA:FALSE"]
        command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
