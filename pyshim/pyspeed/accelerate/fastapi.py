"""FastAPI: ``jsonable_encoder``, and answers of endpoints without a response model.

Such an answer goes through ``jsonable_encoder``, which makes a copy of it in Python, and then through ``json``. Of
plain values the copy is the same as the original, so JSON is written at once; where it has to be a copy, for a response
class that may change it or for who calls ``jsonable_encoder``, it is read from that JSON.

With a response model pydantic does the work, and nothing is changed.
"""

from __future__ import annotations

import sys
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import update_wrapper, wraps
from operator import itemgetter
from sys import _getframe
from types import CodeType, FunctionType
from uuid import UUID

from . import exact
from .exact import UNSURE
from .patches import Unknown, known
from .starlette import Written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .exact import Orjson
    from .patches import Patches

# Of what jsonable_encoder leaves out as SQLAlchemy's: the beginning of a key. A text that begins so is unsure too.
_LEFT_OUT = b'"_sa'

# Where the functions of the table are from, save str.
_ORIGINS = ("fastapi.encoders", "pydantic.json", "pydantic.v1.json")
_CONVERTED = (datetime, date, time, timedelta, Decimal)
_ORIGINAL = "_pyspeed_jsonable_encoder"

_ENCODER = (
    "BaseModel ENCODERS_BY_TYPE Enum Exception GeneratorType PurePath ValueError append asdict dataclasses dict "
    "encoders_by_class_tuples float frozenset int is_dataclass isinstance items jsonable_encoder keys list set "
    "startswith str tuple type value vars"
)
_ENCODER_OF_SOME = (
    "PYDANTIC_V2 PydanticUndefinedType PydanticV1NotSupportedError UndefinedType __config__ _is_undefined _model_dump "
    "deque getattr is_pydantic_v1_model_instance may_v1 model_dump update"
)
_SERIALIZE = "jsonable_encoder run_in_threadpool validate"
_SERIALIZE_OF_SOME = (
    "EndpointContext ErrorWrapper ResponseValidationError ValidationError _normalize_errors _prepare_response_content "
    "append extend hasattr isinstance list serialize serialize_json type_"
)
_USUAL = frozenset(("include", "exclude", "by_alias", "exclude_unset", "exclude_defaults", "exclude_none"))


def encoders(module: Any, orjson: Orjson, patches: Patches) -> None:
    """Accelerate the module ``fastapi.encoders``."""
    function = known(module, "jsonable_encoder", _ENCODER, _ENCODER_OF_SOME, ("_sa",))
    original = _recursing(function)
    plain = orjson.encoder({}, lists=(set, frozenset))
    # The application may put encoders of its own into the table at any time.
    in_table = itemgetter(*_CONVERTED, UUID)
    table = in_table(module.ENCODERS_BY_TYPE)
    if not all(encoder is str or getattr(encoder, "__module__", "") in _ORIGINS for encoder in table):
        raise Unknown("fastapi.encoders.ENCODERS_BY_TYPE has been changed")
    full = orjson.encoder(dict(zip(_CONVERTED, table)), (UUID,), (set, frozenset))

    def write(obj: Any) -> Any:
        """JSON of what jsonable_encoder makes of ``obj``, or UNSURE."""
        try:
            same = in_table(module.ENCODERS_BY_TYPE) == table
        except KeyError:
            same = False
        data = (full if same else plain)(obj)
        return UNSURE if data is UNSURE or _LEFT_OUT in data else data

    @wraps(function)
    def fast_jsonable_encoder(obj: Any, *args: Any, **kwargs: Any) -> Any:
        if module.jsonable_encoder is not fast_jsonable_encoder:
            # Somebody has replaced it, and takes part in the recursion; or nothing is accelerated any more.
            return function(obj, *args, **kwargs)
        kind = type(obj)
        if (kind is dict or kind is list or kind is tuple) and not args and (not kwargs or _are_usual(kwargs)):
            data = write(obj)
            if data is not UNSURE:
                return orjson.copy(data)
        return original(obj, *args, **kwargs)

    fast_jsonable_encoder._pyspeed = (write, original)  # type: ignore[attr-defined]
    patches.replace(module, _ORIGINAL, original)
    patches.replace(module, "jsonable_encoder", fast_jsonable_encoder)


