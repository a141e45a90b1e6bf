"""A safe reader of pickles that hold plain data and arrays.

Python's own unpickler can run any code, trusts the lengths that a file claims, and recurses as deep as a file demands.
This reader is a small machine of its own: it knows only the opcodes of plain data, looks up no names, reads no bytes
beyond the end of the file, and limits the number of its steps. Calls are recorded, not made.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Collection
from typing import Any

#: Most opcodes of a pickle. A file of 50 000 images has about 300 000.
MOST_STEPS = 4_000_000

#: Most bytes of a line, in which old pickles hold names and numbers.
_LONGEST_LINE = 1000

#: Opcode → bytes of the number that is its argument, and whether that number has a sign.
_NUMBERS = {
    pickle.BININT: (4, True),
    pickle.BININT1: (1, False),
    pickle.BININT2: (2, False),
}

#: Opcode → bytes of the number that gives the length of the text that follows.
_BYTES = {
    pickle.BINSTRING: 4,
    pickle.SHORT_BINSTRING: 1,
    pickle.BINBYTES: 4,
    pickle.SHORT_BINBYTES: 1,
    pickle.BINBYTES8: 8,
}
_TEXTS = {pickle.BINUNICODE: 4, pickle.SHORT_BINUNICODE: 1, pickle.BINUNICODE8: 8}

_CONSTANTS = {pickle.NONE: None, pickle.NEWTRUE: True, pickle.NEWFALSE: False}
_EMPTY: dict[bytes, type] = {pickle.EMPTY_LIST: list, pickle.EMPTY_DICT: dict, pickle.EMPTY_TUPLE: tuple}
_TUPLES = {pickle.TUPLE1: 1, pickle.TUPLE2: 2, pickle.TUPLE3: 3}
_PUTS = {pickle.BINPUT: 1, pickle.LONG_BINPUT: 4}
_GETS = {pickle.BINGET: 1, pickle.LONG_BINGET: 4}


class RefusedError(ValueError):
    """A pickle refers to a name that plain data do not need; the message names it, in half a sentence."""


class Recorded:
    """An object that a pickle describes: the name that it calls, the arguments, and the state that it then sets.

    Attributes
    ----------
    name
        Such as ``numpy.dtype``.
    arguments, state
        Plain data, or records again; None where the name is not called, and where no state is set.
    """

    def __init__(self, name: str, arguments: Any = None) -> None:
        self.name, self.arguments, self.state = name, arguments, None


def read_pickle(data: bytes, names: Collection[str]) -> Any:
    """Return what a pickle holds: dicts with text as keys, lists, tuples, text, numbers and records.

    Text of Python 2 comes as bytes.

    Parameters
    ----------
    data
        The file's content.
    names
        Names that the pickle may refer to, such as ``numpy.dtype``.

    Raises
    ------
    RefusedError
        If it refers to another name.
    ValueError
        If it is not a pickle of such data, or has more than `MOST_STEPS` opcodes.
    """
    return _Machine(data, names).run()


class _Machine:
    def __init__(self, data: bytes, names: Collection[str]) -> None:
        self._data, self._names, self._place = data, names, 0
        self._stack: list[Any] = []
        self._marks: list[int] = []  # heights of the stack
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(MOST_STEPS):
            code = self._take(1)
            if code == pickle.STOP:
                return self._pop()
            self._step(code)
        raise ValueError("too many steps")

    def _step(self, code: bytes) -> None:
        if code in _NUMBERS:
            size, signed = _NUMBERS[code]
            self._stack.append(self._number(size, signed=signed))
        elif code in _BYTES:
            self._stack.append(self._take(self._number(_BYTES[code])))
        elif code in _TEXTS:
            self._stack.append(self._take(self._number(_TEXTS[code])).decode())
        elif code in _CONSTANTS:
            self._stack.append(_CONSTANTS[code])
        elif code in _EMPTY:
            self._stack.append(_EMPTY[code]())
        elif code in _TUPLES:
            self._stack.append(tuple(reversed([self._pop() for _ in range(_TUPLES[code])])))
        elif code in _PUTS:
            self._memo[self._number(_PUTS[code])] = self._top()
        elif code in _GETS:
            self._stack.append(self._memo[self._number(_GETS[code])])
        else:
            self._rarer_step(code)

    def _rarer_step(self, code: bytes) -> None:
        match code:
            case pickle.PROTO:
                self._take(1)
            case pickle.FRAME:
                self._take(8)
            case pickle.MARK:
                self._marks.append(len(self._stack))
            case pickle.MEMOIZE:
                self._memo[len(self._memo)] = self._top()
            case pickle.PUT:
                self._memo[int(self._line())] = self._top()
            case pickle.GET:
                self._stack.append(self._memo[int(self._line())])
            case pickle.APPEND:
                value = self._pop()
                self._list().append(value)
            case pickle.APPENDS:
                values = self._marked()
                self._list().extend(values)
            case pickle.SETITEM:
                value, key = self._pop(), self._pop()
                self._set([key, value])
            case pickle.SETITEMS:
                self._set(self._marked())
            case pickle.LIST:
                self._stack.append(self._marked())
            case pickle.TUPLE:
                self._stack.append(tuple(self._marked()))
            case pickle.DICT:
                pairs = self._marked()
                self._stack.append({})
                self._set(pairs)
            case pickle.INT:
                self._stack.append(int(self._line()))
            case pickle.LONG1:
                self._stack.append(int.from_bytes(self._take(self._number(1)), "little", signed=True))
            case pickle.BINFLOAT:
                self._stack.append(struct.unpack(">d", self._take(8))[0])
            case pickle.UNICODE:
                self._stack.append(self._line().decode("raw-unicode-escape"))
            case pickle.GLOBAL:
                self._name(self._line().decode(), self._line().decode())
            case pickle.STACK_GLOBAL:
                name, module = self._pop(), self._pop()
                self._name(module, name)
            case pickle.REDUCE | pickle.NEWOBJ:
                arguments, called = self._pop(), self._pop()
                if not isinstance(called, Recorded) or called.arguments is not None or type(arguments) is not tuple:
                    raise ValueError("a call of what is no name")
                self._stack.append(Recorded(called.name, arguments))
            case pickle.BUILD:
                state, made = self._pop(), self._top()
                if not isinstance(made, Recorded) or made.arguments is None:
                    raise ValueError("a state of what was not made")
                made.state = state
            case _:
                raise ValueError(f"opcode {code!r}")

    def _take(self, size: int) -> bytes:
        """Take the next bytes of the file."""
        end = self._place + size
        if not 0 <= size <= len(self._data) - self._place:
            raise ValueError("cut short")
        taken = self._data[self._place : end]
        self._place = end
        return taken

    def _number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self._take(size), "little", signed=signed)

    def _line(self) -> bytes:
        end = self._data.find(b"\n", self._place, self._place + _LONGEST_LINE)
        if end < 0:
            raise ValueError("a line without an end")
        line = self._take(end - self._place)
        self._take(1)
        return line

    def _top(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise ValueError("nothing there to take")
        return self._stack[-1]

    def _pop(self) -> Any:
        self._top()
        return self._stack.pop()

    def _marked(self) -> list[Any]:
        """Take all values since the last mark."""
        height = self._marks.pop()
        values = self._stack[height:]
        del self._stack[height:]
        return values

    def _list(self) -> list[Any]:
        found = self._top()
        if type(found) is not list:
            raise ValueError("values of what is no list")
        return found

    def _set(self, pairs: list[Any]) -> None:
        """Set the keys and values, one after the other in ``pairs``, of the dict on top of the stack."""
        found = self._top()
        if type(found) is not dict or not all(type(key) in (bytes, str) for key in pairs[::2]):
            raise ValueError("keys that are no text, or of what is no dict")
        found.update(zip(pairs[::2], pairs[1::2], strict=True))

    def _name(self, module: Any, name: Any) -> None:
        if f"{module}.{name}" not in self._names:
            raise RefusedError(f"it asks to run {module}.{name}, which no published file does and which was not run")
        self._stack.append(Recorded(f"{module}.{name}"))
