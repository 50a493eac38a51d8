"""Read pickles from untrusted sources: only plain values and numeric arrays are produced, and nothing is called.

`pickletools.genops` of the standard library splits the stream into opcodes, and a small machine executes the harmless
ones. No global is ever imported: the few names that numpy and Python 3 write are replaced by inert stand-ins.
"""

from __future__ import annotations

import pickletools
from typing import Any

import numpy as np

from facekd.data.containers.safe_pickle_names import (
    KNOWN_GLOBALS,
    KnownGlobal,
    PendingObject,
    apply_state,
    resolve_call,
)
from facekd.errors import DataError
from facekd.text import shorten

_LITERALS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "UNICODE", "SHORT_BINUNICODE",
    "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8",
}
_MAX_MEMO_KEY = 1 << 32
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_KEYS = (str, bytes, int, float, type(None))
"""Types of dict keys. Tuples are excluded: hashing nested tuples that share members takes exponential time."""
_MAX_KEY_BITS = 63
"""Bits of a key that is a whole number: a file can hold thousands of larger ones whose hashes are equal."""
_LEAVES = (*_KEYS, np.ndarray)


def loads(data: bytes, location: str) -> Any:
    """Read a pickle of plain values, such as InsightFace's verification sets and CIFAR's Python archives.

    Supports bytes, strings, numbers, booleans, None, tuples, lists, dicts, and numpy arrays and scalars of boolean,
    integer, float or byte-string type, in protocols 0 to 5. Byte strings of Python 2 and byte arrays become bytes,
    numpy scalars become Python numbers, and arrays become read-only views. Time and memory are
    proportional to ``data``.

    Args:
        data: the pickle.
        location: a description of where the pickle is stored, for the error messages.

    Raises:
        DataError: the pickle contains anything else (nothing is run), is cut short, or is not a pickle.
    """
    machine = _PickleMachine(len(data), location)
    try:
        for opcode, argument, _ in pickletools.genops(data):
            machine.step(opcode.name, argument)
        value = machine.pop(1)[0]
        _check_plain(value)
    except (ValueError, LookupError, TypeError, OverflowError, MemoryError) as error:
        raise DataError(
            f"{location} cannot be read as a pickle of plain values ({shorten(error)}); it is damaged, cut short or "
            "another kind of file: get it again from where it came from"
        ) from error
    return value


