"""The servers that the endpoint is measured beside: each a process on loopback, over at the end."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

# `make bench` installs requirements/bench.txt here.
PEERS: Final = Path(__file__).parents[1] / "target" / "bench-peers" / "bin"
_START_SECONDS: Final = 30.0

_APPLICATION: Final = """
import os
BODY = os.environ["CONSTANT"].encode()
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"application/x-amz-json-1.1"),
        (b"content-length", str(len(BODY)).encode()),
    ],
}
END = {"type": "http.response.body", "body": BODY}

async def application(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send(START)
    await send(END)
"""

# One worker: with a second there is no core left for wrk.
_NGINX: Final = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit; {user}
events {{ worker_connections 256; }}
http {{
    access_log off; keepalive_requests 1000000000; default_type application/x-amz-json-1.1;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem;
        location / {{ return 200 '{constant}'; }}
    }}
}}
"""


# What AWS's documentation signs its examples with: moto reads the service from it, and no more.
EXAMPLE: Final = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AWS_REGION": "us-east-1",
}


class Missing(Exception):
    """A server that cannot be had, and why."""


@contextmanager
def clavero(folder: Path) -> Iterator[dict[str, str]]:
    """`clavero serve` on a durable store with its audit file; gives what `clavero env` prints."""
    command = [sys.executable, "-m", "clavero"]
    serve = [*command, "serve", "--data", str(folder), "--port", "0", "--output", "json"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            while server.stdout.readline() not in {"}\n", ""}:
                pass  # the greeting: one JSON object
            asked = [*command, "--data", str(folder), "env", "--output", "json"]
            told = subprocess.run(asked, check=True, capture_output=True, text=True)
            yield json.loads(told.stdout)
        finally:
            server.terminate()


@contextmanager
def moto() -> Iterator[str]:
    """moto_server over plain HTTP; gives its URL."""
    port = _free_port()
    with _running([_peer("moto_server"), "-H", "127.0.0.1", "-p", str(port)], port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def nginx(folder: Path, constant: str) -> Iterator[str]:
    """nginx with one worker, answering a constant over TLS; gives its URL."""
    program = shutil.which("nginx")
    if program is None:
        raise Missing("nginx is not installed (Debian and Ubuntu: apt-get install nginx)")
    _certificate(folder)
    port = _free_port()
    settings = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    settings.write_text(_NGINX.format(folder=folder, port=port, constant=constant, user=user))
    with _running([program, "-p", str(folder), "-c", str(settings)], port):
        yield f"https://localhost:{port}"


@contextmanager
def uvicorn(folder: Path, constant: str) -> Iterator[str]:
    """uvicorn on uvloop and httptools, one worker, a constant over TLS; gives its URL."""
    program = _peer("uvicorn")
    _certificate(folder)
    port = _free_port()
    (folder / "constant.py").write_text(_APPLICATION)
    command = [program, "--port", str(port), "--loop", "uvloop", "--http", "httptools"]
    command += ["--no-access-log", "--log-level", "error", "--app-dir", str(folder)]
    command += ["--ssl-certfile", f"{folder}/certificate.pem", "--ssl-keyfile", f"{folder}/key.pem"]
    with _running([*command, "constant:application"], port, CONSTANT=constant):
        yield f"https://localhost:{port}"


def _peer(name: str) -> str:
    program = PEERS / name
    if not program.exists():
        raise Missing(f"{name} is not installed: requirements/bench.txt goes to {PEERS.parent}")
    return str(program)


@contextmanager
def _running(command: list[str], port: int, **environment: str) -> Iterator[None]:
    # Into a file: moto_server logs each request, and waits for ever once nobody empties its pipe.
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=log
        ) as server,
    ):
        try:
            _await(server, port, log)
            yield
        finally:
            server.terminate()


def _await(server: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> None:
    due = time.monotonic() + _START_SECONDS
    while time.monotonic() < due:
        if server.poll() is not None:
            log.seek(0)
            raise Missing(f"{server.args!r} ended: {log.read().decode()[-500:]}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise Missing(f"{server.args!r} does not listen after {_START_SECONDS:.0f} s")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _certificate(folder: Path) -> None:
    """A certificate as ours has it: ECDSA on P-256."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
