"""`clavero serve` as a process: first start, `clavero env`, signals, restart, what it refuses."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.server.watching import scrape


def test_the_first_start_says_all_that_a_user_needs_and_the_next_has_it_still(start):
    server = start()
    assert re.fullmatch(r"https://localhost:[0-9]+", server.greeting["endpoint"])
    assert server.greeting["account"] == "000000000000"
    ca = Path(server.greeting["ca"]).read_bytes()
    client = server.client()
    key_id = client.create_key()["KeyMetadata"]["KeyId"]
    blob = client.encrypt(KeyId=key_id, Plaintext=b"kept")["CiphertextBlob"]
    assert server.client("sts").get_caller_identity()["Account"] == "000000000000"
    secret = server.environment()["AWS_SECRET_ACCESS_KEY"]
    client.close()
    assert server.stop() == (0, "")

    for file in server.data.rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes(), file
            assert b"PRIVATE KEY" not in file.read_bytes(), file
            assert file.stat().st_mode & 0o077 == 0, file
    again = start()
    assert again.greeting["access_key"] == server.greeting["access_key"]
    assert Path(again.greeting["ca"]).read_bytes() == ca, "who trusted the CA trusts it still"
    client = again.client()
    assert client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"kept"
    client.close()
    assert again.stop() == (0, "")


def test_env_is_made_for_a_shell(start):
    server = start()
    script = server.ask("env").stdout.decode()
    shown = subprocess.run(
        ["sh", "-c", f"{script}\nenv"], capture_output=True, text=True, check=True, env={}
    ).stdout
    found = dict(line.split("=", 1) for line in shown.splitlines() if line.startswith("AWS_"))
    assert found == server.environment()
    assert set(found) == {
        "AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_IAM",
        "AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_SECRET_ACCESS_KEY",
        "AWS_CA_BUNDLE", "AWS_DEFAULT_REGION",
    }  # fmt: skip


def test_accounts_are_made_while_it_runs(start):
    server = start()
    made = json.loads(server.ask("account", "create", "111122223333", "--output", "json").stdout)
    session = boto3.Session(made["AccessKeyId"], made["SecretAccessKey"], region_name="eu-west-1")
    client = session.client(
        "kms", endpoint_url=server.greeting["endpoint"], verify=server.greeting["ca"]
    )
    assert client.create_key()["KeyMetadata"]["AWSAccountId"] == "111122223333"
    client.close()
    assert server.ask("account", "list").stdout.split() == [b"000000000000", b"111122223333"]
    again = server.ask("account", "create", "111122223333")
    assert (again.returncode, b"exists already" in again.stderr) == (1, True)
    wrong = server.ask("account", "create", "12")
    assert (wrong.returncode, b"12 digits" in wrong.stderr) == (1, True)
    found = server.ask("env", "--account", "111122223333", "--output", "json")
    assert json.loads(found.stdout)["AWS_ACCESS_KEY_ID"] == made["AccessKeyId"]


def test_without_a_server_env_says_so_and_accounts_are_made_in_the_store(start_python, tmp_path):
    def run(*arguments: str) -> tuple[int, str, str]:
        asking = start_python(
            "-m", "clavero", "--data", tmp_path / "data", *arguments,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        output, errors = asking.communicate()
        return asking.returncode, output.decode(), errors.decode()

    code, _, errors = run("env", "--wait", "0")
    assert (code, "No server runs on" in errors) == (1, True)
    code, output, _ = run("account", "create", "111122223333", "--output", "json")
    assert (code, json.loads(output)["Account"]) == (0, "111122223333")
    assert run("account", "list") == (0, "111122223333\n", "")


def test_the_clock_moves_only_where_that_was_asked_for(start, tmp_path):
    server = start("--test-clock", "--volatile")
    client = server.client()
    key_id = client.create_key()["KeyMetadata"]["KeyId"]
    client.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    assert server.ask("clock", "advance", str(7 * 86_400)).returncode == 0
    with pytest.raises(client.exceptions.NotFoundException):  # signed by the machine's time
        client.describe_key(KeyId=key_id)
    client.close()
    assert server.stop()[0] == 0
    assert not (server.data / "clavero.db").exists(), "it was volatile"
    other = start(data=tmp_path / "other")
    refused = other.ask("clock", "advance", "1")
    assert (refused.returncode, b"--test-clock" in refused.stderr) == (1, True)


def test_metrics_and_probes_are_apart(start):
    server = start("--metrics", "127.0.0.1:0")
    client = server.client()
    key_id = client.create_key()["KeyMetadata"]["KeyId"]
    for _ in range(3):
        client.encrypt(KeyId=key_id, Plaintext=b"counted")
    with pytest.raises(client.exceptions.NotFoundException):
        client.encrypt(KeyId="alias/nobody", Plaintext=b"counted")
    url = server.greeting["metrics"]
    found = scrape(url)
    client.close()
    assert found['clavero_requests_total{operation="Encrypt",result="ok"}'] == 3
    assert found['clavero_requests_total{operation="Encrypt",result="client_error"}'] == 1
    assert found['clavero_request_seconds_count{operation="Encrypt"}'] == 4
    assert found['clavero_request_seconds_bucket{operation="Encrypt",le="+Inf"}'] == 4
    (handshake,) = (name for name in found if name.startswith("clavero_handshakes_total"))
    assert re.fullmatch(r'.*\{version="TLSv1.3",group="[A-Za-z0-9]+"\}', handshake)
    assert found["clavero_loaded_keys"] == 1
    assert found['clavero_shielded_secrets{kind="access_key"}'] == 1
    assert found['clavero_shielded_secrets{kind="signing_key"}'] == 1
    (protection,) = (name for name in found if name.startswith("clavero_memory_protection"))
    assert re.fullmatch(r'clavero_memory_protection\{level="[a-z_]+"\}', protection)
    # The signing key was derived once, for five requests; the key was there since it was made
    assert found['clavero_cache_hits_total{cache="signing_keys"}'] == 4
    assert found['clavero_cache_misses_total{cache="signing_keys"}'] == 1
    assert found['clavero_cache_hits_total{cache="key_handles"}'] == 3
    assert found['clavero_cache_misses_total{cache="key_handles"}'] == 0
    assert found['clavero_cache_hits_total{cache="decisions"}'] == 0
    assert found["clavero_connections"] == 1
    assert found["clavero_connections_limit"] == 16_384
    for path, expected in (("/livez", b"live\n"), ("/readyz", b"ready\n")):
        with urllib.request.urlopen(url.replace("/metrics", path)) as answer:  # noqa: S310
            assert answer.read() == expected


def test_sighup_reads_certificates_again(start, tmp_path):
    def renew(subject: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .sign(key, hashes.SHA256())
        )
        (tmp_path / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
        encoded = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / "key.pem").write_bytes(encoded)

    renew("first")
    server = start("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    port = int(server.greeting["endpoint"].rpartition(":")[2])

    def shown() -> str:
        found = x509.load_pem_x509_certificate(
            ssl.get_server_certificate(("127.0.0.1", port)).encode()
        )
        return found.subject.rfc4514_string()

    def hang_up() -> str:
        server.process.send_signal(signal.SIGHUP)
        return json.loads(server.process.stderr.readline())["message"]

    assert shown() == "CN=first"
    renew("second")
    assert hang_up() == "the certificates were read again"
    assert shown() == "CN=second"
    (tmp_path / "cert.pem").write_bytes(b"")
    assert "no certificate" in hang_up()
    assert shown() == "CN=second", "it goes on with what it had"
    assert server.stop()[0] == 0


def test_one_server_for_a_store(start, start_python):
    server = start()
    second = start_python(
        "-m", "clavero", "serve", "--data", server.data, "--port", "0",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    _, errors = second.communicate()
    assert second.returncode == 1
    assert f"pid {server.process.pid}" in errors.decode()
    assert server.ask("account", "list").returncode == 0, "the first one goes on"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--listen", "0.0.0.0:0", "--insecure-http"), "loopback addresses only"),
        (("--listen", "localhost:1"), "no address and port"),
        (("--listen", "127.0.0.1:0,vpce=x"), "no option of a listener"),
        (("--mtls-subject", "a"), "needs --mtls-ca"),
        (("--tls-cert", "/dev/null"), "belong together"),
        (("--tls-cert", "/dev/null", "--tls-key", "/dev/null"), "no certificate"),
        (("--trusted-proxy", "ten"), "no address and no network"),
        (("--proxy-protocol",), "needs --trusted-proxy"),
        (("--insecure-http", "--host", "kms.example"), "exclude each other"),
    ],
)
def test_settings_that_make_no_sense_are_refused(start_python, tmp_path, options, message):
    process = start_python(
        "-m", "clavero", "serve", "--data", tmp_path / "data", "--port", "0", *options,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2, errors
    assert message in errors.decode()


def test_it_starts_in_under_a_second_of_work(start, tmp_path, monkeypatch):
    # As installed packages are: with their bytecode compiled, which the first start does here
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "bytecode"))
    took = []
    for number in range(3):
        server = start(data=tmp_path / f"data{number}")  # an empty folder each time
        # Processor time, which other work on the machine stretches less than the wall clock's
        fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
        took.append((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
        server.stop()
    assert min(took[1:]) < 1.0, took
