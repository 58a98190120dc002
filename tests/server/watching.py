"""What a server process holds: memory, descriptors, threads, and what its metrics say."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """One look at a process."""

    at: float  # time.monotonic()
    rss: int  # bytes of memory, without what is shared with files
    descriptors: int
    threads: int
    metrics: Mapping[str, float]

    @property
    def connections(self) -> int:
        return int(self.metrics["clavero_connections"])


def look(pid: int, metrics_url: str) -> Sample:
    """Take a sample. RSS is what is the process's own: /proc/PID/status, RssAnon."""
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return Sample(
        time.monotonic(),
        int(fields["RssAnon"].split()[0]) * 1024,
        len(list(Path(f"/proc/{pid}/fd").iterdir())),
        int(fields["Threads"]),
        scrape(metrics_url),
    )


def scrape(url: str) -> dict[str, float]:
    """What /metrics says, by name and labels."""
    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 (of our own process)
        text: str = answer.read().decode()
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def when_idle(pid: int, metrics_url: str, within: float = 60.0) -> Sample:
    """A sample without connections: what is there for good. Fails where some do not end."""
    until = time.monotonic() + within
    while True:
        sample = look(pid, metrics_url)
        if sample.connections == 0:
            time.sleep(0.2)  # a descriptor is closed after it was counted
            return look(pid, metrics_url)
        assert time.monotonic() < until, f"{sample.connections} connections are left"
        time.sleep(0.1)
