"""The process whose memory tests/security/test_core_dump.py looks through. It only knows paths.

It works on a durable KMS with threads and batches, says `ready` while that goes on, and ends when
its standard input does. Started with `leak`, it keeps the root key where any program could.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from pathlib import Path

import clavero


def let_anyone_look() -> None:
    """Undo what a hardened process does against debuggers, so that the dump has everything."""
    libc = ctypes.CDLL(None, use_errno=True)
    pr_set_dumpable, pr_set_ptracer, anyone = 4, 0x59616D61, -1
    libc.prctl(pr_set_dumpable, 1, 0, 0, 0)
    libc.prctl(pr_set_ptracer, ctypes.c_ulong(anyone), 0, 0, 0)


def main() -> None:
    folder, mode = sys.argv[1:]
    kept = bytearray(Path(folder, "root.key").read_bytes()) if mode == "leak" else None
    kms = clavero.KMS(folder)
    let_anyone_look()
    client = kms.client()
    keys = [client.create_key()["KeyMetadata"]["KeyId"] for _ in range(20)]
    batch = client.generate_data_keys(KeyId=keys[0], NumberOfKeys=2_000, KeySpec="AES_256")
    busy = threading.Barrier(4)
    stop = threading.Event()

    def work(number: int) -> None:
        waiting = True
        while not stop.is_set():
            if number == 0:
                kms.rotate_domain_keys()
                kms.evict_idle_keys()
            elif number == 1:
                client.decrypt_many(batch.ciphertext)
            else:
                key = keys[number]
                made = client.generate_data_key(KeyId=key, KeySpec="AES_256")
                client.decrypt(CiphertextBlob=made["CiphertextBlob"])
            if waiting:
                busy.wait(60)
                waiting = False

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    busy.wait(60)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    kms.close()
    if kept is not None:
        sys.stdout.write(f"{len(kept)}\n")


if __name__ == "__main__":
    main()
