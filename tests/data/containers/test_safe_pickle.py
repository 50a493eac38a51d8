"""The safe unpickler returns the same values as Python's own, and runs nothing that the file names."""

from __future__ import annotations

import copy
import copyreg
import os
import pickle
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekd.data.containers.safe_pickle import loads
from facekd.errors import DataError

VALUES: dict[str, Any] = {
    "numbers": [0, -1, 255, 65536, -(2**31), 10**40, 0.5, float("inf"), True, False, None],
    "text": ["", "a", "é\n\\", "\ud800"],
    "bytes": [b"a", bytes(range(256)), b"x" * 300],
    "nested": ({"a": [1, (2, {"b": ()})], 3: {}, b"k": []}, [[], [[]]]),
    "shared": (lambda item: [item, item, (item,)])([1, 2]),
    "large": list(range(3000)),
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", VALUES)
def test_plain_values_come_as_python_reads_them(name: str, protocol: int) -> None:
    assert loads(pickle.dumps(VALUES[name], protocol), "x.bin") == VALUES[name]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["bool", "u1", ">i2", "<i4", "i8", "f2", ">f4", "f8", "S3"])
def test_arrays_come_as_they_were(dtype: str, protocol: int) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    read = loads(pickle.dumps([array, array.T], protocol), "x.bin")
    assert read[0].dtype == array.dtype
    np.testing.assert_array_equal(read[0], array)
    np.testing.assert_array_equal(read[1], array.T)


@pytest.mark.parametrize("protocol", range(6))
def test_numpy_scalars_come_as_numbers(protocol: int) -> None:
    data = pickle.dumps([np.bool_(True), np.float32(0.5), np.int64(-3)], protocol)
    read = loads(data, "x.bin")
    assert read == [True, 0.5, -3] and [type(value) for value in read] == [bool, float, int]


@pytest.mark.parametrize("protocol", [2, 5])
def test_names_of_older_numpy_are_known(protocol: int) -> None:
    data = pickle.dumps(np.arange(4), protocol)
    if protocol == 2:
        data = data.replace(b"numpy._core", b"numpy.core")
    else:  # the lengths of the string and of the frame change with the name
        data = data.replace(b"\x8c\x13numpy._core.numeric", b"\x8c\x12numpy.core.numeric")
        data = data[:2] + data[11:]
    np.testing.assert_array_equal(loads(data, "x.bin"), np.arange(4))


def test_byte_arrays_come_as_bytes() -> None:
    assert loads(pickle.dumps([bytearray(b"\xff\xd8"), bytearray()], 5), "x.bin") == [b"\xff\xd8", b""]


def test_a_readonly_array_and_one_in_the_order_of_fortran() -> None:
    fixed = np.arange(6, dtype="u1")
    fixed.setflags(write=False)
    read = loads(pickle.dumps((fixed, np.asfortranarray(fixed.reshape(2, 3))), 5), "x.bin")
    np.testing.assert_array_equal(read[0], fixed)
    np.testing.assert_array_equal(read[1], fixed.reshape(2, 3))


def test_byte_strings_of_python_2_come_as_bytes() -> None:
    # CIFAR's archives: {'data': '\xff\x00'} by Python 2, protocol 2
    assert loads(b"\x80\x02}U\x04dataU\x02\xff\x00s.", "x") == {b"data": b"\xff\x00"}


def test_array_of_python_2() -> None:
    data = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02K\x02\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x04\x01\x02\x03\x04tb."
    )
    np.testing.assert_array_equal(loads(data, "x"), np.array([[1, 2], [3, 4]], np.uint8))


def test_verification_set_comes_as_python_reads_it(shared: Path) -> None:
    data = (shared / "faces" / "cfp_fp_fold1.bin").read_bytes()
    assert loads(data, "x.bin") == pickle.loads(data)


