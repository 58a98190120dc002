"""Clavero: the AWS KMS API as a library and a service, on a software HSM in Rust.

    import clavero

    kms = clavero.KMS()                  # in memory; clavero.KMS("folder") is durable
    client = kms.client()                # boto3's methods, answers and exceptions
    key_id = client.create_key()["KeyMetadata"]["KeyId"]
    data_key = client.generate_data_key(KeyId=key_id, KeySpec="AES_256")
    opened = client.decrypt(CiphertextBlob=data_key["CiphertextBlob"])
    assert opened["Plaintext"] == data_key["Plaintext"]

Importing this module loads next to nothing; what a name needs is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from clavero._native import HsmError as HsmError
    from clavero._native import InsecureMemory as InsecureMemory
    from clavero._native import Unseal as Unseal
    from clavero._native import UnsealError as UnsealError
    from clavero._native import WrongRootKey as WrongRootKey
    from clavero._native import __version__ as __version__
    from clavero.batches import BinaryBatch as BinaryBatch
    from clavero.batches import DataKeyBatch as DataKeyBatch
    from clavero.client import Client as Client
    from clavero.clock import ManualClock as ManualClock
    from clavero.clock import SystemClock as SystemClock
    from clavero.kms import KMS as KMS
    from clavero.model.quotas import Quotas as Quotas
    from clavero.model.requestquotas import RequestQuotas as RequestQuotas
    from clavero.seeds.document import SeedError as SeedError
    from clavero.store.errors import StoreError as StoreError
    from clavero.store.errors import StoreLocked as StoreLocked

_HOMES: Final = {
    "BinaryBatch": "clavero.batches",
    "Client": "clavero.client",
    "DataKeyBatch": "clavero.batches",
    "HsmError": "clavero._native",
    "InsecureMemory": "clavero._native",
    "KMS": "clavero.kms",
    "ManualClock": "clavero.clock",
    "Quotas": "clavero.model.quotas",
    "RequestQuotas": "clavero.model.requestquotas",
    "SeedError": "clavero.seeds.document",
    "StoreError": "clavero.store.errors",
    "StoreLocked": "clavero.store.errors",
    "SystemClock": "clavero.clock",
    "Unseal": "clavero._native",
    "UnsealError": "clavero._native",
    "WrongRootKey": "clavero._native",
    "__version__": "clavero._native",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 (a list of names, computed)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'clavero' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return __all__
