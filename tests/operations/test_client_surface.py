"""The client as boto3 users know it: methods, exceptions, metadata; what is not built says so."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from typing import Any

import boto3
import botocore.exceptions
import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel

from clavero.audit.members import SOURCES
from clavero.model.operations import OPERATIONS

MODEL = ServiceModel(Loader().load_service_model("kms", "service-2"), "kms")
BUILT = {
    "CancelKeyDeletion", "CreateAlias", "CreateGrant", "CreateKey", "Decapsulate", "Decrypt",
    "DeleteAlias", "DeriveSharedSecret", "DescribeKey", "DisableKey", "DisableKeyRotation",
    "EnableKey", "EnableKeyRotation", "Encapsulate", "Encrypt", "GenerateDataKey",
    "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext", "GenerateDataKeyWithoutPlaintext",
    "GenerateMac", "GenerateRandom", "GetKeyLastUsage", "GetKeyPolicy", "GetKeyRotationStatus",
    "GetPublicKey", "ListAliases", "ListGrants", "ListKeyPolicies", "ListKeyRotations", "ListKeys",
    "ListResourceTags", "ListRetirableGrants", "PutKeyPolicy", "ReEncrypt", "ReplicateKey",
    "RetireGrant", "RevokeGrant", "RotateKeyOnDemand", "ScheduleKeyDeletion", "Sign", "TagResource",
    "UntagResource", "UpdateAlias", "UpdateKeyDescription", "UpdatePrimaryRegion", "Verify",
    "VerifyMac",
    "DeleteImportedKeyMaterial", "GetParametersForImport", "ImportKeyMaterial",
}  # fmt: skip
UNBUILT = sorted(set(MODEL.operation_names) - BUILT)
TEXTS = {
    "[0-9]": "123456789012", "cluster": "cluster-234abcDEFGH", "arn:aws": "arn:aws:iam::1:user/a",
    "^([a-z]+-)": "us-east-1", "https": "https://xks.example.com", "kms/xks": "/kms/xks/v1",
    "^[A-Z2-7]": "A" * 20, "\\+=": "x" * 44, "vpce": "com.amazonaws.vpce.us-east-1.vpce-svc-0a",
    "sns": "sns.us-east-1.amazonaws.com", "a-f0-9": "a" * 64, "A-Za-z0-9\\-": "a.b.c",
}  # fmt: skip


def smallest(shape: Any) -> Any:
    """A value that satisfies the shape, with required members only."""
    kind = shape.type_name
    if kind == "structure":
        return {name: smallest(shape.members[name]) for name in shape.required_members}
    if kind == "list":
        return [smallest(shape.member)] * shape.metadata.get("min", 0)
    if kind == "map":
        return {}
    if kind == "string":
        if getattr(shape, "enum", None):
            return shape.enum[0]
        pattern = shape.metadata.get("pattern", "")
        fitting = next((text for start, text in TEXTS.items() if start in pattern), "a")
        return (fitting * shape.metadata.get("min", 1))[: shape.metadata.get("max", 2048)]
    return {
        "blob": b"x" * max(1, shape.metadata.get("min", 1)),
        "integer": shape.metadata.get("min", 1),
        "boolean": False,
        "timestamp": datetime(2026, 1, 1, tzinfo=UTC),
    }[kind]


def test_there_are_56_operations_and_a_boto3_method_for_each(client):
    real = boto3.client(
        "kms", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    assert len(MODEL.operation_names) == 56
    assert client.meta.method_to_api_mapping == dict(real.meta.method_to_api_mapping)
    for method in real.meta.method_to_api_mapping:
        assert callable(getattr(client.unchecked, method))
        assert client.can_paginate(method) == ("Marker" in OPERATIONS[
            client.meta.method_to_api_mapping[method]].input.members)  # fmt: skip
    names = {name for name in dir(real.exceptions) if name[0].isupper()}
    for name in names:
        assert issubclass(getattr(client.exceptions, name), botocore.exceptions.ClientError)
    real.close()


@pytest.mark.parametrize("operation", UNBUILT)
def test_an_operation_that_is_not_built_says_so(kms_client, checked, refused, operation):
    shape = MODEL.operation_model(operation).input_shape
    params = {} if shape is None else smallest(shape)
    text = refused(
        "UnsupportedOperationException",
        getattr(checked(kms_client), OPERATIONS[operation].method),
        **params,
    )
    assert text == (
        f"{operation} is not supported by this release of Clavero: upgrade, or use AWS KMS."
    )


def test_every_operation_is_built_or_says_that_it_is_not(kms):
    handlers = set(kms._service._handlers)
    assert handlers - {"GenerateDataKeys", "EncryptMany", "DecryptMany", *SOURCES} == BUILT
    assert len(UNBUILT) + len(BUILT) == 56


def test_exceptions_are_caught_as_with_boto3(client):
    with pytest.raises(client.exceptions.NotFoundException) as caught:
        client.describe_key(KeyId="alias/none")
    error = caught.value
    assert isinstance(error, botocore.exceptions.ClientError)
    assert isinstance(error, client.exceptions.ClientError)
    assert not isinstance(error, client.exceptions.DisabledException)
    assert error.response["Error"]["Code"] == "NotFoundException"
    assert error.response["message"] == error.response["Error"]["Message"]
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    with pytest.raises(AttributeError, match=r"Valid exceptions are:.*NotFoundException"):
        _ = client.exceptions.NoSuchException


def test_classes_are_the_same_for_every_client(kms, kms_client):
    # Of boto3's clients only those of one session share their classes
    other = kms.client(region="eu-west-1")
    assert kms_client.exceptions.NotFoundException is other.exceptions.NotFoundException
    session = kms.boto3_session()
    one, two = (session.client("kms", region_name=name) for name in ("us-east-1", "eu-west-1"))
    assert one.exceptions.NotFoundException is two.exceptions.NotFoundException


BAD_PARAMETERS = [
    ("encrypt", {}),
    ("encrypt", {"KeyId": 5, "Plaintext": b"x"}),
    ("encrypt", {"KeyId": "", "Plaintext": 5, "Nonsense": 1}),
    ("encrypt", {"KeyId": "k", "Plaintext": b"x", "EncryptionContext": {"a": 1}}),
    ("encrypt", {"KeyId": "k", "Plaintext": b"x", "EncryptionContext": [1]}),
    ("decrypt", {"CiphertextBlob": None}),
    ("list_keys", {"Limit": "5"}),
    ("list_keys", {"Limit": 0}),
    ("create_key", {"Tags": [{"TagKey": "a"}]}),
    ("create_key", {"Tags": "a"}),
    ("generate_random", {"NumberOfBytes": 0}),
    ("import_key_material", {"KeyId": "k", "ValidTo": "nonsense"}),
]


@pytest.mark.parametrize(("method", "params"), BAD_PARAMETERS, ids=str)
def test_what_boto3_would_not_send_is_refused_with_its_words_and_not_recorded(
    deployment, client, method, params
):
    real = boto3.client(
        "kms", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    with pytest.raises(botocore.exceptions.ParamValidationError) as theirs:
        getattr(real, method)(**params)
    with pytest.raises(botocore.exceptions.ParamValidationError) as ours:
        getattr(client, method)(**params)
    assert str(ours.value) == str(theirs.value)
    assert deployment.records() == []
    real.close()


def test_keyword_arguments_only_as_in_boto3(client):
    with pytest.raises(TypeError):
        client.unchecked.encrypt("key", b"x")


def test_a_file_like_object_is_read_for_a_blob(kms_client, tmp_path):
    """botocore's validation names them, but its JSON serializer takes none: here they work."""
    key_id = kms_client.create_key()["KeyMetadata"]["KeyId"]
    file = tmp_path / "plain"
    file.write_bytes(b"data")
    with file.open("rb") as stream:
        blob = kms_client.encrypt(KeyId=key_id, Plaintext=stream)["CiphertextBlob"]
    assert kms_client.decrypt(CiphertextBlob=blob)["Plaintext"] == b"data"

    class Broken:
        def read(self):
            raise OSError(5, "the disk is gone")

    class Wrong:
        def read(self):
            return 5

    for given, text in ((Broken(), "the disk is gone"), (Wrong(), "reads int")):
        with pytest.raises(botocore.exceptions.ParamValidationError, match=text):
            kms_client.encrypt(KeyId="alias/any", Plaintext=given)


