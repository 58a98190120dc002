"""The model's regular expressions, which are Java's, as Python's."""

from __future__ import annotations

import re
from functools import cache

# Java's line terminators, which `.` does not match there; Python's `.` leaves out only \n.
_ANY = "[^\\n\\r\\u0085\\u2028\\u2029]"

# Escapes that mean the same in both languages (with re.ASCII, which is Java's default for classes).
_SAME_ESCAPES = frozenset("dDsSwWtnrf\\/.-+*?()[]{}|^$")


def translate(pattern: str) -> str:
    """Python source for a Java pattern, to be used with fullmatch and re.ASCII.

    AWS matches the whole value (Java's `matches()`), so `^` and `$` at the ends say nothing more.
    Raises ValueError for a construct that the two languages read differently and that no KMS
    pattern uses today (nested classes, `&&`, property classes): it must be translated, not guessed.
    """
    out: list[str] = []
    in_class = False
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            escape = pattern[at + 1 : at + 2]
            if escape == "u" and re.fullmatch("[0-9A-Fa-f]{4}", pattern[at + 2 : at + 6]):
                out.append(pattern[at : at + 6])
                at += 6
                continue
            if escape not in _SAME_ESCAPES or not escape:
                raise ValueError(f"pattern {pattern!r} has the escape \\{escape}, not translated")
            out.append("/" if escape == "/" else "\\" + escape)
            at += 2
            continue
        if in_class:
            if char == "[" or pattern.startswith("&&", at):
                raise ValueError(f"pattern {pattern!r} has a class inside a class, not translated")
            in_class = char != "]"
            out.append(char)
        elif char == ".":
            out.append(_ANY)
        elif pattern.startswith("(?", at):
            raise ValueError(f"pattern {pattern!r} has a (? group, not translated")
        else:
            in_class = char == "["
            out.append(char)
        at += 1
    return "".join(out)


@cache
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The compiled pattern; match with `.fullmatch`. Raises ValueError as `translate` does."""
    return re.compile(translate(pattern), re.ASCII)
