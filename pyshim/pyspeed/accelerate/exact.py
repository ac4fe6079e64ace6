"""JSON by orjson where that gives what the module ``json`` gives, and word that it may not where it may not.

In: Python values, and the bytes of a body. Out: the same values as ``json`` would write or read, or UNSURE, whereupon
the caller asks ``json``: it alone raises errors. On any thread; nothing is shared.

orjson differs from ``json`` in what it takes for JSON, and it does not always say so:

- it writes NaN and infinities as null, enums as their values, UUIDs as text;
- it reads integers beyond 64 bits as floats, and more deeply nested documents than ``json`` does.

What it refuses (subclasses, keys that are no str, lone surrogates, integers beyond 64 bits, NaN in a body, …) is
unsure.

orjson trusts in what it has seen of a list or dict (lengths, items) as long as it writes it, and runs no Python for
str, int, float, bool, None, lists, tuples and dicts: no other thread can change them meanwhile. Where there is more it
would run some (a ``default``, an enum's ``value``), and threads that share a value would crash the worker. So it is
given a copy then, in which all of that has been converted, and which nobody else has.
"""

from __future__ import annotations

import _json
import json
import json.decoder
import json.encoder
import marshal
import re
from collections import OrderedDict, defaultdict
from itertools import starmap
from math import inf, isfinite, nan
from types import FunctionType
from uuid import UUID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Final, FrozenSet, Iterable, List, Mapping, Type

    Convert = Mapping[Type[Any], Callable[[Any], Any]]
    Encode = Callable[[Any], bytes]

# Deeper is unsure: orjson writes no more than that or one more, and json's bound depends on how full the stack is.
_DEEPEST = 254

_PLAIN: FrozenSet[Type[Any]] = frozenset((str, int, float, bool, type(None)))
_DICTS: FrozenSet[Type[Any]] = frozenset((dict, OrderedDict, defaultdict))
_LISTS: FrozenSet[Type[Any]] = frozenset((list, tuple))
_ROWS: FrozenSet[Type[Any]] = frozenset((dict, list, tuple))
# Those that may be written as lists, and that marshal takes.
_OF_MARSHAL: FrozenSet[Type[Any]] = frozenset((set, frozenset))

# In the marshal format: a float, perhaps one that is referred to later, all bits of whose exponent are set.
_NOT_FINITE = re.compile(rb"[g\xe7].{6}[\xf0-\xff][\x7f\xff]", re.DOTALL)
# Bytes that something else refers to, up to 64 KB of them: as the members of an enum of bytes are, which both take.
_SHARED_BYTES = re.compile(rb"\xf3..\0\0", re.DOTALL)
_MARSHAL = 4

# Calls a function of C from C: between two such calls of an iterator no other thread can run.
_call: Any = type(marshal.dumps).__call__

# What a type's conversion may raise of its own: the caller's original code raises it again, at its place. All else
# (KeyboardInterrupt, the time limit of somebody's signal handler, …) goes on.
_OF_CONVERSION = (TypeError, ValueError, ArithmeticError, LookupError, RuntimeError)

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

# What the frameworks ask, and what that depends on.
dumps, loads = json.dumps, json.loads
_json_has: Any = json
_encoder_has: Any = json.encoder
_Encoder, _Decoder = json.encoder.JSONEncoder, json.decoder.JSONDecoder
_encode, _iterencode, _encoder_init = _Encoder.encode, _Encoder.iterencode, _Encoder.__init__
_make_encoder, _text, _text_ascii = _json.make_encoder, _json.encode_basestring, _json.encode_basestring_ascii
_decode, _raw_decode = _Decoder.decode, _Decoder.raw_decode
_decoder = _json_has._default_decoder
_decoder_has = dict(vars(_decoder))


def writes(module: Any, encoder: Any = _Encoder) -> bool:
    """Whether ``module.dumps`` is json's and writes by json's own code, with the methods of ``encoder``.

    All who use an encoder of this module ask that each time: the application may have replaced any of it.
    """
    return (
        module.dumps is dumps
        and encoder.encode is _encode
        and encoder.iterencode is _iterencode
        and encoder.__init__ is _encoder_init
        and _json_has.JSONEncoder is _Encoder
        and _encoder_has.c_make_encoder is _make_encoder
        and _encoder_has.encode_basestring is _text
        and _encoder_has.encode_basestring_ascii is _text_ascii
    )


def reads(module: Any) -> bool:
    """Whether ``module.loads`` is json's and reads by json's own code; likewise."""
    return (
        module.loads is loads
        and _json_has._default_decoder is _decoder
        and vars(_decoder) == _decoder_has
        and _Decoder.decode is _decode
        and _Decoder.raw_decode is _raw_decode
    )


