"""What authorisation costs, and that neither grants nor identity policies slow it down."""

from __future__ import annotations

import json
from typing import Any

from benches.measuring import Ledger, interleaved, one_core
from sqlalchemy import Connection

import clavero
from clavero.client import Client
from clavero.iam.principals import Principal
from clavero.model.operations import OPERATIONS
from clavero.ops.call import Call
from clavero.store import grants
from clavero.store.grants import GrantRow

CALLS = 20_000
ACCOUNT = "000000000000"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/app"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/app/one"
CONTEXT = {"tenant": "a", "table": "records"}
ASKED = {"KeySpec": "AES_256", "EncryptionContext": CONTEXT}


def ten_statements() -> str:
    """The default one, eight that are about others or do not hold, and the one that allows."""
    root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    rest: dict[str, Any] = {"Effect": "Allow", "Resource": "*"}
    others = [
        {**rest, "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/r{number}"},
         "Action": ["kms:Encrypt", "kms:GenerateDataKey*"],
         "Condition": {"StringEquals": {"kms:EncryptionContext:tenant": f"t{number}"}}}
        for number in range(6)
    ]  # fmt: skip
    outside = {"NotIpAddress": {"aws:SourceIp": ["192.0.2.0/24", "127.0.0.0/8"]}}
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {**rest, "Principal": root, "Action": "kms:*"},
                {**rest, "Effect": "Deny", "Principal": "*", "Action": "kms:*",
                 "Condition": outside},
                {**rest, "Effect": "Deny", "Principal": "*", "Action": "kms:Generate*",
                 "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
                *others,
                {**rest, "Principal": {"AWS": ROLE}, "Action": "kms:GenerateDataKey",
                 "Condition": {"StringEquals": {"kms:EncryptionContext:tenant": "a"}}},
            ],
        }
    )  # fmt: skip


def asking(client: Client, key_id: str, count: int = CALLS) -> Any:
    def work() -> None:
        generate = client.generate_data_key
        for _ in range(count):
            generate(KeyId=key_id, **ASKED)

    return work


def authorising(kms: clavero.KMS, key_id: str, principal: str) -> Any:
    """The pipeline's step alone, as often as `asking` calls."""
    service = kms._service
    call = Call(
        OPERATIONS["GenerateDataKey"],
        {"KeyId": key_id, **ASKED},
        Principal(principal, ACCOUNT),
        kms._directory.scope("us-east-1", ACCOUNT),
    )
    handler = service._handlers["GenerateDataKey"]
    call.time = 1.0
    service._resolve(handler, call)

    def work() -> None:
        authorise = service._authorise
        for _ in range(CALLS):
            authorise(handler, call)

    return work


def test_the_share_of_authorisation(ledger: Ledger) -> None:
    """Of GenerateDataKey, for the root user and under a policy of ten statements."""
    with clavero.KMS() as kms:
        root = kms.client()
        key_id = root.create_key()["KeyMetadata"]["KeyId"]
        with one_core():
            step, whole = interleaved(
                authorising(kms, key_id, f"arn:aws:iam::{ACCOUNT}:root"), asking(root, key_id)
            )
        ledger.at_most("authorisation / GenerateDataKey, root user", step / whole, 0.1, "x")
        root.put_key_policy(KeyId=key_id, Policy=ten_statements())
        session = kms.client(principal=SESSION)
        with one_core():
            step, whole = interleaved(authorising(kms, key_id, SESSION), asking(session, key_id))
        ledger.at_most(
            "authorisation / GenerateDataKey, policy of ten statements",
            step / whole,
            0.3,
            "x",
            f"   ({step / CALLS * 1e6:.2f} us of {whole / CALLS * 1e6:.2f} us)",
        )


