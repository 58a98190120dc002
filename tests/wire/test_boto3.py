"""An unmodified boto3 client in this process: nothing leaves it, nothing from outside enters."""

from __future__ import annotations

import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import boto3
import botocore.exceptions
import botocore.stub
import pytest
from botocore import UNSIGNED
from botocore.config import Config

from clavero import KMS

ALICE = "arn:aws:iam::000000000000:user/alice"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """A socket, or a name looked up, fails the test."""

    def never(*_args, **_options):
        raise AssertionError("the network was used")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, never)


@pytest.fixture
def client(kms):
    client = kms.boto3_client()
    yield client
    client.close()


def test_it_is_boto3_s_own_client(client):
    real = boto3.client(
        "kms", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    assert [c.__name__ for c in type(client).__mro__] == [c.__name__ for c in type(real).__mro__]
    assert type(client).__mro__[1:] == type(real).__mro__[1:]
    assert client.meta.endpoint_url == real.meta.endpoint_url
    assert client.meta.region_name == "us-east-1"
    assert client.meta.service_model.operation_names == real.meta.service_model.operation_names
    real.close()


def test_a_round_trip_and_its_records(kms, client):
    key = client.create_key(Description="d")["KeyMetadata"]
    assert key["CreationDate"] == datetime(2026, 1, 1, tzinfo=UTC)
    assert key["CreationDate"].tzinfo is not None
    context = {"a": "b", "\u00fc": "\u00e4"}
    made = client.generate_data_key(KeyId=key["Arn"], KeySpec="AES_256", EncryptionContext=context)
    opened = client.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=context)
    assert opened["Plaintext"] == made["Plaintext"]
    assert type(opened["Plaintext"]) is bytes
    # and the other entry has the same keys
    assert kms.client().decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=context)[
        "Plaintext"
    ] == made["Plaintext"]  # fmt: skip
    records = kms.audit_records()
    assert [record["eventName"] for record in records[:3]] == [
        "CreateKey", "GenerateDataKey", "Decrypt",
    ]  # fmt: skip
    ids = [answer["ResponseMetadata"]["RequestId"] for answer in (made, opened)]
    assert [record["requestID"] for record in records[1:3]] == ids
    assert records[0]["userAgent"].startswith("Boto3/")
    assert records[0]["userIdentity"]["type"] == "Root"


def test_errors_are_botocore_s(kms, client):
    with pytest.raises(client.exceptions.NotFoundException) as caught:
        client.describe_key(KeyId="alias/none")
    assert isinstance(caught.value, botocore.exceptions.ClientError)
    response = caught.value.response
    assert response["Error"]["Message"].endswith("alias/none is not found.")
    assert response["message"] == response["Error"]["Message"]
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert response["ResponseMetadata"]["RetryAttempts"] == 0
    assert response["ResponseMetadata"]["RequestId"] == kms.audit_records()[-1]["requestID"]
    with pytest.raises(botocore.exceptions.ParamValidationError):
        client.describe_key()
    assert len(kms.audit_records()) == 1


