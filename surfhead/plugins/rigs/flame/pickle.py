"""Reads the pickles FLAME is published in without running anything they contain.

A pickle is a program: it may name any function of any module and call it. Here every name resolves to one
of a handful of stand-ins written below (exact names only); anything else is refused by name. The stand-ins
rebuild plain numpy arrays from raw bytes, so neither numpy's nor scipy's own unpickling code ever sees the
file, and chumpy need not be installed.
"""

from __future__ import annotations

import io
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from surfhead.core.api import DataError, cause
from surfhead.files import bounds
from surfhead.plugins.rigs.mistaken_files import changed_line_ends, no_pickle


class _Sealed(type):
    """Classes whose attributes a pickle cannot set."""

    def __setattr__(cls, name: str, value: object) -> None:
        raise pickle.UnpicklingError(f'it sets the attribute "{name}" of a class')


class _Object(metaclass=_Sealed):
    """What ``object`` stands for in old pickles."""


class _Dtype(metaclass=_Sealed):
    """numpy.dtype: only plain numbers, and object arrays as opaque lists."""

    def __init__(self, code: str, *_: object) -> None:
        self.code = str(code)
        self.order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = {"<": "<", ">": ">", "|": "|", "=": "="}[state[1]]

    def numpy(self) -> np.dtype[Any]:
        """The real dtype."""
        if self.code[:1] not in ("b", "i", "u", "f", "c") or not self.code[1:].isdigit():
            raise pickle.UnpicklingError(f'it holds an array of type "{self.code}"')
        return np.dtype(self.order.replace("|", "=") + self.code)


class _Array(metaclass=_Sealed):
    """numpy.ndarray, rebuilt from its shape and raw bytes."""

    def __init__(self, *_: object) -> None:
        self.value: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        if dtype.code[:1] == "O":
            self.value = raw
            return
        if isinstance(raw, str):  # written by Python 2
            raw = raw.encode("latin1")
        self.value = np.frombuffer(raw, dtype.numpy()).reshape(shape, order="F" if fortran else "C")


class _Reconstruct(metaclass=_Sealed):
    """numpy.core.multiarray._reconstruct: an empty array, filled by its state."""

    def __new__(cls, *_: object) -> Any:
        return _Array()


class _FromBuffer(metaclass=_Sealed):
    """numpy.core.numeric._frombuffer (protocol 5)."""

    def __new__(cls, raw: Any, dtype: _Dtype, shape: tuple[int, ...], order: str) -> Any:
        if not isinstance(raw, (bytes, bytearray)):  # of a number, bytes() would make as many zeros
            raise pickle.UnpicklingError("it holds an array without its bytes")
        array = _Array()
        array.__setstate__((1, shape, dtype, order == "F", bytes(raw)))
        return array


class _Scalar(metaclass=_Sealed):
    """numpy.core.multiarray.scalar."""

    def __new__(cls, dtype: _Dtype, raw: Any = b"") -> Any:
        data = raw.encode("latin1") if isinstance(raw, str) else raw
        return np.frombuffer(data, dtype.numpy())[0].item()


class _Encode(metaclass=_Sealed):
    """_codecs.encode, by which Python 3 writes bytes into old protocols: latin-1 only."""

    def __new__(cls, text: str, encoding: str = "latin1") -> Any:
        if encoding not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError(f'it asks for the encoding "{encoding}"')
        return text.encode("latin1")


class _Bytes(metaclass=_Sealed):
    """bytes, by which Python 3 writes empty bytes into old protocols."""

    def __new__(cls) -> Any:
        return b""


class _Chumpy(metaclass=_Sealed):
    """A chumpy object: its array is in the state's ``x``."""

    def __init__(self, *_: object) -> None:
        self.state: Any = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Sparse(metaclass=_Sealed):
    """A scipy sparse matrix, made dense."""

    layout = ""

    def __init__(self, *_: object) -> None:
        self.state: Any = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def dense(self) -> np.ndarray:
        """The matrix as a dense array."""
        state = self.state
        rows, columns = (int(n) for n in (state["_shape"] if "_shape" in state else state["shape"]))
        if not 0 <= rows * columns <= 1 << 22:
            raise pickle.UnpicklingError(f"it holds a sparse matrix of {rows} by {columns}")
        data = _plain(state["data"])
        if self.layout == "coo":
            pair = state.get("coords") or (state["row"], state["col"])
            row, column = (_plain(part) for part in pair)
        else:
            pointer, index = _plain(state["indptr"]), _plain(state["indices"])
            outer = np.repeat(np.arange(len(pointer) - 1), np.diff(pointer))
            row, column = (index, outer) if self.layout == "csc" else (outer, index)
        if len(row) and (row.min() < 0 or column.min() < 0):
            raise pickle.UnpicklingError("it holds a sparse matrix with negative indices")
        matrix = np.zeros((rows, columns))
        np.add.at(matrix, (row, column), data)
        return matrix


