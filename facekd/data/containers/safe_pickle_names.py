"""Our stand-ins for the few functions that numpy and Python 3 name in a pickle: inert marks, with the meaning here."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Name(Enum):
    """What a global of a pickle stands for; it holds nothing and calls nothing."""

    RECONSTRUCT = auto()
    SCALAR = auto()
    NDARRAY = auto()
    DTYPE = auto()
    ENCODE = auto()


NAMES = {
    "numpy.core.multiarray _reconstruct": Name.RECONSTRUCT,
    "numpy._core.multiarray _reconstruct": Name.RECONSTRUCT,
    "numpy.core.multiarray scalar": Name.SCALAR,
    "numpy._core.multiarray scalar": Name.SCALAR,
    "numpy ndarray": Name.NDARRAY,
    "numpy dtype": Name.DTYPE,
    "_codecs encode": Name.ENCODE,
}
_DTYPES = re.compile(r"b1|[iu][1248]|f[248]|S[1-9][0-9]{0,8}")


@dataclass(eq=False)
class Unfinished:
    """A dtype (with its code) or an array (without) that waits for its state; ``memo``: the keys it was kept under."""

    code: str | None
    memo: list[int] = field(default_factory=list)


def answer(name: Name, arguments: tuple[Any, ...]) -> Any:
    """What the function behind ``name`` would give; None where its maker never calls it like this.

    Raises:
        ValueError: the arguments contradict each other.
    """
    match name, arguments:
        case Name.ENCODE, (str(text), "latin1"):
            return text.encode("latin-1")
        case Name.RECONSTRUCT, (Name.NDARRAY, (0,), b"b" | "b"):
            return Unfinished(None)
        case Name.DTYPE, (str() | bytes() as code, *_):
            return Unfinished(_text(code))
        case Name.SCALAR, (np.dtype() as dtype, bytes(data)):
            return _array(data, dtype, (), "C").item()
    return None


def finish(target: Unfinished, state: Any) -> np.dtype[Any] | NDArray[Any]:
    """Give a dtype its byte order, or an array its type, shape and data.

    Raises:
        ValueError: an array of objects or records, or one whose data do not fit its shape.
    """
    match target.code, state:
        case str(code), (_, str() | bytes() as order, None, None, None, *_):
            return _dtype(code, _text(order))
        case None, (_, tuple(shape), np.dtype() as dtype, fortran, bytes(data)):
            return _array(data, dtype, shape, "F" if fortran else "C")
    raise ValueError("an array of objects or records, or a damaged one")


def _text(value: str | bytes) -> str:
    """Python 2 wrote byte strings where Python 3 writes text."""
    return value if isinstance(value, str) else value.decode("ascii")


def _dtype(code: str, order: str) -> np.dtype[Any]:
    if not _DTYPES.fullmatch(code) or order not in ("<", ">", "|", "="):
        raise ValueError(f"the array type {order}{code} is neither boolean, number nor byte string")
    return np.dtype(code).newbyteorder(order)  # type: ignore[arg-type]


def _array(data: bytes, dtype: np.dtype[Any], shape: tuple[Any, ...], order: Any) -> NDArray[Any]:
    """A view on ``data``: no copy, so that repeating it costs no memory."""
    if not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError("an array with a shape that is not made of whole numbers")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"an array of shape {shape} and type {dtype} does not fit its {len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(shape, order=order)