def fill_grants(tx: Connection, key: dict[str, Any], count: int) -> None:
    for number in range(count):
        grants.insert_grant(
            tx,
            GrantRow(
                "us-east-1",
                ACCOUNT,
                key["KeyId"],
                f"{number:064x}",
                None,
                f"arn:aws:iam::{ACCOUNT}:role/r{number}",
                None,
                None,
                None,
                '["GenerateDataKey"]',
                None,
                ACCOUNT,
                1.0,
            ),
        )


def test_grants_do_not_slow_it_down(ledger: Ledger) -> None:
    """One grant on the key and 50,000, with a decision remembered and with a new one each time."""
    works, fresh = [], []
    with clavero.KMS() as kms:
        root = kms.client()
        for count in (0, 49_999):
            key = root.create_key()["KeyMetadata"]
            root.create_grant(
                KeyId=key["KeyId"], GranteePrincipal=ROLE, Operations=["GenerateDataKey"]
            )
            with kms._store.write() as tx:
                fill_grants(tx, key, count)
            session = kms.client(principal=SESSION)
            works.append(asking(session, key["KeyId"]))

            def once(session: Client = session, key: dict[str, Any] = key) -> None:
                found = kms._directory.resolve(
                    kms._directory.scope("us-east-1", ACCOUNT), key["KeyId"]
                )
                for _ in range(200):
                    kms._directory.touched(found)
                    session.generate_data_key(KeyId=key["KeyId"], **ASKED)

            fresh.append(once)
        with one_core():
            one, many = interleaved(*works)
            one_fresh, many_fresh = interleaved(*fresh)
    ledger.at_most("GenerateDataKey, 50,000 grants on the key / 1", many / one, 1.2, "x")
    ledger.at_most(
        "the same after a change of its grants",
        many_fresh / one_fresh,
        1.2,
        "x",
        f"   ({many_fresh / 200 * 1e6:.0f} us against {one_fresh / 200 * 1e6:.0f} us)",
    )


def identity_policy(number: int) -> str:
    """What a user of the account may do: a policy of its own for each."""
    statement = {
        "Effect": "Allow",
        "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
        "Resource": "*",
        "Condition": {"StringEquals": {"kms:EncryptionContext:tenant": ["a", f"t{number}"]}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_identity_policies_do_not_slow_it_down(ledger: Ledger) -> None:
    """One identity policy in the account and 1,000 of as many users, of whom one calls."""
    works, fresh = [], []
    with clavero.KMS() as few, clavero.KMS() as many:
        for kms, count in ((few, 1), (many, 1000)):
            kms.accounts.ensure(ACCOUNT)
            users = kms.identities.users
            for number in range(count):
                users.create(ACCOUNT, f"u{number}")
                users.put_policy(ACCOUNT, f"u{number}", "keys", identity_policy(number))
            key_id = kms.client().create_key()["KeyMetadata"]["KeyId"]
            caller = kms.client(principal=f"arn:aws:iam::{ACCOUNT}:user/u0")
            works.append(asking(caller, key_id))

            def once(kms: clavero.KMS = kms, caller: Client = caller, key_id: str = key_id) -> None:
                for number in range(20):
                    policy = identity_policy(number)
                    kms.identities.users.put_policy(ACCOUNT, "u0", "keys", policy)
                    caller.generate_data_key(KeyId=key_id, **ASKED)

            fresh.append(once)
        with one_core():
            one_time, many_time = interleaved(*works)
            one_fresh, many_fresh = interleaved(*fresh)
    ledger.at_most(
        "GenerateDataKey, 1,000 identity policies in the account / 1",
        many_time / one_time,
        1.2,
        "x",
        f"   ({many_time / CALLS * 1e6:.2f} us against {one_time / CALLS * 1e6:.2f} us)",
    )
    ledger.at_most(
        "the same with a change of the caller's policy before each call",
        many_fresh / one_fresh,
        1.2,
        "x",
        f"   ({many_fresh / 20 * 1e6:.0f} us against {one_fresh / 20 * 1e6:.0f} us)",
    )
