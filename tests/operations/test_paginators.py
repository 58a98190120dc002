"""Paginators with boto3's interface: of both entries, and of the client without botocore."""

from __future__ import annotations

import subprocess

import pytest
from botocore.exceptions import OperationNotPageableError
from botocore.loaders import Loader
from botocore.paginate import Paginator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clavero.model.operations import BY_METHOD, OPERATIONS
from clavero.paginators import (
    PlainOperationNotPageableError,
    pagination_config,
    paginator,
    plain_paginator,
)

THEIRS = Loader().load_service_model("kms", "paginators-1")["pagination"]


@pytest.fixture
def ids(client):
    """The ids of seven keys, in the order of the list."""
    return sorted(client.create_key()["KeyMetadata"]["KeyId"] for _ in range(7))


@pytest.fixture(params=["botocore's", "plain"])
def pages_of(request, client):
    """Make the pages of an operation, with the paginator of the client and with the plain one."""
    if request.param == "plain":
        return lambda method, **params: plain_paginator(client, method).paginate(**params)
    return lambda method, **params: client.get_paginator(method).paginate(**params)


def test_the_paged_operations_are_botocore_s():
    ours = {
        name: pagination_config(operation)
        for name, operation in OPERATIONS.items()
        if "Marker" in operation.input.members
    }
    assert ours == THEIRS
    assert all(OPERATIONS[name].input.members["Limit"].type == "integer" for name in ours)


def test_the_paginator_is_botocore_s_where_botocore_is_installed(kms_client):
    assert isinstance(kms_client.get_paginator("list_keys"), Paginator)
    assert not kms_client.can_paginate("nonsense")
    assert {m for m in BY_METHOD if kms_client.can_paginate(m)} == {
        OPERATIONS[name].method for name in THEIRS
    }


def test_pages_items_and_sizes(pages_of, ids):
    for config, sizes in (
        ({}, [7]),
        ({"PageSize": 3}, [3, 3, 1]),
        ({"PageSize": "3", "MaxItems": "5"}, [3, 2]),
        ({"MaxItems": 6, "PageSize": 3}, [3, 3]),
        ({"MaxItems": 9}, [7]),
        ({"MaxItems": 0}, [0]),
    ):
        pages = list(pages_of("list_keys", PaginationConfig=config))
        assert [len(page["Keys"]) for page in pages] == sizes
        found = [each["KeyId"] for page in pages for each in page["Keys"]]
        assert found == ids[: sum(sizes)]
        assert all("ResponseMetadata" in page for page in pages)


def test_a_full_result_and_where_it_goes_on(pages_of, ids):
    config = {"MaxItems": 3, "PageSize": 2}
    found = []
    token = None
    while True:
        full = pages_of(
            "list_keys", PaginationConfig={**config, "StartingToken": token}
        ).build_full_result()
        found += [each["KeyId"] for each in full["Keys"]]
        token = full.get("NextToken")
        if token is None:
            break
        assert len(full["Keys"]) == 3
        assert set(full) == {"Keys", "NextToken"}
    assert found == ids


def test_a_search_and_parameters_of_the_operation(pages_of, client, ids):
    for number in range(5):
        client.create_alias(AliasName=f"alias/{number}", TargetKeyId=ids[number % 2])
    pages = pages_of("list_aliases", KeyId=ids[0], PaginationConfig={"PageSize": 2})
    assert list(pages.search("Aliases[].AliasName")) == ["alias/0", "alias/2", "alias/4"]
    own = "Aliases[?TargetKeyId].AliasName"
    assert len(list(pages_of("list_aliases").search(own))) == 5


def test_a_marker_is_a_starting_token(pages_of, client, ids):
    marker = client.list_keys(Limit=2)["NextMarker"]
    (page,) = pages_of("list_keys", PaginationConfig={"StartingToken": marker})
    assert [each["KeyId"] for each in page["Keys"]] == ids[2:]
    with pytest.raises(client.exceptions.InvalidMarkerException):
        list(pages_of("list_keys", PaginationConfig={"StartingToken": "nonsense"}))


def test_what_is_not_paged(client):
    assert not client.can_paginate("encrypt")
    with pytest.raises(OperationNotPageableError) as theirs:
        client.get_paginator("encrypt")
    with pytest.raises(PlainOperationNotPageableError) as ours:
        plain_paginator(client, "encrypt")
    assert str(ours.value) == str(theirs.value)


def test_there_are_no_waiters_and_nothing_to_close(client):
    assert client.waiter_names == []
    with pytest.raises(ValueError, match="Waiter does not exist: key_exists"):
        client.get_waiter("key_exists")
    client.close()
    client.close()
    assert client.list_keys()["Keys"] == []


class Listing:
    """Answers ListKeys from pages of given sizes, the marker being the page's number."""

    def __init__(self, sizes: list[int]) -> None:
        self.pages = [[f"{page}.{item}" for item in range(size)] for page, size in enumerate(sizes)]
        self.asked: list[dict[str, object]] = []

    def can_paginate(self, method: str) -> bool:
        return method == "list_keys"

    def list_keys(self, **params):
        self.asked.append(dict(params))
        number = int(params.get("Marker", 0))
        answer = {"Keys": list(self.pages[number]), "Truncated": number + 1 < len(self.pages)}
        if answer["Truncated"]:
            answer["NextMarker"] = str(number + 1)
        return answer


config = st.fixed_dictionaries(
    {}, optional={"MaxItems": st.integers(0, 12), "PageSize": st.integers(1, 5)}
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), config)
def test_without_botocore_the_pages_are_the_same(sizes, config):
    """Followed to the end by resume tokens: the same calls, pages and tokens."""
    token = None
    for _ in range(30):
        results = []
        for make in (paginator, plain_paginator):
            listing = Listing(sizes)
            started = {**config, "StartingToken": token} if token else config
            pages = make(listing, "list_keys").paginate(PaginationConfig=dict(started))
            told = [dict(page) for page in pages]
            again = make(Listing(sizes), "list_keys").paginate(PaginationConfig=dict(started))
            results.append((told, pages.resume_token, listing.asked, again.build_full_result()))
        assert results[0] == results[1]
        token = results[0][1]
        if token is None or config["MaxItems"] == 0:
            break
    else:
        raise AssertionError("it does not end")


def test_a_program_without_botocore_pages_too(start_python):
    program = """
import sys
for name in ("botocore", "botocore.exceptions", "botocore.paginate", "jmespath"):
    sys.modules[name] = None
import clavero
with clavero.KMS() as kms:
    client = kms.client()
    for _ in range(3): client.create_key()
    pages = client.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 2})
    print(type(pages).__name__, [len(page["Keys"]) for page in pages])
    for attempt in (lambda: list(pages.search("Keys")), lambda: client.get_paginator("encrypt")):
        try: attempt()
        except Exception as error: print(type(error).__name__, "|", error)
"""
    done = start_python("-c", program, stdout=subprocess.PIPE, text=True)
    assert done.communicate(timeout=60)[0].splitlines() == [
        "PlainPages [2, 1]",
        "ImportError | jmespath is not installed: pip install jmespath, or iterate over the pages.",
        "PlainOperationNotPageableError | Operation cannot be paginated: encrypt",
    ]
