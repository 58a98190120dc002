"""The process whose memory tests/recipients/test_plaintexts.py looks through: it serves an enclave.

It makes data keys and random bytes with a Recipient, or, started with `plaintext`, without one, and
keeps the answers, as any program would.
"""

from __future__ import annotations

import base64
import ctypes
import json
import sys
from pathlib import Path

import clavero


def let_anyone_look() -> None:
    """Undo what a hardened process does against debuggers, so that the dump has everything."""
    libc = ctypes.CDLL(None, use_errno=True)
    pr_set_dumpable, pr_set_ptracer, anyone = 4, 0x59616D61, -1
    libc.prctl(pr_set_dumpable, 1, 0, 0, 0)
    libc.prctl(pr_set_ptracer, ctypes.c_ulong(anyone), 0, 0, 0)


def main() -> None:
    folder, now, mode = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    root = folder / "root.pem"
    kms = clavero.KMS(clock=clavero.ManualClock(now), attestation_root=root)
    let_anyone_look()
    client = kms.client()
    key = client.create_key()["KeyMetadata"]["KeyId"]
    recipient = {
        "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
        "AttestationDocument": (folder / "document").read_bytes(),
    }
    extra = {} if mode == "plaintext" else {"Recipient": recipient}
    member = "Plaintext" if mode == "plaintext" else "CiphertextForRecipient"
    kept = [
        client.generate_data_key(KeyId=key, KeySpec="AES_256", **extra)[member] for _ in range(20)
    ]
    kept += [client.generate_random(NumberOfBytes=32, **extra)[member] for _ in range(20)]
    blob = client.generate_data_key_without_plaintext(KeyId=key, KeySpec="AES_256")
    kept.append(client.decrypt(CiphertextBlob=blob["CiphertextBlob"], **extra)[member])
    answers = [base64.b64encode(answer).decode() for answer in kept]
    (folder / "answers.json").write_text(json.dumps(answers), encoding="ascii")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    sys.stdout.write(f"{len(kept)}\n")


if __name__ == "__main__":
    main()