def test_times_are_the_same_in_every_zone(start_python):
    program = """
import clavero
with clavero.KMS(clock=clavero.ManualClock()) as kms:
    key_id = kms.client().create_key()["KeyMetadata"]["KeyId"]
    made = [client.describe_key(KeyId=key_id)["KeyMetadata"]["CreationDate"]
            for client in (kms.client(), kms.boto3_client())]
    print(*(time.isoformat() for time in made), made[0] == made[1])
"""
    done = start_python("-c", f"import os, time; os.environ['TZ'] = 'Asia/Tokyo'; time.tzset()\n"
                        f"{program}", stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert done.communicate(timeout=60)[0] == (
        "2026-01-01T00:00:00+00:00 2026-01-01T09:00:00+09:00 True\n"
    )


def test_both_entries_tell_the_same_of_an_error(kms, client):
    for method, params in (
        ("describe_key", {"KeyId": "alias/none"}),
        ("decrypt", {"CiphertextBlob": b"no blob of ours"}),
        ("list_keys", {"Limit": 5000}),
        ("list_keys", {"Marker": "m"}),
        ("connect_custom_key_store", {"CustomKeyStoreId": "cks-1234567890abcdef0"}),
    ):
        responses = []
        for entry in (client, kms.client()):
            with pytest.raises(botocore.exceptions.ClientError) as caught:
                getattr(entry, method)(**params)
            response = dict(caught.value.response)
            metadata = response.pop("ResponseMetadata")
            responses.append(
                (str(caught.value), type(caught.value).__name__, response, sorted(metadata),
                 metadata["HTTPStatusCode"])
            )  # fmt: skip
        assert responses[0] == responses[1]


def test_who_and_where(kms):
    key_id = kms.client(region="eu-west-1").create_key()["KeyMetadata"]["KeyId"]
    session = kms.boto3_session(region="eu-west-1")
    assert session.region_name == "eu-west-1"
    assert session.client("kms").list_keys()["Keys"][0]["KeyId"] == key_id
    assert session.client("kms", region_name="us-east-1").list_keys()["Keys"] == []
    other = kms.boto3_client(region="eu-west-1", account="111122223333")
    assert other.list_keys()["Keys"] == []
    made = other.create_key()["KeyMetadata"]
    assert made["Arn"].startswith("arn:aws:kms:eu-west-1:111122223333:key/")
    alice = kms.boto3_client(region="eu-west-1", principal=ALICE)
    with pytest.raises(botocore.exceptions.ClientError, match="user/alice is not authorized"):
        alice.list_keys()
    assert kms.audit_records()[-1]["userIdentity"]["arn"] == ALICE


@pytest.mark.parametrize(
    ("whose", "text"),
    [
        ({"account": "123"}, "12 digits"),
        ({"region": "nowhere"}, "AWS Region"),
        ({"principal": "alice"}, "IAM or STS ARN"),
        ({"principal": ALICE, "account": "111122223333"}, "not of account"),
    ],
    ids=str,
)
def test_callers_that_cannot_be_are_refused(kms, whose, text):
    with pytest.raises(ValueError, match=text):
        kms.boto3_client(**whose)
    with pytest.raises(ValueError, match=text):
        kms.boto3_session(**whose)


def refused(client):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        client.list_keys()
    return caught.value.response["Error"]


def test_a_client_with_other_credentials_or_none_is_nobody(kms):
    other = kms.boto3_client(aws_access_key_id="AKIAEXAMPLE", aws_secret_access_key="s")
    assert refused(other) == {
        "Code": "UnrecognizedClientException",
        "Message": "The security token included in the request is invalid.",
    }
    unsigned = kms.boto3_client(config=Config(signature_version=UNSIGNED))
    assert refused(unsigned)["Code"] == "MissingAuthenticationTokenException"
    nowhere = kms.boto3_session().client("kms", region_name="nowhere")
    assert refused(nowhere)["Code"] == "InvalidSignatureException"
    assert kms.audit_records() == []


def test_other_services_are_not_reached(kms):
    session = kms.boto3_session()
    for service, method in (("sts", "get_caller_identity"), ("s3", "list_buckets")):
        client = session.client(service)
        with pytest.raises(RuntimeError, match="reaches the KMS in this process"):
            getattr(client, method)()
        client.close()


def test_the_environment_of_aws_changes_nothing(kms, monkeypatch, tmp_path):
    config = tmp_path / "config"
    config.write_text("[default]\nregion = ap-south-1\nmax_attempts = 9\n[profile p]\nregion=x\n")
    for name, value in {
        "AWS_PROFILE": "no-such-profile",
        "AWS_CONFIG_FILE": str(config),
        "AWS_ACCESS_KEY_ID": "AKIAREAL",
        "AWS_SECRET_ACCESS_KEY": "real",
        "AWS_SESSION_TOKEN": "real",
        "AWS_REGION": "ap-south-1",
        "AWS_DEFAULT_REGION": "ap-south-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_KMS": "http://127.0.0.1:1",
        "AWS_MAX_ATTEMPTS": "7",
        "AWS_RETRY_MODE": "adaptive",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_CA_BUNDLE": "/nonexistent",
        "HTTPS_PROXY": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    client = kms.boto3_client()
    assert client.meta.region_name == "us-east-1"
    assert client.list_keys()["Keys"] == []
    credentials = kms.boto3_session().get_credentials()
    assert credentials.access_key.startswith("CLAV")
    assert credentials.token is None
    monkeypatch.setattr(kms._sink, "write", broken_disk)
    kms._service._write_record = broken_disk
    assert attempts(client) == 0


def broken_disk(record):
    from clavero.audit.sinks import AuditError

    broken_disk.asked += 1  # type: ignore[attr-defined]
    raise AuditError("the disk is full")


def attempts(client) -> int:
    """How often botocore asked again, at a failure of the service."""
    broken_disk.asked = 0  # type: ignore[attr-defined]
    with pytest.raises(client.exceptions.KMSInternalException, match="the disk is full") as caught:
        client.list_keys()
    retries: int = caught.value.response["ResponseMetadata"]["RetryAttempts"]
    assert broken_disk.asked == retries + 1  # type: ignore[attr-defined]
    return retries


def test_a_failure_of_the_service_is_asked_again_only_if_the_config_says_so(kms, monkeypatch):
    kms._service._write_record = broken_disk
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    assert attempts(kms.boto3_client()) == 0
    assert attempts(kms.boto3_client(config=Config(user_agent_extra="x"))) == 0
    for mode in ("legacy", "standard"):
        config = Config(retries={"mode": mode, "total_max_attempts": 3})
        assert attempts(kms.boto3_client(config=config)) == 2


def test_config_and_options_are_boto3_s(kms):
    client = kms.boto3_client(
        config=Config(user_agent_extra="mine/1"), api_version="2014-11-01", verify=False
    )
    client.list_keys()
    assert kms.audit_records()[-1]["userAgent"].endswith("mine/1")
    with pytest.raises(TypeError):
        kms.boto3_client("us-east-1")


def test_stubs_hooks_and_presigned_urls_work_as_ever(client):
    seen = []
    client.meta.events.register("before-send.kms.ListKeys", lambda request, **_: seen.append(
        request.url))  # fmt: skip
    client.list_keys()
    assert seen == ["https://kms.us-east-1.amazonaws.com/"]
    assert "X-Amz-Signature" in client.generate_presigned_url("list_keys")
    with botocore.stub.Stubber(client) as stub:
        stub.add_client_error("list_keys", "ThrottlingException")
        with pytest.raises(botocore.exceptions.ClientError, match="Throttling"):
            client.list_keys()


def test_paginators_are_botocore_s(client):
    ids = sorted(client.create_key()["KeyMetadata"]["KeyId"] for _ in range(5))
    paginator = client.get_paginator("list_keys")
    pages = paginator.paginate(PaginationConfig={"PageSize": 2})
    assert [len(page["Keys"]) for page in pages] == [2, 2, 1]
    assert list(paginator.paginate().search("Keys[].KeyId")) == ids
    assert client.waiter_names == []


def test_one_client_serves_threads(kms, client):
    key_id = client.create_key()["KeyMetadata"]["KeyId"]

    def trip(number: int) -> bool:
        data = str(number).encode()
        blob = client.encrypt(KeyId=key_id, Plaintext=data)["CiphertextBlob"]
        return bool(client.decrypt(CiphertextBlob=blob)["Plaintext"] == data)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(trip, range(100)))
    assert len(kms.audit_records()) == 201


def test_a_closed_kms_says_so():
    with KMS() as kms:
        client = kms.boto3_client()
    with pytest.raises(botocore.exceptions.ClientError, match="The KMS is closed"):
        client.list_keys()


def test_without_boto3_the_refusal_says_what_to_do(start_python):
    program = """
import sys
import clavero
with clavero.KMS() as kms:
    for name, make in (("boto3", kms.boto3_client), ("boto3", kms.boto3_session),
                       ("botocore", kms.botocore_session)):
        sys.modules[name] = sys.modules[f"{name}.session"] = None
        try: make()
        except ImportError as error: print(error.name, "|", error)
"""
    done = start_python("-c", program, stdout=subprocess.PIPE, text=True)
    lines = done.communicate(timeout=60)[0].splitlines()
    assert lines == [
        f"{name} | {name} is not installed: pip install {name}, or use kms.client(), which has "
        "the same methods and needs nothing."
        for name in ("boto3", "boto3", "botocore")
    ]


def test_nothing_of_aws_is_loaded_before_it_is_asked_for(start_python):
    program = """
import sys, clavero
with clavero.KMS() as kms:
    kms.client().list_keys()
    loaded = [m for m in sys.modules if m.split(".")[0] in {"boto3", "botocore", "urllib3"}]
    # A client's exceptions are botocore's, and are loaded with it (a call must import nothing).
    print(sorted(m for m in loaded if m not in {"botocore", "botocore.exceptions"}
                 and not m.startswith("botocore.vendored")))
"""
    done = start_python("-c", program, stdout=subprocess.PIPE, text=True)
    assert done.communicate(timeout=60)[0] == "[]\n"
