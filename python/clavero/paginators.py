"""Paginators of the in-process client: botocore's own over our methods, or the same without it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, Final

from clavero.model.operations import BY_METHOD, Operation

# Every list of KMS is paged by the same four members.
MARKER: Final = "Marker"
NEXT: Final = "NextMarker"
TRUNCATED: Final = "Truncated"
LIMIT: Final = "Limit"
_SKIPPED: Final = "boto_truncate_amount"  # botocore's: its tokens and ours are the same


class PlainOperationNotPageableError(Exception):
    """What botocore.exceptions.OperationNotPageableError is, for programs without botocore."""

    def __init__(self, *, operation_name: str) -> None:
        super().__init__(f"Operation cannot be paginated: {operation_name}")


def pagination_config(operation: Operation) -> dict[str, str]:
    """What botocore's paginators-1.json says of an operation that is paged."""
    assert operation.output is not None, "a page has members"
    (result_key,) = (name for name, m in operation.output.members.items() if m.type == "list")
    return {
        "input_token": MARKER,
        "output_token": NEXT,
        "more_results": TRUNCATED,
        "limit_key": LIMIT,
        "result_key": result_key,
    }


def paginator(client: Any, method: str) -> Any:
    """The paginator of a client's method. Raises OperationNotPageableError for one of one page."""
    try:
        from botocore.exceptions import OperationNotPageableError
        from botocore.paginate import Paginator
    except ImportError:
        return plain_paginator(client, method)
    if not client.can_paginate(method):
        raise OperationNotPageableError(operation_name=method)
    # Of the operation's model it asks for the type of Limit only, which is an integer everywhere.
    limits = {LIMIT: SimpleNamespace(type_name="integer")}
    model = SimpleNamespace(input_shape=SimpleNamespace(members=limits))
    operation = BY_METHOD[method]
    named = type(f"KMS.Paginator.{operation.name}", (Paginator,), {})
    return named(getattr(client, method), pagination_config(operation), model)


def plain_paginator(client: Any, method: str) -> PlainPaginator:
    """The paginator for programs without botocore."""
    if not client.can_paginate(method):
        raise PlainOperationNotPageableError(operation_name=method)
    result_key = pagination_config(BY_METHOD[method])["result_key"]
    return PlainPaginator(getattr(client, method), result_key)


class PlainPaginator:
    """What botocore.paginate.Paginator is, for programs without botocore."""

    def __init__(self, method: Callable[..., dict[str, Any]], result_key: str) -> None:
        self._method = method
        self._result_key = result_key

    def paginate(
        self,
        *,
        PaginationConfig: Mapping[str, Any] | None = None,  # noqa: N803 (boto3's names)
        **params: Any,
    ) -> PlainPages:
        """The pages. PaginationConfig may have MaxItems, PageSize and StartingToken."""
        return PlainPages(self._method, self._result_key, PaginationConfig or {}, params)


class PlainPages:
    """The pages of one call, asked for as they are iterated over; each iteration asks anew.

    After an iteration that MaxItems ended, `resume_token` is the StartingToken of the rest.
    """

    def __init__(
        self,
        method: Callable[..., dict[str, Any]],
        result_key: str,
        config: Mapping[str, Any],
        params: Mapping[str, Any],
    ) -> None:
        self._method = method
        self._result_key = result_key
        self._params = params
        self._max_items = _integer(config.get("MaxItems"))
        self._page_size = _integer(config.get("PageSize"))
        self._starting_token: str | None = config.get("StartingToken")
        self.resume_token: str | None = None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        params = dict(self._params)
        if self._page_size is not None:
            params[LIMIT] = self._page_size
        marker, skip = _parse(self._starting_token)
        if self._starting_token is not None:
            _put(params, marker)
        left = self._max_items
        while True:
            page = self._method(**params)
            items = page.get(self._result_key, [])[skip:]
            page[self._result_key] = items
            if left is not None and len(items) > left:
                page[self._result_key] = items[:left]
                self.resume_token = _token({MARKER: marker, _SKIPPED: left + skip})
                yield page
                return
            yield page
            marker, skip = (page.get(NEXT) if page.get(TRUNCATED) else None), 0
            if not marker:
                return
            if left is not None:
                left -= len(items)
                if left == 0:
                    self.resume_token = _token({MARKER: marker})
                    return
            _put(params, marker)

    def build_full_result(self) -> dict[str, Any]:
        """All items under their name, and the resume token, if there is one, as NextToken."""
        full: dict[str, Any] = {}
        for page in self:
            full.setdefault(self._result_key, []).extend(page[self._result_key])
        if self.resume_token is not None:
            full["NextToken"] = self.resume_token
        return full

    def search(self, expression: str) -> Iterator[Any]:
        """What the JMESPath expression finds in each page, one by one. Needs jmespath."""
        try:
            import jmespath
        except ImportError as error:
            raise ImportError(
                "jmespath is not installed: pip install jmespath, or iterate over the pages.",
                name="jmespath",
            ) from error
        compiled = jmespath.compile(expression)
        for page in self:
            found = compiled.search(page)
            if isinstance(found, list):
                yield from found
            else:
                yield found


def _integer(value: Any) -> int | None:
    return None if value is None else int(value)


def _put(params: dict[str, Any], marker: str | None) -> None:
    params.pop(MARKER, None)
    if marker is not None:
        params[MARKER] = marker


def _token(resume: Mapping[str, Any]) -> str:
    return base64.b64encode(json.dumps(resume).encode()).decode("ascii")


def _parse(token: str | None) -> tuple[str | None, int]:
    """The marker of a starting token, and how many items of its page were had already."""
    if token is None:
        return None, 0
    try:
        resume = json.loads(base64.b64decode(token))
        return resume[MARKER], resume.get(_SKIPPED, 0)
    except (ValueError, TypeError, KeyError):
        return token, 0  # a marker as KMS gave it