class _Csc(_Sparse):
    layout = "csc"


class _Csr(_Sparse):
    layout = "csr"


class _Coo(_Sparse):
    layout = "coo"


class _Rebuild(metaclass=_Sealed):
    """copyreg._reconstructor, for the stand-ins above only."""

    def __new__(cls, made: Any, *_: object) -> Any:
        if made not in (_Chumpy, _Csc, _Csr, _Coo):
            raise pickle.UnpicklingError("it rebuilds an object of a class that has no place here")
        return made()


def _names() -> dict[tuple[str, str], type]:
    table: dict[tuple[str, str], type] = {
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Dtype,
        ("_codecs", "encode"): _Encode,
        ("__builtin__", "bytes"): _Bytes,
        ("chumpy.ch", "Ch"): _Chumpy,
        ("copy_reg", "_reconstructor"): _Rebuild,
        ("copyreg", "_reconstructor"): _Rebuild,
        ("__builtin__", "object"): _Object,
        ("builtins", "object"): _Object,
    }
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray", "_reconstruct"] = _Reconstruct
        table[f"{core}.multiarray", "scalar"] = _Scalar
        table[f"{core}.numeric", "_frombuffer"] = _FromBuffer
    for layout, cls in (("csc", _Csc), ("csr", _Csr), ("coo", _Coo)):
        for module in (layout, f"_{layout}"):
            for kind in ("matrix", "array"):
                table[f"scipy.sparse.{module}", f"{layout}_{kind}"] = cls
    return table


ALLOWED = _names()
_wrong = partial(DataError.of, "FLAME file")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f'it names "{module}.{name}"')
        return ALLOWED[module, name]

    def persistent_load(self, pid: object) -> Any:
        raise pickle.UnpicklingError("it refers to data outside the file")


def _plain(value: Any, known: dict[int, Any] | None = None) -> Any:
    """Stand-ins replaced by numpy arrays, in containers too."""
    known = {} if known is None else known
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, _Sparse):
        return value.dense()
    if isinstance(value, _Chumpy):
        if not isinstance(value.state, dict) or "x" not in value.state:
            raise pickle.UnpicklingError("it holds a chumpy object without its array")
        return _plain(value.state["x"], known)
    if isinstance(value, dict):
        if id(value) not in known:  # one that is named a thousand times is made once
            known[id(value)] = {}
            known[id(value)] |= {str(key): _plain(entry, known) for key, entry in value.items()}
        return known[id(value)]
    return value


def read_pickle(path: Path) -> dict[str, Any]:
    """The dictionary in a FLAME pickle (model or masks) with plain numpy arrays.

    Args:
        path: a ``.pkl`` of any protocol, written by Python 2 or 3.

    Raises:
        DataError: the file is missing or damaged, names anything but the allowed classes, or holds no
            dictionary.
    """
    try:
        raw = bounds.regular(path).read_bytes()
    except OSError as error:
        expected = "a model such as flame2023.pkl, from https://flame.is.tue.mpg.de"
        raise _wrong(path, f"cannot be read: {cause(error)}", expected, "Check the path.") from error
    other = no_pickle(raw)
    if other:
        what, remedy = other
        raise _wrong(path, f"is {what}", "a pickle, such as flame2023.pkl", remedy)
    try:
        content = _plain(_Unpickler(io.BytesIO(bounds.pickled(raw)), encoding="latin1").load(), {})
    except Exception as error:  # a damaged pickle can fail in any way
        reason = str(error) or type(error).__name__
        ends = changed_line_ends(raw)
        if ends:
            raise _wrong(
                path,
                f"is damaged: {ends} ({reason})",
                "the bytes as they were published",
                "Copy or download it again as a binary file, not as text.",
            ) from error
        raise _wrong(
            path,
            f"was refused: {reason}",
            "a pickle of numpy arrays, scipy sparse matrices and chumpy arrays only",
            "Download it again from its official place; do not open it with pickle.",
        ) from error
    if not isinstance(content, dict):
        what, remedy = f"holds a {type(content).__name__}", "Check that it is the model file."
        raise _wrong(path, what, "a dictionary of arrays", remedy)
    return content
