"""Reading a pickle without trusting it: plain values and numeric arrays come out, nothing of its choosing is called.

`pickletools.genops` of the standard library splits the stream into opcodes; a machine of our own carries out the
harmless ones. No global is ever imported: the few names that numpy and Python 3 write are answered by stand-ins.
"""

from __future__ import annotations

import pickletools
from typing import Any

import numpy as np

from facekd.data.containers.safe_pickle_names import NAMES, Name, Unfinished, answer, finish
from facekd.errors import DataError

_LITERALS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "UNICODE", "SHORT_BINUNICODE",
    "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8",
}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_KEYS = (str, bytes, int, float, type(None))
"""What may be a key: tuples are left out, because hashing nested ones can take for ever."""
_LEAVES = (*_KEYS, np.ndarray)


def loads(data: bytes, where: str) -> Any:
    """Read a pickle of plain values: InsightFace's verification sets, CIFAR's Python archives.

    Understands bytes, strings, numbers, booleans, None, tuples, lists, dicts and numpy arrays and scalars of boolean,
    integer, float or byte-string type, in protocols 0 to 4 (5 where it holds no arrays). Byte strings of Python 2
    come as bytes, numpy scalars as Python numbers, arrays as read-only views. Memory stays proportional to ``data``.

    Args:
        data: the pickle.
        where: how a person finds it, for the errors.

    Raises:
        DataError: it asks for anything else (nothing was run), is cut short, or is no pickle.
    """
    machine = _Machine(len(data), where)
    try:
        for opcode, argument, _ in pickletools.genops(data):
            machine.step(opcode.name, argument)
        value = machine.take(1)[0]
        _check_plain(value)
    except (ValueError, LookupError, TypeError, OverflowError) as problem:
        raise DataError(
            f"{where} cannot be read as a pickle of plain values ({problem}); it is damaged, cut short or another "
            "kind of file: get it again from where it came from"
        ) from problem
    return value


class _Machine:
    """The pickle machine without its dangerous half."""

    def __init__(self, budget: int, where: str) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.budget = budget
        self.where = where

    def step(self, name: str, argument: Any) -> None:
        """Carry out one opcode."""
        push = self.stack.append
        match name:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case _ if name in _LITERALS:
                push(argument)
            case "STRING" | "BINSTRING" | "SHORT_BINSTRING":
                push(argument.encode("latin-1"))
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                push(_CONSTANTS[name])
            case "MARK":
                self.marks.append(len(self.stack))
            case "POP":
                self.take(1)
            case "POP_MARK":
                self.take_marked()
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.remember(argument)
            case "MEMOIZE":
                self.remember(len(self.memo))
            case "GET" | "BINGET" | "LONG_BINGET":
                push(self.memo[argument])
            case "EMPTY_TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3":
                push(tuple(self.take(_TUPLES[name])))
            case "TUPLE":
                push(tuple(self.take_marked()))
            case "EMPTY_LIST" | "LIST":
                push(self.take_marked() if name == "LIST" else [])
            case "APPEND" | "APPENDS":
                values = self.take(1) if name == "APPEND" else self.take_marked()
                self.top(list).extend(values)
            case "EMPTY_DICT" | "DICT":
                push(_dict(self.take_marked()) if name == "DICT" else {})
            case "SETITEM" | "SETITEMS":
                values = self.take(2) if name == "SETITEM" else self.take_marked()
                self.top(dict).update(_dict(values))
            case "GLOBAL":
                push(self.name(argument))
            case "STACK_GLOBAL":
                push(self.name(" ".join(self.take(2))))
            case "INST":
                raise self.refusal(f"wants an object of {argument.replace(' ', '.')}")
            case "REDUCE":
                push(self.reduce(*self.take(2)))
            case "BUILD":
                self.build(self.take(1)[0])
            case _:
                raise self.refusal(f"uses the opcode {name}")

    def refusal(self, wish: str) -> DataError:
        """The error for a pickle that wants more than values."""
        return DataError(
            f"{self.where} {wish}, more than plain values need; nothing was run. If you trust its maker, have it "
            "written anew as bytes, booleans and numeric arrays (pickle protocol 2); otherwise delete it"
        )

    def name(self, text: str) -> Name:
        if text not in NAMES:
            raise self.refusal(f"wants {text.replace(' ', '.')}")
        return NAMES[text]

    def take(self, count: int) -> list[Any]:
        """Remove the last ``count`` values, never reaching below the last mark."""
        start = len(self.stack) - count
        if start < (self.marks[-1] if self.marks else 0):
            raise ValueError("a value is missing on its stack")
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def take_marked(self) -> list[Any]:
        """Remove everything above the last mark, and the mark."""
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise ValueError(f"items for a {kind.__name__} that is none")
        return self.stack[-1]

    def remember(self, key: int) -> None:
        value = self.memo[key] = self.stack[-1]
        if isinstance(value, Unfinished):
            value.memo.append(key)

    def reduce(self, function: Any, arguments: Any) -> Any:
        """Answer a call of one of the four functions, by its stand-in."""
        if not isinstance(function, Name):
            raise self.refusal(f"calls a {type(function).__name__}")
        value = answer(function, arguments) if isinstance(arguments, tuple) else None
        if value is None:
            raise self.refusal(f"calls {function.name.lower()} in a way its maker never does")
        if isinstance(value, bytes):
            self.budget -= len(value)
            if self.budget < 0:  # one text encoded again and again: a small file that would fill the memory
                raise ValueError("its byte strings are longer than the file")
        return value

    def build(self, state: Any) -> None:
        """Finish the dtype or array on top of the stack, wherever else it is held."""
        target = self.stack[-1]
        if not isinstance(target, Unfinished):
            raise self.refusal(f"sets the state of a {type(target).__name__}")
        value = self.stack[-1] = finish(target, state)
        for key in target.memo:
            self.memo[key] = value


def _dict(items: list[Any]) -> dict[Any, Any]:
    keys = items[::2]
    if len(items) % 2 or not all(isinstance(key, _KEYS) for key in keys):
        raise ValueError("a dict without pairs of a plain key and a value")
    return dict(zip(keys, items[1::2], strict=True))


def _check_plain(value: Any) -> None:
    """Refuse a result that holds a mark or an unfinished array; every container is looked into once."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, _LEAVES) or id(item) in seen:
            continue
        if not isinstance(item, (list, tuple, dict)):
            raise ValueError("a dtype, a function or an unfinished array stands where a value should be")
        seen.add(id(item))
        waiting.extend(item.values() if isinstance(item, dict) else item)