class Reduces:
    """Pickles as a call of ``function``."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Path]:
    """A folder that the pickles under test try to create; it must not exist afterwards."""
    path = tmp_path / "ran"
    yield path
    assert not path.exists()


def utf8(text: str) -> bytes:
    raw = text.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


@pytest.mark.parametrize("protocol", range(6))
def test_a_call_by_reduce_does_not_run(trap: Path, protocol: int) -> None:
    with pytest.raises(DataError, match=r"evil\.bin wants (posix|nt)\.mkdir, .*nothing was run"):
        loads(pickle.dumps(Reduces(os.mkdir, str(trap)), protocol), "evil.bin")


@pytest.mark.parametrize(
    ("hand_made", "wanted"),
    [
        (b"cos\nsystem\nX\x04\x00\x00\x00true\x85R.", r"os\.system"),
        (b"c__builtin__\neval\nX\x01\x00\x00\x001\x85R.", r"__builtin__\.eval"),
        (b"cbuiltins\ngetattr\nX\x01\x00\x00\x00aX\x05\x00\x00\x00upper\x86R.", r"builtins\.getattr"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", r"os\.system"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.dump\x93.", r"numpy\.ndarray\.dump"),
        (b"\x80\x04\x8c\x15numpy.core.multiarray\x8c\x08fromfile\x93.", r"numpy\.core\.multiarray\.fromfile"),
        (b"c_codecs\nlookup\nX\x01\x00\x00\x00a\x85R.", r"_codecs\.lookup"),
        (b"(X\x04\x00\x00\x00trueios\nsystem\n.", r"os\.system"),
        (b"(c_codecs\nencode\nX\x01\x00\x00\x00ao.", "OBJ"),
        (b"cnumpy\ndtype\n)\x81.", "NEWOBJ"),
        (b"\x80\x04cnumpy\ndtype\n)}\x92.", "NEWOBJ_EX"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x02\x83\x01\x00.", "EXT2"),
        (b"\x80\x02\x84\x01\x00\x00\x00.", "EXT4"),
        (b"Pname\n.", "PERSID"),
        (b"Nq\x00Q.", "BINPERSID"),
        (b"\x80\x05\x97.", "NEXT_BUFFER"),
        (b"\x80\x04\x8f.", "EMPTY_SET"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_hand_made_global_is_refused_by_name(hand_made: bytes, wanted: str) -> None:
    with pytest.raises(DataError, match=wanted + r".*nothing was run"):
        loads(hand_made, "evil.bin")


def test_the_extension_registry_is_not_used() -> None:
    copyreg.add_extension("os", "mkdir", 240)
    try:
        with pytest.raises(DataError, match=r"EXT1.*nothing was run"):
            loads(b"\x80\x02\x82\xf0)R.", "evil.bin")
    finally:
        copyreg.remove_extension("os", "mkdir", 240)


@pytest.mark.parametrize(
    "target", [b"cnumpy\ndtype\n", b"c_codecs\nencode\n", b"}", b"]", b"K\x01", utf8("text")],
    ids=["dtype", "encode", "dict", "list", "int", "str"],
)  # fmt: skip
def test_state_is_set_on_pending_objects_only(target: bytes) -> None:
    state = b"}" + utf8("__setstate__") + b"K\x01s"
    with pytest.raises(DataError, match=r"sets the state of .*nothing was run"):
        loads(target + b"N" + state + b"\x86b.", "evil.bin")


@pytest.mark.parametrize("callee", [utf8("os.system"), b"K\x01", b"]", b"cnumpy\nndarray\n"])
def test_values_are_not_called(callee: bytes) -> None:
    with pytest.raises(DataError, match=r"calls .*nothing was run"):
        loads(callee + b")R.", "evil.bin")


@pytest.mark.parametrize("codec", ["utf-8", "zlib_codec", "latin-1"])
def test_encode_supports_latin1_only(codec: str) -> None:
    with pytest.raises(DataError, match=r"encode .*nothing was run"):
        loads(b"c_codecs\nencode\n" + utf8("a") + utf8(codec) + b"\x86R.", "evil.bin")


@pytest.mark.parametrize("name", ["object", "record", "date", "complex", "unicode"])
def test_other_array_types_are_refused(name: str) -> None:
    array = {
        "object": np.array([None]),
        "record": np.zeros(2, [("a", "i4")]),
        "date": np.zeros(2, "M8[s]"),
        "complex": np.zeros(2, "c8"),
        "unicode": np.array(["a"]),
    }[name]
    with pytest.raises(DataError, match=r"evil\.bin"):
        loads(pickle.dumps(array, 2), "evil.bin")


@pytest.mark.parametrize("shape", [(5,), (3,), (2**62, 4), (0,), ()])
def test_array_must_fit_its_data(shape: tuple[Any, ...]) -> None:
    with pytest.raises(DataError, match="does not fit its 4 bytes"):
        loads(array_of_shape(shape), "evil.bin")


@pytest.mark.parametrize("shape", [(-4,), (-2, -2), (4.0,), (True, 4), ([4],), (1,) * 40, (2**64, 0)])
def test_shape_must_be_whole_numbers(shape: tuple[Any, ...]) -> None:
    with pytest.raises(DataError, match="not made of at most 32 whole numbers"):
        loads(array_of_shape(shape), "evil.bin")


def array_of_shape(shape: tuple[Any, ...]) -> bytes:
    class Fake:
        def __reduce__(self) -> tuple[Any, ...]:
            made = np.zeros(4, np.uint8).__reduce__()
            state: Any = made[2]
            return *made[:2], (state[0], shape, *state[2:])

    return pickle.dumps(Fake(), 2)


def test_array_without_its_data_is_refused() -> None:
    with pytest.raises(DataError, match="unfinished array"):
        loads(b"]cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87Ra.", "evil.bin")


def test_function_as_a_value_is_refused() -> None:
    with pytest.raises(DataError, match="a function"):
        loads(b"](c_codecs\nencode\ne.", "evil.bin")


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"\x01.",
        b"\x80\x02\x8b" + struct.pack("<i", -1) + b"\x01.",
        b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"a.",
        b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N",
        b"\x80\x05\x96" + struct.pack("<Q", 2**60) + b"a.",
        b"\x80\x02c_codecs\nencode\nq\x00X" + struct.pack("<I", 10**5) + b"a" * 10**5 + b"q\x01" + utf8("latin1")
        + b"q\x02\x86q\x030](" + b"h\x00h\x03R" * 10**4 + b"e.",
    ],
    ids=["long", "negative long", "bytes", "frame", "bytearray", "encode"],
)  # fmt: skip
def test_memory_stays_proportional_to_the_file(bomb: bytes) -> None:
    with pytest.raises(DataError):
        loads(bomb, "evil.bin")


def test_far_memo_key_takes_no_room() -> None:
    assert loads(b"\x80\x02Nr\xff\xff\xff\x7f.", "x") is None


def test_tuples_doubled_sixty_times_end_at_once() -> None:
    # Every level contains the one below twice: it is visited once, or 2^60 times.
    doubling = b"".join(b"p%d\n0g%d\ng%d\n\x86" % (level, level, level) for level in range(60))
    read = loads(b")" + doubling + b".", "x")
    for _ in range(60):
        read = read[0]
    assert read == ()


def test_tuple_as_a_key_is_refused() -> None:
    with pytest.raises(DataError, match="a plain key"):
        loads(pickle.dumps({(1, 2): 3}, 2), "x")


def test_deep_nesting_needs_no_recursion() -> None:
    depth = 100_000
    read = loads(b"(" * depth + b"l" * depth + b".", "x")
    for _ in range(depth - 1):
        (read,) = read
    assert read == []


@pytest.mark.parametrize("keep", [0, 1, 2, 20, 100, -1])
def test_truncated_file_is_an_error(keep: int) -> None:
    data = pickle.dumps(([b"abc" * 50, np.arange(9)], [True]), 2)
    with pytest.raises(DataError, match=r"half\.bin cannot be read"):
        loads(data[:keep], "half.bin")


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
@pytest.mark.parametrize("seed", range(100))
def test_damaged_file_gives_a_value_or_our_error(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(pickle.dumps(([b"abc", np.arange(9), np.float32(1)], [True, {"a": (1, 2.5)}]), 2))
    for at in rng.integers(len(data), size=3):
        data[at] = rng.integers(256)
    try:
        loads(bytes(data), "damaged.bin")
    except DataError as error:
        assert "damaged.bin" in str(error)


@pytest.mark.parametrize(
    "garbage", [b".", b"a.", b"0.", b"t.", b"(.", b"]Na", b"K\x01Na.", b"h\x05.", b"\xff\xd8\xff", b"hello"]
)
def test_garbage_is_an_error(garbage: bytes) -> None:
    with pytest.raises(DataError, match="damaged, cut short"):
        loads(garbage, "garbage.bin")


def pending_dtype(memo_keys: int, builds: int) -> bytes:
    """A pickle that stores an unfinished dtype under many memo keys and sets its state many times."""
    state = b"(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tr\xff\xff\xff\x7f"
    begin = b"\x80\x04cnumpy\ndtype\nX\x02\x00\x00\x00f4K\x00K\x01\x87R" + b"\x94" * memo_keys
    again = b"j\xff\xff\xff\x7fb0" * (builds - 1)
    return begin + b"h\x00" * builds + state + b"b0" + again + b"0N."


def test_a_state_is_set_once() -> None:
    with pytest.raises(DataError, match="the state of an object is set twice"):
        loads(pending_dtype(memo_keys=5, builds=2), "evil.bin")


def test_memo_keys_of_an_unfinished_object_are_walked_once() -> None:
    """A pickle of 300 kB took hours."""
    begin = time.process_time()
    with pytest.raises(DataError):
        loads(pending_dtype(memo_keys=200_000, builds=20_000), "evil.bin")
    assert time.process_time() - begin < 3


@pytest.mark.parametrize("value", [
    pytest.param(list(range(4)), id="numbers"), pytest.param([b"x" * 50, "text"], id="strings"),
    pytest.param({"a": [1, (2,)]}, id="nested"), pytest.param([np.arange(3), np.float32(1)], id="arrays"),
])
def test_the_time_grows_with_the_size(value: Any) -> None:
    def seconds(count: int) -> float:
        data = pickle.dumps([copy.deepcopy(value) for _ in range(count)], 4)
        times = []
        for _ in range(3):
            begin = time.process_time()
            loads(data, "x.bin")
            times.append(time.process_time() - begin)
        return min(times)

    assert seconds(8000) < 24 * seconds(1000)  # 8 times if linear, 64 if quadratic


def test_keys_with_equal_hashes_are_refused() -> None:
    colliding = {number * (2**61 - 1): None for number in range(1, 2000)}
    with pytest.raises(DataError, match="a plain key and a value"):
        loads(pickle.dumps(colliding, 4), "evil.bin")
    with pytest.raises(DataError, match="a memo key out of range"):
        loads(b"Np%d\n." % (2**61 - 1), "evil.bin")


def test_a_long_type_code_is_not_copied_for_every_call() -> None:
    code = b"B" + struct.pack("<I", 100_000) + b"x" * 100_000
    with pytest.raises(DataError, match="calls dtype with arguments"):
        loads(b"\x80\x03cnumpy\ndtype\n" + code + b"K\x00K\x01\x87R.", "evil.bin")


def test_messages_are_short() -> None:
    for data in (b"c" + b"a" * 5000 + b"\nb\n.", b"(i" + b"a" * 5000 + b"\nb\n.", array_of_shape((10**18,) * 30),
                 b"I" + b"x" * 5000 + b"\n."):
        with pytest.raises(DataError) as caught:
            loads(data, "evil.bin")
        assert len(str(caught.value)) < 450
