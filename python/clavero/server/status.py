"""What the HSM, its keys and the caches look like, in Prometheus' text format, for /metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clavero.kms import KMS
    from clavero.server.endpoint import KeyringStatus


def render(kms: KMS, keyring: KeyringStatus) -> str:
    """Keys and secrets in memory, memory and its protection, caches. The endpoint has the rest."""
    status = kms.status()
    caches = {
        **status["caches"],
        "signing_keys": {"hits": keyring.hits, "misses": keyring.misses},
    }
    lines = [
        *_metric(
            "clavero_loaded_keys",
            "gauge",
            "Keys in memory now, sealed under the shield key.",
            [("", status["loaded_keys"])],
        ),
        *_metric(
            "clavero_shielded_secrets",
            "gauge",
            "Other secrets in memory now, sealed under the shield key.",
            [
                ('{kind="access_key"}', keyring.access_keys),
                ('{kind="signing_key"}', keyring.signing_keys),
            ],
        ),
        *_metric(
            "clavero_protected_bytes",
            "gauge",
            "Memory mapped for keys in use.",
            [
                ('{for="arena"}', status["arena_bytes"]),
                ('{for="private keys"}', status["key_bytes"]),
            ],
        ),
        *_metric(
            "clavero_memory_protection",
            "gauge",
            "1 for the level at which keys in use are protected.",
            [(f'{{level="{status["memory"]}"}}', 1)],
        ),
        *_metric(
            "clavero_libcrypto_overflow_bytes",
            "gauge",
            "Bytes that libcrypto took from the ordinary heap.",
            [("", status["libcrypto_overflow_bytes"])],
        ),
        *(
            line
            for name, help_ in (
                ("hits", "How often a cache had what it was asked for."),
                ("misses", "How often a cache did not have what it was asked for."),
            )
            for line in _metric(
                f"clavero_cache_{name}_total",
                "counter",
                help_,
                [(f'{{cache="{cache}"}}', counts[name]) for cache, counts in caches.items()],
            )
        ),
    ]
    return "\n".join(lines) + "\n"


def _metric(name: str, kind: str, help_: str, samples: Sequence[tuple[str, int]]) -> list[str]:
    return [
        f"# HELP {name} {help_}",
        f"# TYPE {name} {kind}",
        *(f"{name}{labels} {value}" for labels, value in samples),
    ]
