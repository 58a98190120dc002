"""The proof that a forked child is refused covers every call of the HSM, also the next one."""

from __future__ import annotations

import re
from pathlib import Path

HSM = Path(__file__).resolve().parents[2] / "rust" / "hsm"
IMPL = re.compile(r"^impl Hsm \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
METHOD = re.compile(r"^    pub fn (\w+)(?:<[^(]*>)?\(\s*&self", re.MULTILINE)


def test_every_public_call_is_tried_in_a_forked_child():
    calls = {
        method
        for path in HSM.glob("src/**/*.rs")
        for block in IMPL.findall(path.read_text(encoding="utf-8"))
        for method in METHOD.findall(block)
    }
    driver = (HSM / "tests" / "support" / "forked.rs").read_text(encoding="utf-8")
    tried = set(re.findall(r"^            hsm\.(\w+)\(", driver, re.MULTILINE))
    tried |= set(re.findall(r"^            hsm\n\s+\.(\w+)\(", driver, re.MULTILINE))
    assert len(calls) > 50, "the pattern finds them"
    assert calls == tried
