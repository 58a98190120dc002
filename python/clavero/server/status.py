"""What the HSM and its keys look like, in Prometheus' text format; the endpoint adds its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clavero.kms import KMS


def render(kms: KMS) -> str:
    """Loaded keys, memory and its protection."""
    status = kms.status()
    lines = [
        "# HELP clavero_loaded_keys Keys in memory now, sealed under the shield key.",
        "# TYPE clavero_loaded_keys gauge",
        f"clavero_loaded_keys {status['loaded_keys']}",
        "# HELP clavero_protected_bytes Memory mapped for keys in use.",
        "# TYPE clavero_protected_bytes gauge",
        f'clavero_protected_bytes{{for="arena"}} {status["arena_bytes"]}',
        f'clavero_protected_bytes{{for="private keys"}} {status["key_bytes"]}',
        "# HELP clavero_memory_protection 1 for the level at which keys in use are protected.",
        "# TYPE clavero_memory_protection gauge",
        f'clavero_memory_protection{{level="{status["memory"]}"}} 1',
        "# HELP clavero_libcrypto_overflow_bytes Bytes that libcrypto took from the ordinary heap.",
        "# TYPE clavero_libcrypto_overflow_bytes gauge",
        f"clavero_libcrypto_overflow_bytes {status['libcrypto_overflow_bytes']}",
    ]
    return "\n".join(lines) + "\n"
