"""What a verified document makes known to the rest of the pipeline: condition values."""

from __future__ import annotations

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
