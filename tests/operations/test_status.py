"""`kms.status()`: what a KMS says of its caches."""

from __future__ import annotations

import json

from clavero import KMS

ROLE = "arn:aws:iam::000000000000:role/reader"


def test_caches_are_counted():
    with KMS() as kms:
        root, role = kms.client(), kms.client(principal=ROLE)
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": ["arn:aws:iam::000000000000:root", ROLE]},
                    "Action": "kms:*",
                    "Resource": "*",
                }
            ],
        }
        key_id = root.create_key(Policy=json.dumps(policy))["KeyMetadata"]["KeyId"]

        def counts(cache: str) -> tuple[int, int]:
            found = kms.status()["caches"][cache]
            return found["hits"], found["misses"]

        assert counts("decisions") == counts("key_handles") == (0, 0)
        for _ in range(4):
            role.encrypt(KeyId=key_id, Plaintext=b"x")
        assert counts("decisions") == (3, 1), "one was made, and remembered"
        assert counts("key_handles") == (4, 0)
        root.generate_data_key(KeyId=key_id, KeySpec="AES_256")
        assert counts("decisions") == (3, 1), "no cache is asked where the account decides"
        assert counts("key_handles") == (5, 0)
        kms.evict_idle_keys()
        assert kms.evict_idle_keys() == 1
        root.generate_data_key(KeyId=key_id, KeySpec="AES_256")
        root.generate_data_key(KeyId=key_id, KeySpec="AES_256")
        assert counts("key_handles") == (6, 1)
        role.create_grant(
            KeyId=key_id, GranteePrincipal=ROLE, Operations=["Encrypt"]
        )  # which voids what was remembered
        role.encrypt(KeyId=key_id, Plaintext=b"x")
        assert counts("decisions")[1] >= 2