def test_metadata_that_other_libraries_read_and_write(deployment):
    client = deployment.client(region="eu-west-1")
    assert client.meta.region_name == "eu-west-1"
    assert client.meta.config.region_name == "eu-west-1"
    assert client.meta.partition == "aws"
    # What the AWS Encryption SDK does to a client that it is given
    client.meta.config.user_agent_extra = "AwsEncryptionSdkPython/4.0.7"
    client.list_keys()
    agent = deployment.records()[-1]["userAgent"]
    if deployment.entry != "in process":  # which read its config when it was made
        assert agent.startswith("Boto3/")
    else:
        assert agent == "AwsEncryptionSdkPython/4.0.7"


def test_request_ids_differ_and_are_those_of_the_records(deployment, client):
    ids = [client.list_keys()["ResponseMetadata"]["RequestId"] for _ in range(5)]
    assert len(set(ids)) == 5
    assert [each["requestID"] for each in deployment.records()] == ids


def test_without_botocore_the_names_and_texts_are_the_same(start_python):
    """A program that has no botocore gets classes of the same names, attributes and messages."""
    program = """
import sys
sys.modules["botocore"] = sys.modules["botocore.exceptions"] = None
import clavero
with clavero.KMS() as kms:
    client = kms.client()
    try: client.describe_key(KeyId="alias/none")
    except client.exceptions.NotFoundException as error:
        assert isinstance(error, client.exceptions.ClientError)
        print(error.response["Error"]["Code"], "|", error)
    try: client.encrypt()
    except Exception as error: print(type(error).__name__, "|", repr(str(error)))
"""
    done = start_python("-c", program, stdout=subprocess.PIPE, text=True)
    assert done.communicate(timeout=60)[0].splitlines() == [
        (
            "NotFoundException | An error occurred (NotFoundException) when calling the "
            "DescribeKey operation: Alias arn:aws:kms:us-east-1:000000000000:alias/none is not "
            "found."
        ),
        (
            "PlainParamValidationError | 'Parameter validation failed:\\nMissing required "
            'parameter in input: "KeyId"\\nMissing required parameter in input: "Plaintext"\''
        ),
    ]
