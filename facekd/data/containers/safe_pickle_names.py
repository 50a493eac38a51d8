"""Stand-ins for the few functions that numpy and Python 3 name in a pickle, and their effect on plain data."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.text import shorten


class KnownGlobal(Enum):
    """A function or class that a pickle may name. The members are inert: they refer to nothing that can be called."""

    RECONSTRUCT = auto()
    SCALAR = auto()
    NDARRAY = auto()
    DTYPE = auto()
    ENCODE = auto()
    FROMBUFFER = auto()


KNOWN_GLOBALS = {
    "numpy.core.multiarray _reconstruct": KnownGlobal.RECONSTRUCT,
    "numpy._core.multiarray _reconstruct": KnownGlobal.RECONSTRUCT,
    "numpy.core.multiarray scalar": KnownGlobal.SCALAR,
    "numpy._core.multiarray scalar": KnownGlobal.SCALAR,
    "numpy ndarray": KnownGlobal.NDARRAY,
    "numpy dtype": KnownGlobal.DTYPE,
    "numpy.core.numeric _frombuffer": KnownGlobal.FROMBUFFER,
    "numpy._core.numeric _frombuffer": KnownGlobal.FROMBUFFER,
    "_codecs encode": KnownGlobal.ENCODE,
}
_DTYPES = re.compile(r"b1|[iu][1248]|f[248]|S[1-9][0-9]{0,8}")
_MAX_CODE = 10
"""Characters of the longest type code."""
_MAX_DIMENSIONS = 32


@dataclass(eq=False)
class PendingObject:
    """A dtype or an array whose state has not been read yet.

    Attributes:
        code: the type code of a dtype; None for an array.
        memo: the memo keys under which the object is stored.
        complete: whether the state has been read, so that the memo holds the complete object.
    """

    code: str | None
    memo: list[int] = field(default_factory=list)
    complete: bool = False


def resolve_call(function: KnownGlobal, arguments: tuple[Any, ...]) -> Any:
    """Return the result that a call of ``function`` would have, or None for arguments that its writers never use.

    Raises:
        ValueError: the arguments contradict each other.
    """
    match function, arguments:
        case KnownGlobal.ENCODE, (str(text), "latin1"):
            return text.encode("latin-1")
        case KnownGlobal.RECONSTRUCT, (KnownGlobal.NDARRAY, (0,), b"b" | "b"):
            return PendingObject(None)
        case KnownGlobal.DTYPE, (str() | bytes() as code, *_) if len(code) <= _MAX_CODE:
            return PendingObject(_text(code))
        case KnownGlobal.FROMBUFFER, (bytes(data), np.dtype() as dtype, tuple(shape), "C" | "F" as order):
            return _array(data, dtype, shape, order)
        case KnownGlobal.SCALAR, (np.dtype() as dtype, bytes(data)):
            return _array(data, dtype, (), "C").item()
    return None


def apply_state(target: PendingObject, state: Any) -> np.dtype[Any] | NDArray[Any]:
    """Return a dtype with its byte order, or an array with its type, shape and data.

    Raises:
        ValueError: the array contains objects or records, or its data do not fit its shape.
    """
    match target.code, state:
        case str(code), (_, str() | bytes() as order, None, None, None, *_) if len(order) == 1:
            return _dtype(code, _text(order))
        case None, (_, tuple(shape), np.dtype() as dtype, fortran, bytes(data)):
            return _array(data, dtype, shape, "F" if fortran else "C")
    raise ValueError("an array of objects or records, or a damaged one")


def _text(value: str | bytes) -> str:
    """Return text; Python 2 wrote byte strings where Python 3 writes text."""
    return value if isinstance(value, str) else value.decode("ascii")


def _dtype(code: str, order: str) -> np.dtype[Any]:
    if not _DTYPES.fullmatch(code) or order not in ("<", ">", "|", "="):
        raise ValueError(f"the array type {order}{code} is neither boolean, number nor byte string")
    return np.dtype(code).newbyteorder(order)  # type: ignore[arg-type]


def _array(data: bytes, dtype: np.dtype[Any], shape: tuple[Any, ...], order: Any) -> NDArray[Any]:
    """Return a view of ``data``. It is not a copy, so a pickle cannot multiply it to fill the memory."""
    if len(shape) > _MAX_DIMENSIONS or not all(type(side) is int and 0 <= side < 2**63 for side in shape):
        raise ValueError(f"an array with a shape that is not made of at most {_MAX_DIMENSIONS} whole numbers")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"an array of shape {shorten(shape)} and type {dtype} does not fit its {len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(shape, order=order)
