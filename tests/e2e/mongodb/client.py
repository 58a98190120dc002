"""MongoDB's client-side encryption over a KMS; prints one line of JSON with what it saw.

libmongocrypt writes, signs and reads its requests in C: `Host` without the port, a connection for
each, `Content-Length` signed. A driver only carries the bytes, as the sockets of `Vault` do here.
The key vault, a collection in a deployment, is a list here: no server of MongoDB's takes part.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import boto3
import bson
from bson.binary import Binary
from pymongocrypt.errors import MongoCryptError
from pymongocrypt.options import MongoCryptOptions
from pymongocrypt.synchronous.explicit_encrypter import ExplicitEncrypter
from pymongocrypt.synchronous.state_machine import MongoCryptCallback

DETERMINISTIC = "AEAD_AES_256_CBC_HMAC_SHA_512-Deterministic"
RANDOM = "AEAD_AES_256_CBC_HMAC_SHA_512-Random"

# libmongocrypt takes no host without a dot in its name, as `localhost` is
endpoint = f"127.0.0.1:{urlsplit(os.environ['AWS_ENDPOINT_URL_KMS']).port}"
trust = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])


class Vault(MongoCryptCallback):  # type: ignore[misc] # a class without types
    """What a driver does for libmongocrypt; `keys` are the documents of the key vault."""

    def __init__(self, keys: list[dict[str, Any]]) -> None:
        self.keys = keys
        self.sent: list[bytes] = []

    def kms_request(self, kms_context: Any) -> None:
        host, port = kms_context.endpoint.rsplit(":", 1)
        self.sent.append(kms_context.message)
        with (
            socket.create_connection((host, int(port)), timeout=30) as plain,
            trust.wrap_socket(plain, server_hostname=host) as connection,
        ):
            connection.sendall(kms_context.message)
            while kms_context.bytes_needed > 0:
                received = connection.recv(kms_context.bytes_needed)
                if not received:
                    raise ConnectionError("the answer ended early")
                kms_context.feed(received)
            # What says `Connection: close` is closed by the server too, after the whole answer
            self.closed = connection.recv(1) == b""

    def fetch_keys(self, filter: bytes) -> Iterator[bytes]:  # noqa: A002 (its caller's name)
        asked = bson.decode(filter)
        either = asked.get("$or", [])
        ids = [key for part in either for key in part.get("_id", {}).get("$in", [])]
        names = [name for part in either for name in part.get("keyAltNames", {}).get("$in", [])]
        for key in self.keys:
            if not asked or key["_id"] in ids or set(names) & set(key.get("keyAltNames", [])):
                yield bson.encode(key)

    def insert_data_key(self, data_key: bytes) -> Binary:
        self.keys.append(bson.decode(data_key))
        identifier: Binary = self.keys[-1]["_id"]
        return identifier

    def bson_encode(self, doc: Mapping[str, Any]) -> bytes:
        return bson.encode(doc)

    def collection_info(self, database: str, filter: bytes) -> None:  # noqa: A002
        raise NotImplementedError("for automatic encryption")

    def mark_command(self, database: str, cmd: bytes) -> None:
        raise NotImplementedError("for automatic encryption")

    def close(self) -> None:
        """It holds nothing between calls."""


def encrypter(vault: Vault, **changed: str) -> ExplicitEncrypter:
    """A client with an empty cache of data keys."""
    credentials = {
        "accessKeyId": os.environ["AWS_ACCESS_KEY_ID"],
        "secretAccessKey": os.environ["AWS_SECRET_ACCESS_KEY"],
    }
    return ExplicitEncrypter(vault, MongoCryptOptions({"aws": {**credentials, **changed}}))


def encrypt(client: ExplicitEncrypter, value: object, algorithm: str, **key: Any) -> Binary:
    sealed: Binary = bson.decode(client.encrypt(bson.encode({"v": value}), algorithm, **key))["v"]
    return sealed


def decrypt(client: ExplicitEncrypter, sealed: Binary) -> object:
    value: object = bson.decode(client.decrypt(bson.encode({"v": sealed})))["v"]
    return value


def refusal(client: ExplicitEncrypter, sealed: Binary) -> str:
    try:
        decrypt(client, sealed)
    except MongoCryptError as error:
        return str(error)
    return ""


def main() -> None:
    kms = boto3.client("kms")
    arns = [kms.create_key(Description="MongoDB")["KeyMetadata"]["Arn"] for _ in range(2)]
    region = os.environ["AWS_REGION"]
    masters = [{"region": region, "key": arn, "endpoint": endpoint} for arn in arns]
    seen = {}

    vault = Vault([])
    client = encrypter(vault)
    data_key = bytes(client.create_data_key("aws", masters[0], key_alt_names=["orders"]))
    (kept,) = vault.keys
    head, _, body = vault.sent[0].partition(b"\r\n\r\n")
    fields = dict(line.split(b":", 1) for line in head.split(b"\r\n")[1:])
    signed = head.partition(b"SignedHeaders=")[2].partition(b",")[0].split(b";")
    seen["bareHost"] = fields[b"Host"].strip() == endpoint.rsplit(":", 1)[0].encode()
    seen["signsLength"] = b"content-length" in signed
    seen["closed"] = fields[b"Connection"].strip() == b"close" and vault.closed
    wrapped = kms.decrypt(CiphertextBlob=bytes(kept["keyMaterial"]))
    seen["wrapped"] = (len(wrapped["Plaintext"]), wrapped["KeyId"]) == (96, arns[0])
    seen["sentToEncrypt"] = json.loads(body)["KeyId"] == arns[0]

    twice = [encrypt(client, "0042", DETERMINISTIC, key_id=data_key) for _ in range(2)]
    seen["deterministic"] = twice[0] == twice[1] and twice[0].subtype == 6
    note = encrypt(client, "a note", RANDOM, key_alt_name="orders")
    seen["random"] = note != encrypt(client, "a note", RANDOM, key_alt_name="orders")

    later = Vault(vault.keys)
    reader = encrypter(later)
    seen["opened"] = (decrypt(reader, twice[0]), decrypt(reader, note)) == ("0042", "a note")
    seen["once"] = len(later.sent) == 1  # the data key is cached

    rewrapped = bson.decode(reader.rewrap_many_data_key({}, "aws", masters[1]))["v"]
    material = rewrapped[0]["keyMaterial"]
    moved = kms.decrypt(CiphertextBlob=bytes(material))
    seen["rewrapped"] = (moved["Plaintext"], moved["KeyId"]) == (wrapped["Plaintext"], arns[1])
    after = encrypter(Vault([{**kept, **rewrapped[0]}]))
    seen["openedAfter"] = decrypt(after, note) == "a note"

    stranger = encrypter(Vault(vault.keys), secretAccessKey="another" * 5)
    seen["wrongSecret"] = "signature we calculated does not match" in refusal(stranger, note)
    kms.disable_key(KeyId=arns[0])
    seen["disabled"] = f"{arns[0]} is disabled" in refusal(encrypter(Vault(vault.keys)), note)
    json.dump(seen, sys.stdout)


main()
