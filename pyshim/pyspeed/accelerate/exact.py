"""JSON by orjson where that gives what the module ``json`` gives, and word that it may not where it may not.

In: Python values, and the bytes of a body. Out: the same values as ``json`` would write or read, or UNSURE, whereupon
the caller asks ``json``: it alone raises errors. On any thread; nothing is shared.

orjson differs from ``json`` in what it takes for JSON, and it does not always say so:

- it writes NaN and infinities as null, enums as their values, UUIDs as text;
- it reads integers beyond 64 bits as floats, and more deeply nested documents than ``json`` does.

What it refuses (subclasses, keys that are no str, lone surrogates, integers beyond 64 bits, NaN in a body, …) is
unsure.
"""

from __future__ import annotations

import json
import marshal
import re
from collections import OrderedDict, defaultdict
from itertools import chain
from math import inf, isfinite, nan
from uuid import UUID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Final, FrozenSet, Iterable, List, Mapping, Type

    Encode = Callable[[Any], bytes]

# Deeper is unsure: orjson writes no more than that or one more, and json's bound depends on how full the stack is.
_DEEPEST = 254

_PLAIN: FrozenSet[Type[Any]] = frozenset((str, int, float, bool, type(None)))
_DICTS: FrozenSet[Type[Any]] = frozenset((dict, OrderedDict, defaultdict))
_LISTS: FrozenSet[Type[Any]] = frozenset((list, tuple))

# In the marshal format: a float, perhaps one that is referred to later, all bits of whose exponent are set.
_NOT_FINITE = re.compile(rb"[g\xe7].{6}[\xf0-\xff][\x7f\xff]", re.DOTALL)
_MARSHAL = 4

# Every digit as 0, all else as a blank.
_DIGITS = bytes(48 if 48 <= byte < 58 else 32 for byte in range(256))
# 2**63 has 19 digits.
_MANY_DIGITS = b"0" * 19


class Unusable(Exception):
    """There is no orjson that can be used; why, and what to do."""


class _Unsure:
    def __repr__(self) -> str:
        return "UNSURE"


UNSURE: Final[Any] = _Unsure()

# What the frameworks ask. Whoever uses what is here makes sure that they still do.
dumps, loads = json.dumps, json.loads


class Orjson:
    """The orjson that is installed, once it has shown that it behaves as is expected here. Raises Unusable."""

    def __init__(self, module: Any) -> None:
        self.version = str(getattr(module, "__version__", "of an unknown version"))
        for name in ("dumps", "loads"):
            if getattr(vars(json)[name], "__globals__", None) is not vars(json):
                raise Unusable("the application has replaced json.%s, and that stays so" % name)
        self._dumps = module.dumps
        self._loads = module.loads
        try:
            # In its own words: what json takes for an object of a class of its own is not to be written.
            self._strictly = (
                module.OPT_PASSTHROUGH_SUBCLASS | module.OPT_PASSTHROUGH_DATETIME | module.OPT_PASSTHROUGH_DATACLASS
            )
            self._sorted = self._strictly | module.OPT_SORT_KEYS
        except AttributeError as error:
            raise Unusable("orjson %s is too old: %s; install a newer one" % (self.version, error)) from None
        _try(self)

    def encoder(
        self,
        convert: Mapping[Type[Any], Callable[[Any], Any]],
        native: Iterable[Type[Any]] = (),
        lists: Iterable[Type[Any]] = (),
        sort_keys: bool = False,
    ) -> Encode:
        """A function that gives a value's JSON, compact and in UTF-8, or UNSURE.

        ``convert`` has a function for each type, exactly, that ``json`` does not know by itself and the caller does: it
        makes str, int, float or None of it. ``native`` are such types that orjson knows; ``lists`` those that are
        written as lists. The functions must have no effects: where this one is unsure they are called again.
        """
        scalars: FrozenSet[Type[Any]] = _PLAIN.union(convert, native)
        list_like: FrozenSet[Type[Any]] = _LISTS.union(lists)
        converters: Dict[Type[Any], Callable[[Any], Any]] = dict(convert)
        converters.update(dict.fromkeys(_DICTS, dict))
        converters.update(dict.fromkeys(lists, list))
        known: FrozenSet[Type[Any]] = scalars | _DICTS | list_like
        option = self._sorted if sort_keys else self._strictly
        write, pack, not_finite = self._dumps, marshal.dumps, _NOT_FINITE.search

        def default(value: Any) -> Any:
            made = converters[type(value)](value)
            if type(made) is float and not isfinite(made):
                raise ValueError("orjson would write null")
            return made

        def encode(value: Any) -> Any:
            try:
                data = write(value, default, option)
            except TypeError:
                return UNSURE
            try:
                # The quick way to find out that there are only str, int, float, bool, None, lists, tuples and dicts: of
                # all else that marshal takes orjson takes nothing.
                packed = pack(value, _MARSHAL)
            except ValueError:
                return data if _all_known(value, known, list_like) else UNSURE
            if b"null" in data and not_finite(packed):
                return UNSURE
            return data

        return encode

    def decode(self, data: bytes) -> Any:
        """The value of a body, or UNSURE."""
        if _MANY_DIGITS in data.translate(_DIGITS):
            return UNSURE
        try:
            value = self._loads(data)
        except ValueError:
            return UNSURE
        if data.count(b"[") + data.count(b"{") > _DEEPEST:
            try:
                self._dumps(value)
            except TypeError:
                return UNSURE  # it is too deep
        return value

    def copy(self, data: bytes) -> Any:
        """The value of what an encoder has written."""
        return self._loads(data)


