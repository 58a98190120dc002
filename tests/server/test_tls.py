"""TLS from outside: what is negotiated, with two TLS libraries; what and who is refused."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL

from clavero import KMS
from clavero.server.endpoint import Endpoint, Tls
from clavero.testing import Served, serving

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def served():
    with KMS() as kms, serving(kms) as made:
        yield made


def speak(port: int, context: ssl.SSLContext) -> str:
    """The first line of the answer to a request without credentials; raises what TLS raises."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as stream,
    ):
        stream.sendall(GET)
        return stream.recv(4096).split(b"\r\n")[0].decode()


def openssl(served: Served) -> SSL.Connection:
    """An open connection of pyOpenSSL, which brings an OpenSSL of its own."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.load_verify_locations(str(served.ca_path))
    context.set_verify(SSL.VERIFY_PEER)
    plain = socket.create_connection(("127.0.0.1", served.endpoint.ports[0]), timeout=30)
    plain.settimeout(None)
    connection = SSL.Connection(context, plain)
    connection.set_tlsext_host_name(b"localhost")
    connection.set_connect_state()
    connection.do_handshake()
    return connection


def test_openssl_gets_the_hybrid_group_by_default(served):
    connection = openssl(served)
    assert connection.get_group_name() == "X25519MLKEM768"
    assert connection.get_protocol_version_name() == "TLSv1.3"
    assert connection.get_cipher_name() == "TLS_AES_256_GCM_SHA384"
    connection.close()


def test_awscrt_gets_the_hybrid_group_by_default(served):
    from awscrt import http, io

    options = io.TlsContextOptions()
    options.override_default_trust_store(served.ca_path.read_bytes())
    tls = io.ClientTlsContext(options).new_connection_options()
    tls.set_server_name("localhost")
    tls.set_alpn_list(["http/1.1"])
    counted = counts(served, 'version="TLSv1.3",group="X25519MLKEM768"')
    connection = http.HttpClientConnection.new(
        host_name="localhost",
        port=served.endpoint.ports[0],
        bootstrap=io.ClientBootstrap.get_or_create_static_default(),
        tls_connection_options=tls,
    ).result(30)
    assert connection.version == http.HttpVersion.Http1_1
    connection.close().result(30)
    # Of the two ends the client's knows first that the handshake is over
    until = time.monotonic() + 20
    while counts(served, 'version="TLSv1.3",group="X25519MLKEM768"') == counted:
        assert time.monotonic() < until
        time.sleep(0.01)


def counts(served: Served, labels: str) -> int:
    for line in served.endpoint.metrics().splitlines():
        if line.startswith(f"clavero_handshakes_total{{{labels}}}"):
            return int(line.rpartition(" ")[2])
    return 0


@pytest.mark.parametrize(
    ("curve", "group"),
    [("X25519", "X25519"), ("prime256v1", "secp256r1"), ("secp384r1", "secp384r1")],
)
def test_clients_without_it_get_a_curve(served, curve, group):
    context = ssl.create_default_context(cafile=str(served.ca_path))
    context.set_ecdh_curve(curve)
    before = counts(served, f'version="TLSv1.3",group="{group}"')
    assert speak(served.endpoint.ports[0], context) == "HTTP/1.1 403 Forbidden"
    assert counts(served, f'version="TLSv1.3",group="{group}"') == before + 1


def test_other_curves_are_refused(served):
    context = ssl.create_default_context(cafile=str(served.ca_path))
    context.set_ecdh_curve("secp521r1")
    with pytest.raises(ssl.SSLError) as caught:
        speak(served.endpoint.ports[0], context)
    assert "HANDSHAKE_FAILURE" in caught.value.reason


@pytest.mark.parametrize(
    "suite",
    [
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    ],
)
def test_tls_1_2_has_forward_secrecy_and_aead(served, suite):
    context = ssl.create_default_context(cafile=str(served.ca_path))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(suite)
    assert speak(served.endpoint.ports[0], context) == "HTTP/1.1 403 Forbidden"


def weak(version: ssl.TLSVersion, suites: str) -> ssl.SSLContext:
    """A client that OpenSSL lets do what it advises against."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers(f"{suites}:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    return context


