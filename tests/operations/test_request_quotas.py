"""Request quotas: AWS's numbers, counted by the clock, per account, Region and class."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.config import Config

from clavero import KMS, ManualClock, RequestQuotas
from clavero.model.errors import KMSError
from clavero.model.operations import OPERATIONS
from clavero.model.requestquotas import DEFAULTS, ECC, ML_DSA, ML_KEM, RSA, SYMMETRIC, classes_of
from clavero.ops.throttle import Throttle

TEXT = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."
CODE = "ThrottlingException"


class Limited:
    """A KMS with request quotas, and a checked client over one of the entries."""

    def __init__(self, entry: str, checked: Any, quotas: RequestQuotas) -> None:
        self.clock = ManualClock()
        self.kms = KMS(clock=self.clock, request_quotas=quotas)
        self._entry = entry
        self._checked = checked

    def client(self, **whose: Any) -> Any:
        if self._entry == "boto3":
            return self._checked(self.kms.boto3_client(**whose), beyond=self.kms.client(**whose))
        return self._checked(self.kms.client(**whose))


@pytest.fixture(params=["in process", "boto3"])
def limited(request, checked):
    """Make a KMS with these quotas and no other."""
    opened = []

    def make(rates: Any, *, aws: bool = False) -> Limited:
        quotas = RequestQuotas(rates) if aws else RequestQuotas.only(rates)
        opened.append(Limited(request.param, checked, quotas))
        return opened[-1]

    yield make
    for each in opened:
        each.kms.close()


def test_without_request_quotas_nothing_is_throttled(client):
    for _ in range(40):
        client.list_keys()
        client.create_key()


def test_a_burst_of_one_second_passes_and_the_next_call_is_throttled(limited, refused):
    here = limited({}, aws=True)
    client = here.client()
    keys = [client.create_key()["KeyMetadata"]["KeyId"] for _ in range(5)]
    assert refused(CODE, client.create_key) == TEXT
    for key in keys:
        client.update_key_description(KeyId=key, Description="x")
    assert refused(CODE, client.update_key_description, KeyId=keys[0], Description="y") == TEXT
    assert client.describe_key(KeyId=keys[0])["KeyMetadata"]["Description"] == "x"


def test_a_bucket_fills_at_the_rate_by_the_clock_and_to_one_second(limited, refused):
    here = limited({"CreateKey": 5})
    client = here.client()
    for _ in range(5):
        client.create_key()
    for _ in range(12):  # each a fifth of a second later
        refused(CODE, client.create_key)
        here.clock.advance(0.2)
        client.create_key()
    here.clock.advance(3600)
    for _ in range(5):
        client.create_key()
    refused(CODE, client.create_key)


def test_a_rate_below_one_is_one_call_in_so_many_seconds(limited, refused):
    here = limited({"GenerateDataKeyPair (ECC_NIST_P256)": 0.25})
    client = here.client()
    key = client.create_key()["KeyMetadata"]["KeyId"]
    pair = {"KeyId": key, "KeyPairSpec": "ECC_NIST_P256"}
    client.generate_data_key_pair(**pair)
    here.clock.advance(3)
    refused(CODE, client.generate_data_key_pair_without_plaintext, **pair)
    here.clock.advance(1)
    client.generate_data_key_pair_without_plaintext(**pair)
    client.generate_data_key_pair(KeyId=key, KeyPairSpec="ECC_NIST_P384")


def test_cryptographic_operations_share_a_quota_by_the_kind_of_the_key(limited, refused):
    here = limited({SYMMETRIC: 6, RSA: 2, ECC: 1})
    client = here.client()
    key = client.create_key()["KeyMetadata"]["KeyId"]
    mac_key = client.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    curve = client.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    rsa = client.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
    blob = client.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    client.decrypt(CiphertextBlob=blob)
    client.generate_data_key(KeyId=key, KeySpec="AES_256")
    client.generate_data_keys(KeyId=key, KeySpec="AES_256", NumberOfKeys=100)
    client.generate_mac(
        KeyId=mac_key["KeyMetadata"]["KeyId"], MacAlgorithm="HMAC_SHA_256", Message=b"x"
    )
    into_rsa = {
        "CiphertextBlob": blob,
        "DestinationKeyId": rsa["KeyMetadata"]["KeyId"],
        "DestinationEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
    }
    client.re_encrypt(**into_rsa)  # one of either kind
    refused(CODE, client.generate_random, NumberOfBytes=1)
    refused(CODE, client.encrypt_many, key, [b"x"])
    # Refused for its symmetric key, it did not count for the other
    refused(CODE, client.re_encrypt, **into_rsa)
    rsa_encrypt = {
        "KeyId": rsa["KeyMetadata"]["KeyId"],
        "Plaintext": b"x",
        "EncryptionAlgorithm": "RSAES_OAEP_SHA_256",
    }
    client.encrypt(**rsa_encrypt)
    refused(CODE, client.encrypt, **rsa_encrypt)
    sign = {
        "KeyId": curve["KeyMetadata"]["KeyId"],
        "SigningAlgorithm": "ECDSA_SHA_256",
        "Message": b"x",
    }
    client.sign(**sign)
    refused(CODE, client.sign, **sign)
    client.describe_key(KeyId=key)  # management has quotas of its own


def test_accounts_and_regions_are_counted_apart(limited, refused):
    here = limited({"ListKeys": 1})
    home = here.client()
    home.list_keys()
    refused(CODE, home.list_keys)
    here.client(region="eu-west-1").list_keys()
    here.client(account="111122223333").list_keys()
    alice = here.client(principal="arn:aws:iam::000000000000:user/alice")
    refused(CODE, alice.list_keys)  # before it is looked at what she may


def test_a_cross_account_call_counts_for_the_account_that_makes_it(limited, refused):
    here = limited({"RetireGrant": 1})
    owner, other = here.client(), here.client(account="111122223333")
    key = owner.create_key()["KeyMetadata"]
    grants = [
        owner.create_grant(
            KeyId=key["Arn"],
            GranteePrincipal="111122223333",
            RetiringPrincipal="arn:aws:iam::111122223333:root",
            Operations=["Encrypt"],
        )["GrantToken"]
        for _ in range(3)
    ]
    other.retire_grant(GrantToken=grants[0])
    refused(CODE, other.retire_grant, GrantToken=grants[1])
    owner.retire_grant(GrantToken=grants[1])
    refused(CODE, owner.retire_grant, GrantToken=grants[2])


def test_a_throttled_call_is_on_record(limited, refused):
    here = limited({"DisableKey": 1})
    client = here.client()
    key = client.create_key()["KeyMetadata"]
    client.disable_key(KeyId=key["KeyId"])
    refused(CODE, client.disable_key, KeyId=key["KeyId"])
    record = here.kms.audit_records()[-1]
    assert (record["eventName"], record["errorCode"]) == ("DisableKey", CODE)
    assert record["errorMessage"] == TEXT
    assert [each["ARN"] for each in record["resources"]] == [key["Arn"]]


def test_boto3_tries_a_throttled_call_again_where_it_is_told_to(monkeypatch):
    clock = ManualClock()
    # What boto3 sleeps before it tries again is time that goes by
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: clock.advance(1)))
    with KMS(clock=clock, request_quotas=RequestQuotas.only({"ListKeys": 1})) as kms:
        config = Config(retries={"total_max_attempts": 2, "mode": "standard"})
        client = kms.boto3_client(config=config)
        client.list_keys()
        assert client.list_keys()["ResponseMetadata"]["RetryAttempts"] == 1
        codes = [record.get("errorCode") for record in kms.audit_records()]
        assert codes == [None, CODE, None]
        client.close()


def test_a_replica_counts_where_it_is_made(limited, refused):
    here = limited({"CreateKey": 2})
    home, away = here.client(), here.client(region="eu-west-1")
    key = home.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    home.replicate_key(KeyId=key, ReplicaRegion="eu-west-1")
    refused(CODE, away.create_key)  # AWS counts two there
    home.create_key()
    refused(CODE, home.create_key)


# --- the numbers ---------------------------------------------------------------------------------


def test_every_operation_has_a_class_and_every_class_an_operation():
    specs = {
        "Decapsulate": ["ML_KEM_512"],
        "Sign": ["RSA_2048", "ML_DSA_44", "ECC_NIST_P256"],
    }
    found = set()
    for name in OPERATIONS:
        if name.startswith("GenerateDataKeyPair"):
            found |= {
                each
                for spec in OPERATIONS[name].input.members["KeyPairSpec"].enum or ()
                for each in classes_of(name, (), spec)
            }
        else:
            found |= classes_of(name, specs.get(name, ()), None)
    assert found == set(DEFAULTS)


@pytest.mark.parametrize(
    ("name", "region", "rate"),
    [
        (SYMMETRIC, "us-east-1", 100_000),
        (SYMMETRIC, "eu-central-1", 20_000),
        (SYMMETRIC, "eu-north-1", 10_000),
        (RSA, "us-east-1", 1000),
        (ECC, "us-east-1", 1000),
        (ML_DSA, "us-east-1", 1000),
        (ML_KEM, "us-east-1", 1000),
        ("CreateKey", "us-east-1", 5),
        ("CreateGrant", "us-east-1", 50),
        ("DescribeKey", "us-east-1", 2000),
        ("GetParametersForImport", "us-east-1", 1),
        ("GetKeyLastUsage", "us-east-1", 5),
        ("ScheduleKeyDeletion", "us-east-1", 15),
        ("GenerateDataKeyPair (ECC_NIST_P256)", "us-east-1", 100),
        ("GenerateDataKeyPair (RSA_4096)", "us-east-1", 1),
        ("GenerateDataKeyPair (RSA_4096)", "cn-north-1", 0.1),
        ("GenerateDataKeyPair (ECC_NIST_P256)", "cn-north-1", 100),
        (RSA, "cn-north-1", 1000),
    ],
)
def test_the_rates_are_aws_s(name, region, rate):
    assert RequestQuotas().rate(name, region) == rate


def test_a_rate_can_be_set_or_lifted_for_a_class():
    quotas = RequestQuotas({"CreateKey": 2.5, SYMMETRIC: 7, "ListKeys": None})
    assert quotas.rate("CreateKey", "us-east-1") == 2.5
    assert quotas.rate(SYMMETRIC, "us-east-1") == quotas.rate(SYMMETRIC, "eu-north-1") == 7
    assert quotas.rate("ListKeys", "us-east-1") is None
    assert quotas.rate("CreateAlias", "us-east-1") == 5
    only = RequestQuotas.only({"CreateKey": 2})
    assert (only.rate("CreateKey", "us-east-1"), only.rate("CreateAlias", "us-east-1")) == (2, None)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(ValueError, match="above zero or None"):
        RequestQuotas({"CreateKey": rate})


def test_a_class_that_there_is_not_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"'Encrypt' is no class.*Cryptographic operations \(sym"):
        RequestQuotas({"Encrypt": 1})


def request(name: str, now: float, **params: str) -> Any:
    return SimpleNamespace(
        operation=OPERATIONS[name],
        params=params,
        principal=SimpleNamespace(account="1"),
        scope=SimpleNamespace(region="us-east-1"),
        keys=(),
        time=now,
    )


def test_a_replica_counts_as_two_new_keys_in_its_region():
    throttle = Throttle(RequestQuotas.only({"CreateKey": 4, "ReplicateKey": 3}))
    for _ in range(2):
        throttle.admit(request("ReplicateKey", 0.0, ReplicaRegion="eu-west-1"))
    with pytest.raises(KMSError, match=CODE):  # no room for two more keys there
        throttle.admit(request("ReplicateKey", 0.0, ReplicaRegion="eu-west-1"))
    throttle.admit(request("ReplicateKey", 0.0, ReplicaRegion="eu-west-2"))
    with pytest.raises(KMSError, match=CODE):
        throttle.admit(request("ReplicateKey", 0.0, ReplicaRegion="eu-west-3"))


def test_a_new_primary_counts_in_both_regions():
    throttle = Throttle(RequestQuotas.only({"UpdatePrimaryRegion": 1}))
    throttle.admit(request("UpdatePrimaryRegion", 0.0, PrimaryRegion="eu-west-1"))
    with pytest.raises(KMSError, match=CODE):
        throttle.admit(request("UpdatePrimaryRegion", 0.0, PrimaryRegion="eu-west-2"))
    throttle.admit(request("UpdatePrimaryRegion", 1.0, PrimaryRegion="eu-west-2"))


def test_buckets_that_are_full_are_forgotten(monkeypatch):
    """Whoever names ever new Regions takes no memory with it, and no count is lost."""
    monkeypatch.setattr("clavero.ops.throttle.MAX_BUCKETS", 10)
    throttle = Throttle(RequestQuotas.only({"CreateKey": 4}))
    throttle.admit(request("ReplicateKey", 0.0, ReplicaRegion="eu-west-1"))
    throttle.admit(request("ReplicateKey", 0.0, ReplicaRegion="eu-west-1"))
    for number in range(100):
        throttle.admit(request("ReplicateKey", 0.0, ReplicaRegion=f"ap-east-{number}"))
    with pytest.raises(KMSError, match=CODE):
        throttle.admit(request("ReplicateKey", 0.0, ReplicaRegion="eu-west-1"))
    for number in range(100):
        throttle.admit(request("ReplicateKey", 1.0 + number, ReplicaRegion=f"eu-west-{number}"))
        assert len(throttle._buckets) <= 10 + 2  # and what one call adds


def test_a_clock_that_is_set_back_fills_nothing():
    throttle = Throttle(RequestQuotas.only({"ListKeys": 1}))
    throttle.admit(request("ListKeys", 100.0))
    for now in (50.0, 100.0, 100.9):
        with pytest.raises(KMSError, match=CODE):
            throttle.admit(request("ListKeys", now))
    throttle.admit(request("ListKeys", 101.0))
