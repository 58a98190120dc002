"""Every member of a request is used by its operation's code, and no member is ignored in silence.

The code of an operation is what its row in the registry names, and what that calls. Where a call
does not show in the code object (a method of what it is handed), every method of that name counts,
so that the test may miss a member that is ignored; it names none that is used.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any

import pytest

from clavero import service
from clavero.audit import members
from clavero.model.operations import OPERATIONS
from clavero.ops import call, context, directory, registry

HANDLERS = registry.built()
# Used by the pipeline, for every operation that has them.
BY_THE_PIPELINE = {"DryRun", "GrantTokens", "Recipient"}
# Members that an operation does not look at, each with the reason.
IGNORED: dict[tuple[str, str], str] = {}

# Members that no audit record may hold, each with the reason; all others stand in the record.
_SECRET = "plaintext, or what opens or forges something"
_LARGE = "large, and no part of AWS's record"
NOT_ON_RECORD = {
    "AttestationDocument": _LARGE,
    "CiphertextBlob": _LARGE,
    "EncryptedKeyMaterial": _SECRET,
    "GrantToken": _SECRET,
    "GrantTokens": _SECRET,
    "ImportToken": _SECRET,
    "KeyStorePassword": _SECRET,
    "Mac": _SECRET,
    "Message": _SECRET,
    "Plaintext": _SECRET,
    "PublicKey": _LARGE,
    "Recipient": _LARGE,
    "SharedSecretCiphertextBlob": _LARGE,
    "Signature": _LARGE,
    "TrustAnchorCertificate": _LARGE,
    "XksProxyAuthenticationCredential": _SECRET,
}

METHODS: dict[str, list[Any]] = {}
for _kind in (context.OpsContext, directory.Directory, call.Call):
    for _name, _method in vars(_kind).items():
        if isinstance(_method, types.FunctionType):
            METHODS.setdefault(_name, []).append(_method)


def codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes(constant)


def ours(value: Any) -> bool:
    return isinstance(value, types.FunctionType) and value.__module__.startswith("clavero.")


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple | frozenset | set | list):
        for each in value:
            yield from strings(each)


def code_of(handler: registry.Handler) -> tuple[set[str], set[str]]:
    """The strings in an operation's code, and the functions that it consists of."""
    waiting: list[Any] = [
        handler.run,
        handler.resolve,
        handler.needs,
        handler.check,
        handler.decide,
    ]
    seen: set[Any] = set()
    texts: set[str] = set()
    while waiting:
        function = waiting.pop()
        if not ours(function) or function in seen:
            continue
        seen.add(function)
        for cell in function.__closure__ or ():
            waiting.append(cell.cell_contents)
            texts.update(strings(cell.cell_contents))
        texts.update(strings(tuple((function.__kwdefaults__ or {}).values())))
        texts.update(strings(function.__defaults__))
        for code in codes(function.__code__):
            texts.update(strings(code.co_consts))
            for name in code.co_names:
                value = function.__globals__.get(name)
                texts.update(strings(value))
                waiting.append(value)
                if isinstance(value, types.ModuleType) and value.__name__.startswith("clavero."):
                    waiting.extend(getattr(value, each, None) for each in code.co_names)
                waiting.extend(METHODS.get(name, ()))
    return texts, {function.__qualname__ for function in seen}


def is_used(member: str, texts: set[str]) -> bool:
    """Also as two parts: f"{prefix}KeyId"."""
    parts = ((member[:cut], member[cut:]) for cut in range(1, len(member)))
    return member in texts or any(head in texts and tail in texts for head, tail in parts)


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name in HANDLERS])
def test_every_member_of_the_request_is_used(name):
    texts, _ = code_of(HANDLERS[name])
    shape = OPERATIONS[name].input
    unused = {member for member in shape.members if not is_used(member, texts)}
    assert unused - BY_THE_PIPELINE == {member for of, member in IGNORED if of == name}


def test_the_pipeline_uses_what_it_is_said_to_use():
    texts = {
        text
        for function in (service.Service.handle, service.Service._authorise)
        for text in strings(function.__code__.co_consts)
    }
    assert texts >= BY_THE_PIPELINE


def test_the_search_finds_a_member_that_is_ignored():
    texts, functions = code_of(HANDLERS["DescribeKey"])
    assert "describe_key" in functions
    assert is_used("KeyId", texts)
    assert not is_used("PendingWindowInDays", texts)
    assert not is_used("EncryptionContext", texts)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_member_stands_in_the_record_or_is_kept_out_for_a_reason(name):
    shape = OPERATIONS[name].input
    left_out = set(shape.members) - set(members.REQUEST.get(name, ()))
    assert left_out <= set(NOT_ON_RECORD)
    assert not set(members.REQUEST.get(name, ())) - set(shape.members), "AWS has no such member"