class _PickleMachine:
    """Executes the opcodes of a pickle that cannot run code.

    Args:
        budget: the number of bytes that encoded strings may have in total.
        location: a description of where the pickle is stored, for the error messages.
    """

    def __init__(self, budget: int, location: str) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.budget = budget
        self.location = location

    def step(self, name: str, argument: Any) -> None:
        """Execute one opcode."""
        push = self.stack.append
        match name:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case _ if name in _LITERALS:
                push(argument)
            case "BYTEARRAY8":
                push(bytes(argument))
            case "STRING" | "BINSTRING" | "SHORT_BINSTRING":
                push(argument.encode("latin-1"))
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                push(_CONSTANTS[name])
            case "MARK":
                self.marks.append(len(self.stack))
            case "POP":
                self.pop(1)
            case "POP_MARK":
                self.pop_to_mark()
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.store(argument)
            case "MEMOIZE":
                self.store(len(self.memo))
            case "GET" | "BINGET" | "LONG_BINGET":
                push(self.memo[argument])
            case "EMPTY_TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3":
                push(tuple(self.pop(_TUPLES[name])))
            case "TUPLE":
                push(tuple(self.pop_to_mark()))
            case "EMPTY_LIST" | "LIST":
                push(self.pop_to_mark() if name == "LIST" else [])
            case "APPEND" | "APPENDS":
                values = self.pop(1) if name == "APPEND" else self.pop_to_mark()
                self.top(list).extend(values)
            case "EMPTY_DICT" | "DICT":
                push(_dict(self.pop_to_mark()) if name == "DICT" else {})
            case "SETITEM" | "SETITEMS":
                values = self.pop(2) if name == "SETITEM" else self.pop_to_mark()
                self.top(dict).update(_dict(values))
            case "GLOBAL":
                push(self.find_global(argument))
            case "STACK_GLOBAL":
                push(self.find_global(" ".join(self.pop(2))))
            case "INST":
                raise self.refusal(f"wants an object of {shorten(argument.replace(' ', '.'), 80)}")
            case "REDUCE":
                push(self.reduce(*self.pop(2)))
            case "BUILD":
                self.build(self.pop(1)[0])
            case _:
                raise self.refusal(f"uses the opcode {name}")

    def refusal(self, reason: str) -> DataError:
        """Return the error for a pickle that contains more than plain values."""
        return DataError(
            f"{self.location} {reason}, more than plain values need; nothing was run. If you trust its author, ask for "
            "a file of bytes, booleans and numeric arrays (pickle protocol 2); otherwise delete it"
        )

    def find_global(self, name: str) -> KnownGlobal:
        """Return the stand-in for a global, given as 'module name'."""
        if name not in KNOWN_GLOBALS:
            raise self.refusal(f"wants {shorten(name.replace(' ', '.'), 80)}")
        return KNOWN_GLOBALS[name]

    def pop(self, count: int) -> list[Any]:
        """Remove and return the last ``count`` values, none of them below the last mark."""
        start = len(self.stack) - count
        if start < (self.marks[-1] if self.marks else 0):
            raise ValueError("a value is missing on its stack")
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def pop_to_mark(self) -> list[Any]:
        """Remove the last mark, and remove and return everything above it."""
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def top(self, kind: type) -> Any:
        """Return the top of the stack, which must be of exactly this type."""
        if type(self.stack[-1]) is not kind:
            raise ValueError(f"items are added to a value that is not a {kind.__name__}")
        return self.stack[-1]

    def store(self, key: int) -> None:
        """Store the top of the stack in the memo."""
        if not 0 <= key < _MAX_MEMO_KEY:  # the hashes of larger numbers can be equal
            raise ValueError("a memo key out of range")
        value = self.stack[-1]
        self.memo[key] = value
        if isinstance(value, PendingObject):
            value.memo.append(key)

    def reduce(self, function: Any, arguments: Any) -> Any:
        """Return the result of a call of one of the known functions."""
        if not isinstance(function, KnownGlobal):
            raise self.refusal(f"calls a {type(function).__name__}")
        value = resolve_call(function, arguments) if isinstance(arguments, tuple) else None
        if value is None:
            raise self.refusal(f"calls {function.name.lower()} with arguments that its writers never use")
        if isinstance(value, bytes):
            self.budget -= len(value)
            if self.budget < 0:  # a small file could otherwise fill the memory by encoding one text many times
                raise ValueError("its byte strings are longer than the file")
        return value

    def build(self, state: Any) -> None:
        """Replace the pending dtype or array on top of the stack, and in the memo, by the complete object."""
        target = self.stack[-1]
        if not isinstance(target, PendingObject):
            raise self.refusal(f"sets the state of a {type(target).__name__}")
        if target.complete:  # no writer does that, and every time would walk over all of its memo keys
            raise ValueError("the state of an object is set twice")
        target.complete = True
        value = apply_state(target, state)
        self.stack[-1] = value
        for key in target.memo:
            self.memo[key] = value


def _dict(items: list[Any]) -> dict[Any, Any]:
    keys = items[::2]
    if len(items) % 2 or not all(map(_is_key, keys)):
        raise ValueError("a dict without pairs of a plain key and a value")
    return dict(zip(keys, items[1::2], strict=True))


def _is_key(value: Any) -> bool:
    if isinstance(value, int):
        return value.bit_length() <= _MAX_KEY_BITS
    return isinstance(value, _KEYS)


def _check_plain(value: Any) -> None:
    """Refuse a result that contains a stand-in or a pending object. Every container is visited once."""
    seen: set[int] = set()
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, _LEAVES) or id(item) in seen:
            continue
        if not isinstance(item, (list, tuple, dict)):
            raise ValueError("a dtype, a function or an unfinished array is used as a value")
        seen.add(id(item))
        stack.extend(item.values() if isinstance(item, dict) else item)
