"""Policy documents of the kinds beside key policies: what each must have, and where lines are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clavero.iam.documents import Kind, line_of, parse
from clavero.model.errors import KMSError

BARE: dict[str, Any] = {"Effect": "Deny", "Action": "kms:*", "Resource": "*"}
PRINCIPAL: dict[str, Any] = {"Principal": "*"}
ATTACHED = [Kind.IDENTITY, Kind.BOUNDARY, Kind.SESSION, Kind.SERVICE_CONTROL]
NAMING = [Kind.KEY, Kind.RESOURCE_CONTROL, Kind.ENDPOINT, Kind.TRUST]


def document(*statements: Any, **members: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **members})


def refusal(text: str, kind: Kind) -> str:
    with pytest.raises(KMSError) as caught:
        parse(text, kind)
    assert caught.value.code == "MalformedPolicyDocumentException"
    return caught.value.message


@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.name)
def test_a_plain_document_of_each_kind(kind):
    statement = {**BARE, **(PRINCIPAL if kind in NAMING else {})}
    if kind is Kind.TRUST:
        assert refusal(document(statement), kind) == "Has prohibited field Resource"
        del statement["Resource"]
    read = parse(document(statement), kind)
    assert list(read.statements) == [statement]
    assert read.variables
    assert not parse(document(statement, Version="2008-10-17"), kind).variables
    assert not parse(json.dumps({"Statement": statement}), kind).variables
    other = BARE if kind in NAMING else {**BARE, **PRINCIPAL}
    text = refusal(document(other), kind)
    if kind in NAMING:
        assert text == "Policy contains a statement with no principal."
    else:
        assert text.startswith(f"The {kind.value} is not valid: its statements cannot have a Pri")


@pytest.mark.parametrize("kind", [*ATTACHED, Kind.ENDPOINT], ids=lambda kind: kind.name)
@pytest.mark.parametrize("element", ["Action", "Resource"])
def test_what_only_key_policies_may_leave_out(kind, element):
    statement = {**BARE, **(PRINCIPAL if kind in NAMING else {})}
    del statement[element]
    assert f"must have {element} or Not{element}" in refusal(document(statement), kind)
    statement[f"Not{element}"] = "kms:*"
    parse(document(statement), kind)
    parse(document({**BARE, **PRINCIPAL, element: []}), Kind.KEY)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"Effect": "Allow"}, "can only have the Effect Deny"),
        ({"Principal": {"AWS": "111122223333"}}, "must have the Principal '*'"),
        ({"Action": None, "NotAction": "kms:*"}, "must have the Principal '*' and an Action"),
    ],
)
def test_resource_control_policies_only_deny_and_everyone(changes, text):
    statement = {**BARE, **PRINCIPAL, **changes}
    statement = {name: value for name, value in statement.items() if value is not None}
    assert text in refusal(document(statement), Kind.RESOURCE_CONTROL)


def test_a_sid_has_spaces_in_key_policies_only():
    """[DG] "The statement ID ... can include spaces"."""
    parse(document({**BARE, **PRINCIPAL, "Sid": "Enable IAM User Permissions"}), Kind.KEY)
    text = refusal(document({**BARE, "Sid": "a b"}), Kind.IDENTITY)
    assert "letters and digits only" in text


def test_set_operators_that_other_policies_may_have():
    """[DG] OverlyPermissiveCondition is about key policies."""
    condition = {"ForAllValues:StringEquals": {"aws:RequestTag/a": "b"}}
    parse(document({**BARE, "Condition": condition}), Kind.IDENTITY)
    text = refusal(document({**BARE, **PRINCIPAL, "Condition": condition}), Kind.KEY)
    assert text == (
        "OverlyPermissiveCondition: Using the ForAllValues set operator with a single-valued "
        "condition key matches requests without the specified [encryption context or tag] or with "
        "an unspecified [encryption context or tag]. To fix, remove ForAllValues."
    )


def test_lines_of_statements():
    text = '{\n "Statement" : [\n  {"a": [1,\n 2]} ,\n\n {"b": "]"},{"c": 3}\n]}'
    assert [line_of(text, index) for index in range(3)] == [3, 6, 6]
    assert line_of('{"Statement":\n{"a": 1}}', 0) == 2
