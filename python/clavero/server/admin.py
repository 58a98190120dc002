"""The admin socket: what the command line asks of the server that has the store open.

A Unix socket in the data folder. Only the user who runs the server (and root) is answered: the
kernel says who connects. One request a connection, one line of JSON each way.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

_log = logging.getLogger(__name__)

SOCKET: Final = "admin.sock"
_MAX_LINE: Final = 64 * 1024
_PATIENCE: Final = 10.0  # seconds that either side waits for the other's line

Handler = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class AdminError(Exception):
    """The server refused; the text says why."""


class AdminSocket:
    """Answers on `folder`'s socket until `close`. `handlers` name the requests.

    A handler's ValueError and StoreError are told to whoever asked.
    """

    def __init__(self, folder: Path, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._path = folder / SOCKET
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            # Nobody listens on one that was left behind: the folder is ours, its lock says so.
            self._path.unlink(missing_ok=True)
            before = os.umask(0o177)
            try:
                self._socket.bind(_address(self._folder))
            finally:
                os.umask(before)
            self._socket.listen(16)
        except BaseException:
            self._socket.close()
            os.close(self._folder)
            raise
        self._thread = threading.Thread(target=self._serve, name="clavero-admin", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering, and take the socket away."""
        if self._folder < 0:
            return
        self._path.unlink(missing_ok=True)
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(_PATIENCE)
        os.close(self._folder)
        self._folder = -1

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return  # closed
            threading.Thread(
                target=self._answer, args=(connection,), name="clavero-admin", daemon=True
            ).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(_PATIENCE)
            try:
                if _peer_uid(connection) not in {0, os.geteuid()}:
                    answer: Mapping[str, Any] = {"error": "only the server's own user is answered"}
                else:
                    answer = self._handled(_line(connection))
                connection.sendall(json.dumps(answer).encode() + b"\n")
            except OSError:
                return  # whoever asked is gone

    def _handled(self, line: bytes) -> Mapping[str, Any]:
        from clavero.store.errors import StoreError

        try:
            request = json.loads(line)
            handler = self._handlers.get(request["do"])
        except (ValueError, TypeError, KeyError):
            return {"error": "the request is no JSON object with a member 'do'"}
        if handler is None:
            return {"error": "the server does not know this request: it is of another version"}
        try:
            return {"done": handler(request)}
        except (ValueError, StoreError, KeyError, TypeError) as error:
            return {"error": str(error)}
        except Exception:  # noqa: BLE001 (the server goes on)
            _log.exception("an admin request failed")
            return {"error": "the request failed unexpectedly; the server's log tells more"}


def ask(folder: Path, do: str, **members: Any) -> Any:
    """Ask the server of `folder`.

    Raises AdminError where it refuses, FileNotFoundError or ConnectionError where none runs.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as asking:
            asking.settimeout(_PATIENCE)
            asking.connect(_address(handle))
            asking.sendall(json.dumps({"do": do, **members}).encode() + b"\n")
            answer = json.loads(_line(asking))
    finally:
        os.close(handle)
    if "error" in answer:
        raise AdminError(answer["error"])
    return answer["done"]


def _address(folder: int) -> str:
    # A Unix socket's address has 107 bytes at most, and data folders may be deeper.
    return f"/proc/self/fd/{folder}/{SOCKET}"


def _line(connection: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"\n"):
        piece = connection.recv(4096)
        if not piece or len(received) > _MAX_LINE:
            raise ConnectionResetError("no line came")
        received += piece
    return received


def _peer_uid(connection: socket.socket) -> int:
    credentials = connection.getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
    )
    _, uid, _ = struct.unpack("3i", credentials)
    return int(uid)
