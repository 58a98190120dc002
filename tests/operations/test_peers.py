"""What other emulators of AWS KMS get wrong and their users ask for, and where each is proven.

Sources: the issues and pull requests of moto, LocalStack, local-kms and floci that are named below.
What no other test proved has its test here.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

# What was asked for, or went wrong: the tests that show it right.
PROVEN = {
    "data survives a restart (localstack#4441, localstack#6753)": [
        "operations/test_crypto.py::blobs_open_after_reopening_and_after_rotation_of_the_domain_key",
        "operations/test_key_kinds.py::keys_of_each_kind_are_there_after_the_store_was_opened_again",
    ],
    "DIGEST is not hashed again, PSS has the digest's salt (localstack#6815, moto#10202)": [
        "operations/test_signatures.py::others_verify_what_kms_signs",
        "operations/test_signatures.py::openssl_verifies_rsa_and_the_salt_is_as_long_as_the_digest",
    ],
    "a wrong signature is an exception (floci#1345)": [
        "operations/test_signatures.py::any_other_message_signature_or_key_is_an_invalid_signature",
        "operations/test_mac.py::every_other_mac_is_an_invalid_mac",
    ],
    "RSA is RSA, and opens what OpenSSL sealed (localstack#11313, localstack#8083, floci#3024)": [
        "operations/test_rsa_encryption.py::what_openssl_s_command_encrypts_kms_opens",
        "operations/test_rsa_encryption.py::plaintexts_that_are_too_long_are_refused_with_the_limit",
    ],
    "data keys have the size that was asked for (localstack#10126, moto#1518)": [
        "operations/test_datakeys.py::a_data_key_has_the_asked_size_and_its_blob_opens_to_it",
        "operations/test_datakeys.py::sizes_that_no_data_key_has",
    ],
    "the encryption context is strict (localstack#8505)": [
        "operations/test_crypto.py::a_blob_opens_under_its_own_context_only_in_any_order",
        "operations/test_peers.py::a_context_is_its_pairs_and_not_their_letters",
    ],
    "rotation rotates, on demand and by itself (localstack#10723, localstack#12080)": [
        "operations/test_rotation.py::a_key_rotates_when_its_date_comes_and_again",
        "operations/test_rotation.py::every_blob_opens_by_the_material_that_it_names",
        "operations/test_rotation.py::the_period_is_a_year_or_what_was_asked_for",
        "operations/test_rotation.py::a_key_is_rotated_on_demand_25_times_at_most",
    ],
    "HMAC, Ed25519 and ML-DSA keys (localstack#7736, localstack#13886, floci#497, floci#3025)": [
        "operations/test_key_kinds.py::a_key_of_each_kind_is_described_as_aws_does",
        "operations/test_mac.py::a_mac_is_made_and_verified",
        "operations/test_signatures.py::keys_algorithms_and_message_types_that_do_not_fit_are_refused",
    ],
    "Decrypt honours KeyId (moto#9907, floci#1844, localstack#12530)": [
        "operations/test_crypto.py::a_named_key_must_be_the_blob_s",
        "operations/test_peers.py::what_is_no_ciphertext_is_told_so_whatever_key_is_named",
    ],
    "key states count, also of the source of ReEncrypt (localstack#5410, floci#1356)": [
        "operations/test_states.py::the_table",
        "operations/test_key_kinds.py::only_an_enabled_key_is_used",
    ],
    "a deleted key goes, and a cancelled deletion leaves it disabled (moto, local-kms)": [
        "operations/test_keys.py::the_key_is_gone_when_its_window_ends",
        "operations/test_keys.py::a_cancelled_deletion_leaves_the_key_disabled_and_its_blobs_good",
    ],
    "grants have names, tokens and quotas (local-kms#31, localstack#7910, floci#2639)": [
        "operations/test_grants.py::the_same_name_and_everything_else_is_the_same_grant",
        "operations/test_grants.py::grants_that_cannot_be_are_refused",
        "operations/test_grants.py::who_may_retire_a_grant",
        "operations/test_peers.py::grants_of_one_name_on_two_keys_are_two",
    ],
    "key pairs of every spec (localstack#3056, localstack#8421)": [
        "operations/test_data_key_pairs.py::openssl_reads_the_private_key",
    ],
    "lists have pages, and aliases are listed by key (localstack#6262, moto#5991, floci#1650)": [
        "operations/test_paging.py::pages_are_complete_and_in_order",
        "operations/test_aliases.py::one_key_s_aliases_are_listed_alone",
        "operations/test_peers.py::an_alias_is_listed_with_its_key_however_it_was_named",
    ],
    "kinds of keys that there are not are refused (LocalStack, moto)": [
        "operations/test_key_kinds.py::kinds_that_no_key_has_are_refused_and_not_made",
        "operations/test_rsa_encryption.py::only_symmetric_keys_make_data_keys",
        "operations/test_key_kinds.py::a_secret_key_has_no_public_key",
    ],
    "tags for Terraform (floci#269)": [
        "operations/test_tags.py::the_tags_of_create_key_are_the_key_s_alone",
        "operations/test_tags.py::tags_that_cannot_be_are_refused_in_aws_s_words",
    ],
    "answers name the key by its ARN (moto answers with what it was asked)": [
        "operations/test_peers.py::answers_name_the_key_by_its_arn",
    ],
    "the order of checks and their texts (floci#3968)": [
        "operations/test_check_order.py::the_key_s_usage_comes_before_its_state",
    ],
    "the service throttles (aws-encryption-sdk-python#5, kubernetes#90856)": [
        "operations/test_request_quotas.py::a_burst_of_one_second_passes_and_the_next_call_is_throttled",
    ],
    "DryRun is more than GenerateDataKeyPair's (LocalStack)": [
        "operations/test_dry_run.py::what_would_have_succeeded_says_so_and_is_on_record",
    ],
}


@pytest.mark.parametrize("what", PROVEN)
def test_what_users_asked_for_has_its_tests(what):
    for name in PROVEN[what]:
        file, _, test = name.partition("::")
        tree = ast.parse((Path(__file__).parents[1] / file).read_text(encoding="utf-8"))
        found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert f"test_{test}" in found, name


@pytest.mark.parametrize(
    "other",
    [{"ab": "c"}, {"a": "b", "c": ""}, {"a": "bc", "": ""}, {"A": "bc"}, {"a": "bC"}, {}],
    ids=str,
)
def test_a_context_is_its_pairs_and_not_their_letters(client, key, refused, other):
    """moto and LocalStack join names and values without their lengths."""
    context = {"a": "bc"}
    blob = client.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext=context)
    blob = blob["CiphertextBlob"]
    refused(
        "InvalidCiphertextException",
        client.decrypt,
        CiphertextBlob=blob,
        EncryptionContext=other,
    )
    assert client.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == b"x"


def test_the_encryption_sdk_s_own_pair_counts_like_any_other(client, key, refused):
    """LocalStack drops aws-crypto-public-key from the context."""
    context = {"aws-crypto-public-key": "AsDf", "tenant": "a"}
    sealed = client.generate_data_key(
        KeyId=key["KeyId"], KeySpec="AES_256", EncryptionContext=context
    )
    blob = sealed["CiphertextBlob"]
    for less in ({"tenant": "a"}, {"aws-crypto-public-key": "other", "tenant": "a"}):
        refused(
            "InvalidCiphertextException",
            client.decrypt,
            CiphertextBlob=blob,
            EncryptionContext=less,
        )
    opened = client.decrypt(CiphertextBlob=blob, EncryptionContext=context)
    assert opened["Plaintext"] == sealed["Plaintext"]


@pytest.mark.parametrize("blob", [b"x", b"\x00" * 76, b"\xff" * 256, b"k" * 6144], ids=len)
def test_what_is_no_ciphertext_is_told_so_whatever_key_is_named(client, key, refused, blob):
    """LocalStack answers 500, local-kms panics."""
    pair = client.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    for named in ({}, {"KeyId": key["Arn"]}, {"KeyId": pair["KeyId"]}):
        text = refused("InvalidCiphertextException", client.decrypt, CiphertextBlob=blob, **named)
        assert text == ""
    text = refused(
        "InvalidCiphertextException",
        client.re_encrypt,
        CiphertextBlob=blob,
        DestinationKeyId=key["KeyId"],
    )
    assert text == ""


def test_grants_of_one_name_on_two_keys_are_two(client, key):
    other = client.create_key()["KeyMetadata"]
    wanted = {
        "Name": "one",
        "GranteePrincipal": "arn:aws:iam::000000000000:user/alice",
        "Operations": ["Encrypt"],
    }
    made = [client.create_grant(KeyId=each["KeyId"], **wanted)["GrantId"] for each in (key, other)]
    assert made[0] != made[1]
    for each, grant in zip((key, other), made, strict=True):
        (listed,) = client.list_grants(KeyId=each["KeyId"])["Grants"]
        assert (listed["GrantId"], listed["KeyId"]) == (grant, each["Arn"])


@pytest.mark.parametrize("how", ["KeyId", "Arn"])
def test_an_alias_is_listed_with_its_key_however_it_was_named(client, key, how):
    """LocalStack keeps the ARN that an alias was pointed at, and then does not find it."""
    first = client.create_key()["KeyMetadata"]
    client.create_alias(AliasName="alias/a", TargetKeyId=first[how])
    client.update_alias(AliasName="alias/a", TargetKeyId=key[how])
    for name in ("KeyId", "Arn"):
        (listed,) = client.list_aliases(KeyId=key[name])["Aliases"]
        assert (listed["AliasName"], listed["TargetKeyId"]) == ("alias/a", key["KeyId"])
        assert client.list_aliases(KeyId=first[name])["Aliases"] == []


def test_answers_name_the_key_by_its_arn(client, key):
    client.create_alias(AliasName="alias/a", TargetKeyId=key["KeyId"])
    mac_key = client.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]
    curve = client.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    for name in (key["KeyId"], key["Arn"], "alias/a"):
        sealed = client.encrypt(KeyId=name, Plaintext=b"x")
        blob = sealed["CiphertextBlob"]
        answers = [
            sealed,
            client.decrypt(CiphertextBlob=blob),
            client.decrypt(CiphertextBlob=blob, KeyId=name),
            client.re_encrypt(CiphertextBlob=blob, DestinationKeyId=name),
            client.generate_data_key(KeyId=name, KeySpec="AES_128"),
            client.generate_data_key_without_plaintext(KeyId=name, NumberOfBytes=1),
            client.generate_data_key_pair(KeyId=name, KeyPairSpec="ECC_NIST_P256"),
        ]
        assert [answer["KeyId"] for answer in answers] == [key["Arn"]] * len(answers)
        assert answers[3]["SourceKeyId"] == key["Arn"]
    mac = {"KeyId": mac_key["KeyId"], "Message": b"x", "MacAlgorithm": "HMAC_SHA_256"}
    made = client.generate_mac(**mac)
    assert made["KeyId"] == client.verify_mac(**mac, Mac=made["Mac"])["KeyId"] == mac_key["Arn"]
    sign = {"KeyId": curve["KeyId"], "Message": b"x", "SigningAlgorithm": "ECDSA_SHA_256"}
    signed = client.sign(**sign)
    verified = client.verify(**sign, Signature=signed["Signature"])
    assert signed["KeyId"] == verified["KeyId"] == curve["Arn"]
    assert client.get_public_key(KeyId=curve["KeyId"])["KeyId"] == curve["Arn"]
    for key_id in (key["KeyId"], key["Arn"]):
        assert client.get_key_rotation_status(KeyId=key_id)["KeyId"] == key["Arn"]
        assert client.rotate_key_on_demand(KeyId=key_id)["KeyId"] == key["Arn"]
    assert client.schedule_key_deletion(KeyId=key["KeyId"])["KeyId"] == key["Arn"]
    assert client.cancel_key_deletion(KeyId=key["KeyId"])["KeyId"] == key["Arn"]
