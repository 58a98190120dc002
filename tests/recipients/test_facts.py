"""What a verified document makes known to the rest of the pipeline: condition values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from clavero.ops import recipients

KEYS = "kms:RecipientAttestation:"


@pytest.fixture
def facts_of(attesting, enclave, monkeypatch):
    """The facts with which a call with this document is authorised."""

    def ask(**changed: Any) -> Mapping[str, str]:
        seen: list[Mapping[str, str]] = []
        genuine = recipients.attest

        def attest(context: Any, call: Any) -> None:
            genuine(context, call)
            seen.append(call.facts)

        with monkeypatch.context() as patched:
            patched.setattr(recipients, "attest", attest)
            client = attesting.clients["in process"]
            client.generate_random(NumberOfBytes=8, Recipient=enclave.recipient(**changed))
        return seen[0]

    return ask


def test_an_enclave_s_registers_are_condition_values(facts_of, enclave):
    assert facts_of() == {
        f"{KEYS}ImageSha384": enclave.pcrs[0].hex(),
        **{f"{KEYS}PCR{n}": enclave.pcrs[n].hex() for n in range(16)},
    }
    assert facts_of(pcrs={8: b"\xab" * 48}) == {f"{KEYS}PCR8": "ab" * 48}


def test_a_nitrotpm_has_keys_of_its_own(facts_of, enclave):
    registers = {4: b"\x01" * 48, 23: b"\x02" * 48}
    assert facts_of(pcrs=..., nitrotpm_pcrs=registers) == {
        f"{KEYS}NitroTPMPCR4": "01" * 48,
        f"{KEYS}NitroTPMPCR23": "02" * 48,
    }


def test_a_key_policy_may_demand_a_register(attesting, enclave, refused):
    """AWS's example: only this image gets the plaintext."""
    client = attesting.clients["in process"]
    root = "arn:aws:iam::000000000000:root"
    condition = {"StringEqualsIgnoreCase": {f"{KEYS}PCR8": "AB" * 48}}
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": root}, "Action": "kms:*", "Resource": "*"},
            {"Effect": "Deny", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*",
             "Condition": {"StringNotEqualsIgnoreCase": condition["StringEqualsIgnoreCase"]}},
        ],
    }  # fmt: skip
    key_id = client.create_key(Policy=json.dumps(policy))["KeyMetadata"]["KeyId"]
    blob = client.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    given = {"CiphertextBlob": blob}
    genuine = enclave.recipient(pcrs={8: b"\xab" * 48})
    assert client.decrypt(**given, Recipient=genuine)["CiphertextForRecipient"]
    assert client.explain("Decrypt", **given, Recipient=genuine)["Allowed"]
    for other in (enclave.recipient(), enclave.recipient(pcrs={3: b"\xab" * 48})):
        refused("AccessDeniedException", client.decrypt, **given, Recipient=other)
        assert not client.explain("Decrypt", **given, Recipient=other)["Allowed"]
    refused("AccessDeniedException", client.decrypt, **given)
