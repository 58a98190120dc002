"""Results of batch calls: bytes in memory that Rust owns, shown as numpy or Arrow or one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, overload

from clavero._native import BLOB_OVERHEAD, NativeBuffer, arrow_struct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class _Wiped:
    """Memory that is wiped by `wipe()`, at the end of a `with` block, and when it is dropped."""

    def __init__(self, secret: NativeBuffer) -> None:
        self._secret = secret

    def wipe(self) -> None:
        """Overwrite the plaintexts with zeros, in every array that shows them."""
        self._secret.wipe()

    @property
    def wiped(self) -> bool:
        """Whether the plaintexts are gone."""
        return self._secret.wiped

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.wipe()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} holds keys and cannot be pickled")

    def _check(self) -> None:
        if self._secret.wiped:
            raise ValueError("the batch was wiped")


class DataKeyBatch(_Wiped, Sequence[tuple[bytes, bytes]]):
    """`n` data keys of one size: plaintexts and ciphertext blobs.

    `plaintext` and `ciphertext` are `(n, size)` and `(n, size + 64)` numpy arrays of uint8 over the
    same memory (no copy). Iteration and indexing give `(plaintext, blob)` as bytes, which are
    copies that cannot be wiped. Arrow readers take it as a struct of two fixed-size binary columns.
    """

    def __init__(
        self,
        plaintext: NativeBuffer,
        ciphertext: NativeBuffer,
        *,
        size: int,
        key_id: str,
        key_material_id: str,
    ) -> None:
        super().__init__(plaintext)
        self._plaintext = plaintext
        self._ciphertext = ciphertext
        self._count = len(plaintext) // size
        self.size = size
        self.key_id = key_id
        self.key_material_id = key_material_id

    @property
    def plaintext(self) -> NDArray[np.uint8]:
        """The data keys, one a row. Zeros once wiped."""
        return _matrix(self._plaintext, self.size)

    @property
    def ciphertext(self) -> NDArray[np.uint8]:
        """Their ciphertext blobs, one a row."""
        return _matrix(self._ciphertext, self.size + BLOB_OVERHEAD)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> tuple[bytes, bytes]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[bytes, bytes]]: ...
    def __getitem__(self, index: int | slice) -> tuple[bytes, bytes] | list[tuple[bytes, bytes]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        self._check()
        index = _position(index, self._count)
        return (
            _row(self._plaintext, index, self.size),
            _row(self._ciphertext, index, self.size + BLOB_OVERHEAD),
        )

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        for index in range(self._count):
            yield self[index]

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """The Arrow C data interface: a struct array {plaintext, ciphertext}, without a copy."""
        return arrow_struct(
            [
                ("plaintext", self._plaintext, None, self.size),
                ("ciphertext", self._ciphertext, None, self.size + BLOB_OVERHEAD),
            ],
            self._count,
        )

    def __repr__(self) -> str:
        state = ", wiped" if self.wiped else ""
        return (
            f"<DataKeyBatch of {self._count} keys of {self.size} bytes under {self.key_id}{state}>"
        )


class BinaryBatch(_Wiped, Sequence[bytes]):
    """Byte strings of any lengths, one after the other in memory: blobs, or plaintexts.

    A sequence of bytes (copies). Arrow readers take it as a large binary array without a copy;
    `array()` gives a 2-D numpy array where all have one length.
    """

    def __init__(
        self, values: NativeBuffer, offsets: NativeBuffer, *, key_id: str | None = None
    ) -> None:
        super().__init__(values)
        self._values = values
        self._offsets = offsets
        self._ends = memoryview(offsets).cast("q")
        self.key_id = key_id

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        self._check()
        index = _position(index, len(self))
        return bytes(memoryview(self._values)[self._ends[index] : self._ends[index + 1]])

    def array(self) -> NDArray[np.uint8]:
        """The values as rows of a uint8 array, same memory. ValueError if their lengths differ."""
        ends = _numpy().frombuffer(self._offsets, dtype="int64")
        lengths = ends[1:] - ends[:-1]
        if (lengths != lengths[0]).any():
            raise ValueError("the values have different lengths: iterate, or use Arrow")
        return _matrix(self._values, int(lengths[0]))

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """The Arrow C data interface: a large binary array, without a copy."""
        return arrow_struct([("value", self._values, self._offsets, None)], len(self), unwrap=True)

    def __repr__(self) -> str:
        return f"<BinaryBatch of {len(self)} values{', wiped' if self.wiped else ''}>"


def _numpy() -> Any:
    try:
        import numpy
    except ImportError:
        raise ImportError(
            "numpy is needed for arrays of a batch: pip install 'clavero[numpy]'; iteration and "
            "Arrow work without it"
        ) from None
    return numpy


def _matrix(buffer: NativeBuffer, width: int) -> NDArray[np.uint8]:
    array: NDArray[np.uint8] = _numpy().frombuffer(buffer, dtype="uint8").reshape(-1, width)
    return array


def _row(buffer: NativeBuffer, index: int, width: int) -> bytes:
    return bytes(memoryview(buffer)[index * width : (index + 1) * width])


def _position(index: int, count: int) -> int:
    if not -count <= index < count:
        raise IndexError("the batch has no such index")
    return index % count
