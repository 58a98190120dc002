"""The operations of the KMS API: names, shapes, errors, and validation of their parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from clavero.model.errors import KMSError
from clavero.model.explain import Problem, explain
from clavero.model.fastcheck import canonical, compile_accepts, compile_exact
from clavero.model.generated import OPERATIONS as _TABLE
from clavero.model.shapes import Shape, shape


def method_name(operation: str) -> str:
    """boto3's method for an operation: `ReEncrypt` is `re_encrypt`."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in operation).lstrip("_")


class Operation:
    """One operation of the API. Its checks are compiled at their first use.

    `accepts(params)` is true iff the parameters satisfy every constraint of the model.
    `is_exact(params)` asks in addition for the canonical types that operations run on.
    """

    __slots__ = (
        "_compiled_accepts",
        "_compiled_is_exact",
        "_input",
        "_output",
        "accepts",
        "errors",
        "is_exact",
        "method",
        "name",
    )

    accepts: Callable[[Any], bool]
    is_exact: Callable[[Any], bool]

    def __init__(
        self, name: str, input_shape: str, output_shape: str | None, errors: tuple[str, ...]
    ) -> None:
        self.name: Final = name
        self.method: Final = method_name(name)
        self.errors: Final = errors
        self._input = input_shape
        self._output = output_shape
        self._compiled_accepts: Callable[[Any], bool] | None = None
        self._compiled_is_exact: Callable[[Any], bool] | None = None
        # Plain slots that the first call replaces: later calls reach the closure directly, and a
        # caller who holds the first one compiles nothing twice.
        self.accepts = self._first_accepts
        self.is_exact = self._first_is_exact

    def __repr__(self) -> str:
        return f"<Operation {self.name}>"

    @property
    def input(self) -> Shape:
        """The structure of the parameters."""
        return shape(self._input)

    @property
    def output(self) -> Shape | None:
        """The structure of the answer; None where AWS answers with an empty body."""
        return None if self._output is None else shape(self._output)

    def validated(self, params: dict[str, Any]) -> dict[str, Any]:
        """The parameters to run on: the same dict when it is canonical, else a canonical copy.

        Raises KMSError: SerializationException or ValidationException, with AWS's text.
        """
        if self.is_exact(params):
            return params
        problem = self.explain(params)
        if problem is not None:
            raise KMSError(problem.code, problem.message)
        result: dict[str, Any] = self.canonical(params)
        return result

    def canonical(self, params: Any) -> Any:
        """The parameters in exact types, without nulls; see `fastcheck.canonical`."""
        return canonical(self.input, params)

    def explain(self, params: object) -> Problem | None:
        """What is wrong with the parameters in AWS's words; None iff `accepts(params)`."""
        return explain(self.input, params)

    def _first_accepts(self, params: Any) -> bool:
        if self._compiled_accepts is None:
            self._compiled_accepts = self.accepts = compile_accepts(self.input)
        return self._compiled_accepts(params)

    def _first_is_exact(self, params: Any) -> bool:
        if self._compiled_is_exact is None:
            self._compiled_is_exact = self.is_exact = compile_exact(self.input)
        return self._compiled_is_exact(params)


OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType(
    {name: Operation(name, *row) for name, row in _TABLE.items()}
)
BY_METHOD: Final[Mapping[str, Operation]] = MappingProxyType(
    {operation.method: operation for operation in OPERATIONS.values()}
)