TLS12 = ssl.TLSVersion.TLSv1_2
WEAK = [
    pytest.param(ssl.TLSVersion.TLSv1, "ALL", "HANDSHAKE_FAILURE", id="TLS 1.0"),
    pytest.param(ssl.TLSVersion.TLSv1_1, "ALL", "HANDSHAKE_FAILURE", id="TLS 1.1"),
    pytest.param(TLS12, "AES256-GCM-SHA384", "HANDSHAKE_FAILURE", id="static RSA"),
    pytest.param(TLS12, "ECDHE-ECDSA-AES256-SHA384", "HANDSHAKE_FAILURE", id="CBC"),
    pytest.param(TLS12, "DHE-RSA-AES256-GCM-SHA384", "HANDSHAKE_FAILURE", id="finite-field DHE"),
    pytest.param(TLS12, "aNULL", "HANDSHAKE_FAILURE", id="anonymous"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize(("version", "suites", "alert"), WEAK)
def test_the_server_refuses_old_versions_and_weak_suites(served, version, suites, alert):
    with pytest.raises(ssl.SSLError) as caught:
        speak(served.endpoint.ports[0], weak(version, suites))
    assert alert in caught.value.reason, "an alert of the server, not a failure of the client"


# With an ECDSA certificate nobody could do these: a server with an RSA certificate could
WEAK_WITH_RSA = [
    pytest.param(ssl.TLSVersion.TLSv1, "ALL", id="TLS 1.0"),
    pytest.param(ssl.TLSVersion.TLSv1_1, "ALL", id="TLS 1.1"),
    pytest.param(TLS12, "AES256-GCM-SHA384", id="static RSA"),
    pytest.param(TLS12, "AES128-SHA", id="static RSA, CBC"),
    pytest.param(TLS12, "ECDHE-RSA-AES256-SHA384", id="CBC"),
    pytest.param(TLS12, "ECDHE-RSA-AES128-SHA", id="CBC, SHA-1"),
    pytest.param(TLS12, "DHE-RSA-AES256-GCM-SHA384", id="finite-field DHE"),
    pytest.param(TLS12, "aNULL", id="anonymous"),
]


@pytest.fixture(scope="module")
def with_rsa(tmp_path_factory):
    """A server with an RSA certificate of its own."""
    folder, key = tmp_path_factory.mktemp("rsa"), rsa.generate_private_key(65537, 2048)
    made = certificate("localhost", key, key, "localhost", dns="localhost")
    (folder / "cert.pem").write_bytes(pem_of(made))
    (folder / "key.pem").write_bytes(private(key))
    tls = Tls(folder / "cert.pem", folder / "key.pem")
    with KMS() as kms, Endpoint(kms, tls=tls) as endpoint:
        yield endpoint


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize(("version", "suites"), WEAK_WITH_RSA)
def test_a_server_with_an_rsa_certificate_refuses_them_too(with_rsa, version, suites):
    with pytest.raises(ssl.SSLError) as caught:
        speak(with_rsa.ports[0], weak(version, suites))
    assert "HANDSHAKE_FAILURE" in caught.value.reason


@pytest.mark.parametrize(
    "suite",
    ["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305"],
)
def test_it_takes_their_better_siblings(with_rsa, suite):
    assert speak(with_rsa.ports[0], weak(TLS12, suite)) == "HTTP/1.1 403 Forbidden"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize(
    ("version", "suites"),
    [each.values[:2] for each in WEAK + WEAK_WITH_RSA if each.id != "finite-field DHE"],
)
def test_those_clients_reach_a_server_that_lets_them(version, suites, tmp_path):
    # The control: what was refused above is really offered. (Python's servers have no finite-field
    # groups to answer with.)
    key = rsa.generate_private_key(65537, 2048)
    ecdsa = ec.generate_private_key(ec.SECP256R1())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for name, own in (("rsa", key), ("ec", ecdsa)):
        pem = tmp_path / f"{name}.pem"
        pem.write_bytes(private(own) + pem_of(certificate("localhost", own, own, "localhost")))
        context.load_cert_chain(pem)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:aNULL:@SECLEVEL=0")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            accepted, _ = listening.accept()
            with accepted, context.wrap_socket(accepted, server_side=True) as stream:
                stream.recv(4096)
                stream.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        assert speak(listening.getsockname()[1], weak(version, suites)) == "HTTP/1.1 200 OK"
        thread.join()


def test_alpn_offers_h2_and_http_1_1(served):
    for offered, chosen in ((["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), ([], None)):
        context = ssl.create_default_context(cafile=str(served.ca_path))
        if offered:
            context.set_alpn_protocols(offered)
        with (
            socket.create_connection(("127.0.0.1", served.endpoint.ports[0])) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as stream,
        ):
            assert stream.selected_alpn_protocol() == chosen
    context = ssl.create_default_context(cafile=str(served.ca_path))
    context.set_alpn_protocols(["spdy/3"])
    with pytest.raises(ssl.SSLError):
        speak(served.endpoint.ports[0], context)


def test_the_certificate_names_this_machine_and_nothing_wider(served):
    context = ssl.create_default_context(cafile=str(served.ca_path))
    with (
        socket.create_connection(("127.0.0.1", served.endpoint.ports[0])) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as stream,
    ):
        shown = x509.load_der_x509_certificate(stream.getpeercert(binary_form=True) or b"")
    assert shown.not_valid_after_utc - shown.not_valid_before_utc < 100 * DAY
    usage = shown.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    authority = x509.load_pem_x509_certificate(served.ca_path.read_bytes())
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    with (
        pytest.raises(ssl.SSLCertVerificationError),
        socket.create_connection(("127.0.0.1", served.endpoint.ports[0])) as plain,
    ):
        context.wrap_socket(plain, server_hostname="kms.us-east-1.amazonaws.com")


# --- certificates of clients ---------------------------------------------------------------------

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def certificate(
    subject: str,
    key: PrivateKey,
    signer: PrivateKey,
    issuer: str,
    *,
    ca: bool = False,
    since: datetime.datetime = NOW - 10 * DAY,
    until: datetime.datetime = NOW + DAY,
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    dns: str | None = None,
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
    )
    if not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if dns is not None:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(dns)]), critical=False
        )
    return builder.sign(signer, hashes.SHA256())


def pem_of(made: x509.Certificate) -> bytes:
    return made.public_bytes(serialization.Encoding.PEM)


def private(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@dataclass
class Party:
    """A CA, and the certificates that it gives."""

    folder: Path
    name: str

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.path = self.folder / f"{self.name}.pem"
        self.path.write_bytes(
            pem_of(certificate(self.name, self.key, self.key, self.name, ca=True))
        )

    def client(self, subject: str, **options) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        made = certificate(subject, key, self.key, self.name, **options)
        path = self.folder / f"{self.name} {subject} {len(list(self.folder.iterdir()))}.pem"
        path.write_bytes(private(key) + pem_of(made))
        return path


@pytest.fixture(scope="module")
def parties(tmp_path_factory):
    """Ours, another, and another that gives itself the name of ours."""
    folder, impostor = (tmp_path_factory.mktemp(name) for name in ("parties", "impostor"))
    return Party(folder, "ours"), Party(folder, "others"), Party(impostor, "ours")


@pytest.fixture(scope="module")
def guarded(parties):
    """A server that lets in `kms-client` and whoever has the DNS name `proxy.example`."""
    tls = Tls(client_authorities=parties[0].path, client_subjects=("kms-client", "proxy.example"))
    with KMS() as kms, serving(kms, tls=tls) as made:
        yield made


def client_context(
    served: Served, certificate: Path | None, version: ssl.TLSVersion
) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(served.ca_path))
    context.minimum_version = context.maximum_version = version
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


def enter(served: Served, certificate: Path | None, version: ssl.TLSVersion) -> str:
    return speak(served.endpoint.ports[0], client_context(served, certificate, version))


BOTH = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


@BOTH
def test_clients_of_the_subject_are_let_in(guarded, parties, version):
    ours = parties[0]
    for path in (ours.client("kms-client"), ours.client("x", dns="proxy.example")):
        assert enter(guarded, path, version) == "HTTP/1.1 403 Forbidden"


TURNED_AWAY = [
    pytest.param(None, "", {}, "CERTIFICATE_REQUIRED", id="no certificate"),
    pytest.param(0, "someone-else", {}, "ACCESS_DENIED", id="another common name"),
    pytest.param(0, "KMS-CLIENT", {}, "ACCESS_DENIED", id="the name in capitals"),
    pytest.param(
        0, "kms-client.example", {"dns": "other.proxy.example"}, "ACCESS_DENIED", id="longer names"
    ),
    pytest.param(0, "kms-client", {"until": NOW - DAY}, "CERTIFICATE_EXPIRED", id="expired"),
    pytest.param(0, "kms-client", {"since": NOW + DAY / 2}, "CERTIFICATE_EXPIRED", id="too early"),
    pytest.param(0, "kms-client", {"usage": ExtendedKeyUsageOID.SERVER_AUTH},
        "UNSUPPORTED_CERTIFICATE", id="of a server"),
    pytest.param(1, "kms-client", {}, "UNKNOWN_CA", id="of another CA"),
    pytest.param(2, "kms-client", {}, "DECRYPT_ERROR", id="of a CA of the same name"),
]  # fmt: skip


@BOTH
@pytest.mark.parametrize(("party", "subject", "options", "alert"), TURNED_AWAY)
def test_all_others_are_told_why_not(guarded, parties, version, party, subject, options, alert):
    shown = None if party is None else parties[party].client(subject, **options)
    context = client_context(guarded, shown, version)
    with (
        socket.create_connection(("127.0.0.1", guarded.endpoint.ports[0]), timeout=30) as plain,
        pytest.raises(ssl.SSLError) as caught,
        context.wrap_socket(plain, server_hostname="localhost") as stream,
    ):
        stream.recv(1)  # nothing was sent, so that no reset overtakes the alert
    assert caught.value.reason.endswith(f"ALERT_{alert}")


def test_without_subjects_the_ca_decides(parties):
    ours, others, _ = parties
    with KMS() as kms, serving(kms, tls=Tls(client_authorities=ours.path)) as made:
        version = ssl.TLSVersion.TLSv1_3
        assert enter(made, ours.client("anyone"), version) == "HTTP/1.1 403 Forbidden"
        with pytest.raises((ssl.SSLError, ConnectionError)):
            enter(made, others.client("anyone"), version)


def test_certificates_of_ones_own_are_read_again(tmp_path, parties):
    def renew(subject: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        made = certificate(subject, key, parties[0].key, "ours", dns="localhost", ca=False)
        (tmp_path / "cert.pem").write_bytes(pem_of(made))
        (tmp_path / "key.pem").write_bytes(private(key))

    def shown(port: int) -> str:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            context.wrap_socket(plain) as stream,
        ):
            made = x509.load_der_x509_certificate(stream.getpeercert(binary_form=True) or b"")
            return made.subject.rfc4514_string()

    renew("first")
    tls = Tls(tmp_path / "cert.pem", tmp_path / "key.pem")
    with KMS() as kms, Endpoint(kms, tls=tls) as endpoint:
        assert endpoint.ca_certificate is None
        assert shown(endpoint.ports[0]) == "CN=first"
        renew("second")
        assert shown(endpoint.ports[0]) == "CN=first"
        endpoint.reload()
        assert shown(endpoint.ports[0]) == "CN=second"
        (tmp_path / "cert.pem").write_bytes(b"")
        with pytest.raises(ValueError, match="no certificate"):
            endpoint.reload()
        assert shown(endpoint.ports[0]) == "CN=second", "it goes on with what it had"
