from __future__ import annotations

import pickle
import pickletools

import numpy as np
import pytest

from facekd.data.containers.safe_pickle_names import (
    KNOWN_GLOBALS,
    KnownGlobal,
    PendingObject,
    apply_state,
    resolve_call,
)


def test_the_globals_of_numpys_own_pickles_are_known() -> None:
    data = pickle.dumps([np.arange(3), np.float32(1), b"bytes"], 2)
    names = {argument for opcode, argument, _ in pickletools.genops(data) if opcode.name == "GLOBAL"}
    assert names and names <= KNOWN_GLOBALS.keys()


def test_encode_returns_bytes() -> None:
    assert resolve_call(KnownGlobal.ENCODE, ("a\xff", "latin1")) == b"a\xff"


@pytest.mark.parametrize(("function", "arguments"), [
    (KnownGlobal.ENCODE, ("a", "utf-8")),
    (KnownGlobal.ENCODE, (b"a", "latin1")),
    (KnownGlobal.RECONSTRUCT, (KnownGlobal.DTYPE, (0,), b"b")),
    (KnownGlobal.RECONSTRUCT, (KnownGlobal.NDARRAY, (3,), b"b")),
    (KnownGlobal.DTYPE, ()),
    (KnownGlobal.SCALAR, (np.dtype("f4"),)),
    (KnownGlobal.NDARRAY, ((3,),)),
])
def test_other_arguments_are_not_resolved(function: KnownGlobal, arguments: tuple[object, ...]) -> None:
    assert resolve_call(function, arguments) is None


def test_a_dtype_is_complete_after_its_state() -> None:
    pending = resolve_call(KnownGlobal.DTYPE, ("i4", False, True))
    assert isinstance(pending, PendingObject) and pending.code == "i4"
    assert apply_state(pending, (3, ">", None, None, None, -1, -1, 0)) == np.dtype(">i4")


def test_an_array_is_a_view_of_its_bytes() -> None:
    pending = resolve_call(KnownGlobal.RECONSTRUCT, (KnownGlobal.NDARRAY, (0,), b"b"))
    data = np.arange(6, dtype="<i2").tobytes()
    array = apply_state(pending, (1, (2, 3), np.dtype("<i2"), False, data))
    assert isinstance(array, np.ndarray) and array.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert not array.flags.owndata and not array.flags.writeable
    transposed = apply_state(pending, (1, (2, 3), np.dtype("<i2"), True, data))
    assert isinstance(transposed, np.ndarray) and transposed.tolist() == [[0, 2, 4], [1, 3, 5]]


@pytest.mark.parametrize("code", ["O", "V4", "M8", "c8", "U3", "S0"])
def test_other_dtypes_are_refused(code: str) -> None:
    with pytest.raises(ValueError, match="neither boolean, number nor byte string"):
        apply_state(PendingObject(code), (3, "<", None, None, None, -1, -1, 0))