def _all_known(value: Any, known: FrozenSet[Type[Any]], lists: FrozenSet[Type[Any]]) -> bool:
    """Whether a value, which has been written already and so is finite, consists of these types, and its floats are."""
    level: List[Any] = [value]
    for _ in range(_DEEPEST + 9):
        types = set(map(type, level))
        if not types <= known:
            return False
        if float in types and not all(isfinite(item) for item in level if type(item) is float):
            return False
        below: List[Any] = []
        if types & _DICTS:
            below.extend(chain.from_iterable([dict.values(item) for item in level if type(item) in _DICTS]))
        if types & lists:
            below.extend(chain.from_iterable([item for item in level if type(item) in lists]))
        if not below:
            return True
        level = below
    return False


class _Text(str):
    pass


class _Number(int):
    pass


def _nested(depth: int) -> List[Any]:
    value: List[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


# What is tried of an orjson: values and their JSON; values of which it must not be sure; and bodies, likewise.
_WRITTEN = (
    (
        {"b": [1, 1.5, None, True], "a": ("é\x01", 1 << 63)},
        b'{"b":[1,1.5,null,true],"a":["\xc3\xa9\\u0001",%d]}' % (1 << 63),
    ),
    ([UUID(int=1), -(2**63), -0.0], b'["00000000-0000-0000-0000-000000000001",-9223372036854775808,-0.0]'),
    (OrderedDict(a=defaultdict(int, b=1)), b'{"a":{"b":1}}'),
)
_NOT_WRITTEN = (
    *(nan, [inf], (-inf, None), {"a": nan}, 2**64, -(2**63) - 1, {1: 1}, {_Text("a"): 1}, _Text("a"), _Number(1)),
    *("\ud800", b"", bytearray(), memoryview(b""), 1j, ..., {1}, [object()], _nested(_DEEPEST + 9)),
)
_READ = ("[-0]", "-0.0", '{"a":1,"b":2,"a":[3]}', "1e-400", '"\\ud83d\\ude00\\/"', "123456789012345678", " [1E+2]\n")
_NOT_READ = (
    *("", "NaN", "[Infinity]", '"\\ud800"', "1e400", "[1,]", "01", "1.", '"\t"', "{} {}", "/**/1", "'a'", "\ufeff1"),
    *("18446744073709551616", "-9223372036854775809", "[" * (_DEEPEST + 9) + "]" * (_DEEPEST + 9)),
)


def _try(orjson: Orjson) -> None:
    """Raise Unusable for an orjson that is not as this module expects it."""
    encode = orjson.encoder({}, native=(UUID,))
    fine = [encode(value) == data for value, data in _WRITTEN]
    fine += [encode(value) is UNSURE for value in _NOT_WRITTEN]
    fine += [repr(orjson.decode(text.encode())) == repr(loads(text)) for text in _READ]
    fine += [orjson.decode(text.encode()) is UNSURE for text in _NOT_READ]
    if not all(fine):
        raise Unusable("orjson %s behaves otherwise than is known; install another version" % orjson.version)
