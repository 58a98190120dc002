"""Which principals a policy document names, and the same document naming them otherwise.

A stored policy stands for unique ids: when a user or role is gone, what named it names its id, and
one that is made anew under the same name is another. Everything else of the text stays as it is.
Source: IAM User Guide, "AWS JSON policy elements: Principal".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Final

_SIGN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_PLACES: Final = (["Statement", "Principal", "AWS"], ["Statement", "NotPrincipal", "AWS"])


def renamed(text: str, name: Callable[[str], str | None]) -> str:
    """The document with each principal that `name` gives another name for.

    `text` is valid JSON; one that is not comes back as it is.
    """
    pieces: list[str] = []
    done = 0
    for start, end in _principals(text):
        other = name(json.loads(text[start:end]))
        if other is not None:
            pieces += [text[done:start], json.dumps(other)]
            done = end
    return "".join([*pieces, text[done:]])


def _principals(text: str) -> Iterator[tuple[int, int]]:
    """Where the strings of Principal and NotPrincipal elements stand, quotes included."""
    keys: list[str | None] = []  # of each open object the member that is read; None for a list
    expects_key = False
    for match in _SIGN.finditer(text):
        sign = match[0]
        if sign == "{":
            keys.append("")
            expects_key = True
        elif sign == "[":
            keys.append(None)
            expects_key = False
        elif sign in {"}", "]"}:
            if keys:
                keys.pop()
            expects_key = False
        elif sign == ",":
            expects_key = bool(keys) and keys[-1] is not None
        elif sign.startswith('"') and expects_key:
            keys[-1] = json.loads(sign)
            expects_key = False
        elif sign.startswith('"') and [key for key in keys if key is not None] in _PLACES:
            yield match.span()
