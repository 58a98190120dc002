"""Recipient: the attestation document of a Nitro enclave or a NitroTPM, and what it makes known.

The document is verified before the call is authorised, because policies may demand what it says:
its registers are the call's facts (kms:RecipientAttestation:...), as lower-case hexadecimal. KMS
judges no register itself (a debugged enclave's are zero) and no document's age: the certificates
are valid for hours, and that long a document may be used again, as with AWS.
"""

from __future__ import annotations

import base64
from typing import Final

from clavero.keystores.attested import Attestation
from clavero.model import errors
from clavero.ops.call import Call, Response, as_bytes
from clavero.ops.context import OpsContext

_KEYS: Final = "kms:RecipientAttestation:"
_TPM: Final = "nitro-tpm"
# The registers that AWS puts on record.
_RECORDED: Final[tuple[int, ...]] = (1, 2, 3, 4, 8)
_RECORDED_OF_TPM: Final[tuple[int, ...]] = (4, 7, 8, 9, 16, 23)


def attest(context: OpsContext, call: Call) -> None:
    """Verify the call's attestation document and put what it says into the call.

    ValidationException where it is malformed, not signed by its certificate, of certificates that
    do not lead to the configured root or are not valid now, or without an RSA public key.
    """
    recipient = call.params["Recipient"]
    for member in ("KeyEncryptionAlgorithm", "AttestationDocument"):
        if member not in recipient:
            raise errors.member_required(f"recipient.{member[:1].lower()}{member[1:]}")
    document = as_bytes(recipient["AttestationDocument"])
    call.recipient = attestation = context.keystore.attest(document, call.time)
    registers = attestation.pcrs
    if attestation.platform == _TPM:
        call.facts = {f"{_KEYS}NitroTPMPCR{n}": value.hex() for n, value in registers.items()}
        return
    facts = {f"{_KEYS}PCR{n}": value.hex() for n, value in registers.items()}
    if 0 in registers:
        facts[f"{_KEYS}ImageSha384"] = registers[0].hex()
    call.facts = facts


def answer(call: Call, envelope: bytes) -> Response:
    """The members of an answer that is for the recipient alone; puts the recipient on record."""
    attestation = call.recipient
    if attestation is not None:
        call.extra = {"recipient": _on_record(attestation)}
    return {"CiphertextForRecipient": envelope}


def _on_record(attestation: Attestation) -> dict[str, str]:
    """What CloudTrail shows of a document: module and registers, these in base64."""
    registers = {n: base64.b64encode(value).decode() for n, value in attestation.pcrs.items()}
    record = {"attestationDocumentModuleId": attestation.module_id}
    if attestation.platform == _TPM:
        prefix, recorded = "attestationDocumentNitroTPMPCR", _RECORDED_OF_TPM
    else:
        prefix, recorded = "attestationDocumentEnclavePCR", _RECORDED
        if 0 in registers:
            record["attestationDocumentEnclaveImageDigest"] = registers[0]
    return record | {f"{prefix}{n}": registers[n] for n in recorded if n in registers}
