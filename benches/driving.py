"""wrk as a driver of servers: requests that were made before go round, and rates come back."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

CONNECTIONS: Final = 32
TARGET: Final = "TrentService.GenerateDataKey"
_HEADERS: Final = {"X-Amz-Target": TARGET, "Content-Type": "application/x-amz-json-1.1"}

_SCRIPT: Final = """
local at = 0
function request()
  at = at % #requests + 1
  return requests[at]
end
function done(summary, latency, all)
  local failed = summary.errors
  io.write(string.format(
    '{"requests": %d, "us": %d, "refused": %d, "failed": %d, "median": %d, "tail": %d}',
    summary.requests, summary.duration, failed.status,
    failed.connect + failed.read + failed.write + failed.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


class Load(NamedTuple):
    """What wrk saw."""

    rate: float  # answers a second
    median: float  # latency, seconds
    tail: float  # latency, 99th percentile, seconds


class Request(NamedTuple):
    """A request of GenerateDataKey, as HTTP has it."""

    headers: Mapping[str, str]
    body: bytes


def signed(url: str, key_id: str, environment: Mapping[str, str], count: int) -> list[Request]:
    """`count` requests for data keys, each of another context, with signatures of now.

    They are valid for five minutes. `environment` has what `clavero env` prints.
    """
    credentials = Credentials(
        environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
    )
    made = []
    for number in range(count):
        context = {"purpose": "bench", "table": f"records-{number:04}"}
        body = json.dumps({"KeyId": key_id, "KeySpec": "AES_256", "EncryptionContext": context})
        request = AWSRequest("POST", url + "/", headers=dict(_HEADERS), data=body.encode())
        SigV4Auth(credentials, "kms", environment["AWS_REGION"]).add_auth(request)
        made.append(Request(dict(request.headers.items()), body.encode()))
    return made


def drive(url: str, requests: Sequence[Request], seconds: int, folder: Path) -> Load:
    """Load a server from CONNECTIONS connections. Every answer must be a 200.

    Raises RuntimeError where one is not, and FileNotFoundError without wrk.
    """
    program = shutil.which("wrk")
    if program is None:
        raise FileNotFoundError("wrk is not installed (Debian and Ubuntu: apt-get install wrk)")
    script = folder / "drive.lua"
    host = urlsplit(url).netloc
    lines = ",\n".join(_quoted(_text(host, request)) for request in requests)
    script.write_text(f"local requests = {{\n{lines}\n}}\n{_SCRIPT}", encoding="ascii")
    command = [program, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script), url + "/"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    told = json.loads(output[output.rindex("{") :])
    if told["refused"] or told["failed"] or not told["requests"]:
        raise RuntimeError(f"{url} did not answer every request: {told}")
    return Load(told["requests"] / told["us"] * 1e6, told["median"] / 1e6, told["tail"] / 1e6)


def _text(host: str, request: Request) -> str:
    headers = {"Host": host, **request.headers, "Content-Length": str(len(request.body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST / HTTP/1.1\r\n{head}\r\n{request.body.decode()}"


def _quoted(text: str) -> str:
    """A string in Lua's source."""
    escapes = {"\\": "\\\\", '"': '\\"', "\r": "\\r", "\n": "\\n"}
    return '"' + "".join(escapes.get(each, each) for each in text) + '"'