def _recursing(function: FunctionType) -> FunctionType:
    """The function under another name, by which it calls itself: so its recursion does not come by here."""
    code = function.__code__
    names = tuple(_ORIGINAL if name == "jsonable_encoder" else name for name in code.co_names)
    copied = FunctionType(
        code.replace(co_names=names),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copied.__kwdefaults__ = function.__kwdefaults__
    update_wrapper(copied, function)
    del copied.__wrapped__  # type: ignore[attr-defined]
    return copied


def _are_usual(kwargs: Any) -> bool:
    """Whether keywords make no difference where there are no models."""
    get = kwargs.get
    return kwargs.keys() <= _USUAL and get("include") is None and get("exclude") is None and not get("exclude_none")


def _gives_only_to_the_class(code: CodeType) -> bool:
    """Whether a handler does no more with the content that it has from serialize_response than to respond with it.

    That may be JSON, and a handler that looked at it would not see what the endpoint returned.
    """
    from dis import get_instructions, haslocal  # which FastAPI has imported

    uses = 0
    for instruction in get_instructions(code):
        if instruction.opcode in haslocal:
            names = instruction.argval
            uses += (names if type(names) is tuple else (names,)).count("content")
    # It is stored and given to the class; with a response model, which alone makes bytes, to another one.
    return uses == (3 if "use_dump_json" in code.co_varnames else 2)


def routing(module: Any, orjson: Orjson, patches: Patches) -> None:
    """Accelerate the module ``fastapi.routing``, once ``fastapi.encoders`` and ``starlette.responses`` are."""
    serialize = known(module, "serialize_response", _SERIALIZE, _SERIALIZE_OF_SOME)
    handler = vars(module).get("get_request_handler")
    codes = [c for c in handler.__code__.co_consts if type(c) is CodeType] if type(handler) is FunctionType else []
    code = next((c for c in codes if c.co_name == "app" and "actual_response_class" in c.co_freevars), None)
    if code is None or not _gives_only_to_the_class(code):
        raise Unknown("fastapi.routing.get_request_handler does something else")
    origin: Any = sys.modules["fastapi.encoders"]
    encoder = patches.there(origin, "jsonable_encoder")
    if encoder is None or module.jsonable_encoder not in (encoder, encoder.__wrapped__):
        raise Unknown("fastapi.encoders.jsonable_encoder is not accelerated, or somebody has replaced it")
    write, original = encoder._pyspeed
    kind: Any = module.JSONResponse
    base = kind.__mro__[1]
    render = patches.there(kind, "render")
    if render is None:
        raise Unknown("JSONResponse.render is not accelerated, or somebody has replaced it")
    init = known(kind, "__init__", "super __init__")
    base_init = known(base, "__init__", "status_code media_type background render body init_headers")

    @wraps(serialize)
    def fast_serialize_response(*args: Any, **kwargs: Any) -> Any:
        if not args and kwargs.get("field") is None and "response_content" in kwargs:
            frame: Any = _getframe(1)
            # JSON can stand for the content only where nobody but JSONResponse, as it is, gets to see it.
            if (
                frame.f_code is code
                and frame.f_locals.get("actual_response_class") is kind
                and kind.render is render
                and kind.__init__ is init
                and base.__init__ is base_init
                and module.jsonable_encoder is origin.jsonable_encoder is encoder
                and exact.writes(sys.modules["starlette.responses"].json)
            ):
                content = kwargs["response_content"]
                data = write(content)
                # Where it is unsure the accelerated jsonable_encoder is not to try it once more.
                return _content(original, content) if data is UNSURE else _content(Written, data)
        return serialize(*args, **kwargs)

    # It has imported the accelerated one, perhaps, and is to have the original after the end.
    module.jsonable_encoder = encoder.__wrapped__
    patches.replace(module, "jsonable_encoder", encoder)
    patches.replace(module, "serialize_response", fast_serialize_response)


async def _content(make: Callable[[Any], Any], of: Any) -> Any:
    return make(of)