def _replaced() -> str:
    """What of json the application has replaced before this module could look, if anything."""
    for owner, names, module in (
        (json, ("dumps", "loads"), json),
        (_Encoder, ("encode", "iterencode", "__init__"), json.encoder),
        (_Decoder, ("decode", "raw_decode"), json.decoder),
    ):
        for name in names:
            function = vars(owner).get(name)
            if type(function) is not FunctionType or function.__globals__ is not vars(module):
                return "%s.%s" % (owner.__name__, name)
    scanner = _decoder_has.get("scan_once")
    same = (
        type(_decoder) is _Decoder
        and type(scanner) is _json.make_scanner
        and (scanner.parse_float, scanner.parse_int) == (float, int)
        and (scanner.strict, scanner.object_hook, scanner.object_pairs_hook) == (True, None, None)
        and writes(json)
        and reads(json)
    )
    return "" if same else "parts of json"


class Orjson:
    """The orjson that is installed, once it has shown that it behaves as is expected here. Raises Unusable."""

    def __init__(self, module: Any) -> None:
        self.version = str(getattr(module, "__version__", "of an unknown version"))
        replaced = _replaced()
        if replaced:
            raise Unusable("the application has replaced %s, and that stays so" % replaced)
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
        convert: Convert,
        native: Iterable[Type[Any]] = (),
        lists: Iterable[Type[Any]] = (),
        sort_keys: bool = False,
    ) -> Encode:
        """A function that gives a value's JSON, compact and in UTF-8, or UNSURE.

        ``convert`` has a function for each type, exactly, that ``json`` does not know by itself and the caller does: it
        makes str, int, float or None of it. ``native`` are such types that orjson knows; ``lists`` those that are
        written as lists. The functions must have no effects: where this one is unsure they are called again.
        """
        copy = _copier(convert, native, lists)
        more: FrozenSet[Type[Any]] = (_DICTS - {dict}).union(convert, native)
        had_more = False  # the last value
        more_than_marshal = not _OF_MARSHAL.isdisjoint(lists)
        option = self._sorted if sort_keys else self._strictly
        write, pack = self._dumps, marshal.dumps
        not_finite, shared_bytes = _NOT_FINITE.search, _SHARED_BYTES.search

        def encode(value: Any) -> Any:
            nonlocal had_more
            # Who answers with dates mostly does so again: then marshal need not be asked.
            if not had_more or not _begins_with(more, value):
                try:
                    # The quick way to find out that there are only str, int, float, bool, None, lists, tuples and
                    # dicts: of all else that marshal takes orjson takes nothing.
                    packed, data = starmap(_call, ((pack, value, _MARSHAL), (write, value, None, option)))
                except ValueError:
                    had_more = True  # than marshal takes
                except TypeError:
                    if not more_than_marshal:
                        return UNSURE
                else:
                    had_more = False
                    if b"\xf3" not in packed or not shared_bytes(packed):
                        # Before the slower searches, the slowest last: bytes that must be there.
                        if (b"\x7f" in packed or b"\xff" in packed) and b"null" in data and not_finite(packed):
                            return UNSURE
                        return data
            try:
                copied = copy((value,), 0)[0]
            except _OF_CONVERSION:
                return UNSURE
            try:
                return write(copied, None, option)
            except TypeError:
                return UNSURE

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


def _copier(convert: Convert, native: Iterable[Type[Any]], lists: Iterable[Type[Any]]) -> Callable[[Any, int], Any]:
    """A function that copies a list or dict and all in it, so that orjson runs no Python for the copy.

    It raises one of _OF_CONVERSION for what orjson would not take or would write as something else.
    """
    converters: Dict[Type[Any], Callable[[Any], Any]] = dict(convert)
    as_they_are: FrozenSet[Type[Any]] = (_PLAIN - {float}).union(native)
    made_of: FrozenSet[Type[Any]] = _PLAIN
    list_like: FrozenSet[Type[Any]] = _LISTS.union(lists)
    nested: FrozenSet[Type[Any]] = _DICTS | list_like

    def copy(value: Any, depth: int) -> Any:
        if depth > _DEEPEST + 1:
            raise ValueError("too deep")
        copied: Any
        items: Iterable[Any]
        # Each at once, in C: an iteration here would see what other threads do in between.
        if type(value) in _DICTS:
            copied = dict(value)
            items = copied.items()
        else:
            copied = list(value)
            items = enumerate(copied)
        for key, item in items:
            kind = type(item)
            if kind in as_they_are:
                continue
            if kind in nested:
                copied[key] = copy(item, depth + 1)
                continue
            if kind is not float:
                item = copied[key] = converters[kind](item)
                kind = type(item)
            if kind is float:
                if not isfinite(item):
                    raise ValueError("orjson would write null")
            elif kind not in made_of:
                raise TypeError("not what json knows")
        return copied

    return copy


def _begins_with(types: FrozenSet[Type[Any]], value: Any) -> bool:
    """Whether something of these types is in the first row, if a value is like a database's answers."""
    for _ in range(4):
        kind = type(value)
        if kind in types:
            return True
        if kind is dict:
            values = list(value.values())
            if not types.isdisjoint(map(type, values)):
                return True
            value = next((item for item in values if type(item) in _ROWS), None)
        elif kind in _LISTS:
            value = next(iter(value), None)
        else:
            return False
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
