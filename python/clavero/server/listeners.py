"""Where the endpoint listens and what a listener stands for: the texts of `--listen`, read."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_VPCE: Final = re.compile(r"vpce-[0-9a-f]{8,17}", re.ASCII)
_VPC: Final = re.compile(r"vpc-[0-9a-f]{8,17}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Listener:
    """An address and port (0 takes a free one), and the VPC endpoint whose clients come there.

    `proxies` are addresses and networks whose X-Forwarded-For counts; `proxy_protocol` says that
    they begin each connection with a header of PROXY protocol v2.
    """

    host: str = "127.0.0.1"
    port: int = 0
    vpce: str | None = None
    vpc: str | None = None
    proxies: Sequence[str] = ()
    proxy_protocol: bool = False

    @property
    def address(self) -> str:
        """The address and port as one text."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def is_unspecified(self) -> bool:
        """Whether it listens on every address."""
        return ipaddress.ip_address(self.host).is_unspecified


def parse(text: str, proxies: Sequence[str] = (), *, proxy_protocol: bool = False) -> Listener:
    """The listener of `ADDR:PORT[,vpce=vpce-...][,vpc=vpc-...]`; ValueError says what is wrong."""
    place, *options = text.split(",")
    host, colon, port = place.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
        number = int(port) if port.isascii() and port.isdigit() else -1
    except ValueError:
        number = -1
    if not colon or not 0 <= number <= 65535:
        raise ValueError(
            f"{place!r} is no address and port: write 127.0.0.1:8443, or [::1]:8443 for IPv6"
        )
    found: dict[str, str] = {}
    for option in options:
        name, _, value = option.partition("=")
        pattern = {"vpce": _VPCE, "vpc": _VPC}.get(name)
        if pattern is None or pattern.fullmatch(value) is None or name in found:
            raise ValueError(
                f"{option!r} is no option of a listener: vpce=vpce-... and vpc=vpc-... are, "
                "once each, with AWS's ids (8 to 17 hexadecimal digits)"
            )
        found[name] = value
    return Listener(
        host, number, found.get("vpce"), found.get("vpc"), tuple(proxies), proxy_protocol
    )
