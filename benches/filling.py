"""Stores with many keys, filled in one transaction: as `create_key` would, but for the commits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import clavero
from clavero.iam.decision import default_key_policy
from clavero.keystores.binding import Binding
from clavero.keystores.native import material_id, token_domain_key
from clavero.store import keys
from clavero.store.keys import KeyRow
from clavero.store.versions import VersionRow


def fill(folder: Path, count: int) -> None:
    """Make a durable store with `count` symmetric keys."""
    with clavero.KMS(folder) as kms:
        client = kms.client()
        first = client.create_key()["KeyMetadata"]
        region, account = "us-east-1", first["AWSAccountId"]
        context = kms._service._context  # the bench looks inside on purpose
        policy = default_key_policy(account)

        def rows() -> Iterator[tuple[KeyRow, VersionRow]]:
            for _ in range(count - 1):
                key_id = context.new_id()
                binding = Binding(
                    region, account, key_id, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS"
                )
                made = context.keystore.generate(binding)
                hbkid, token = made.hbkid, made.token
                context.keystore.unload(made)
                yield (
                    KeyRow(
                        region=region,
                        account=account,
                        key_id=key_id,
                        description="",
                        usage=binding.usage,
                        spec=binding.spec,
                        origin=binding.origin,
                        manager="CUSTOMER",
                        enabled=True,
                        created=0.0,
                        deletion_date=None,
                        pending_window=None,
                        multi_region=False,
                        policy=policy,
                        current_version=hbkid,
                    ),
                    VersionRow(
                        region=region,
                        hbkid=hbkid,
                        account=account,
                        key_id=key_id,
                        token=token,
                        domain_key_id=token_domain_key(token),
                        material_id=material_id(hbkid),
                        created=0.0,
                    ),
                )

        with context.store.write() as tx:
            keys.insert_many(tx, rows())
