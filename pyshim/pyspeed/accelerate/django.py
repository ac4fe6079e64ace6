"""Django: what ``JsonResponse`` makes with the encoder that it has by default."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import wraps
from uuid import UUID

from . import exact
from .exact import UNSURE
from .patches import known

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .exact import Orjson
    from .patches import Patches

_UTF8 = ("utf-8", "utf8", "UTF-8")
# Arguments of HttpResponse that have nothing to do with the charset.
_UNRELATED = frozenset(("status", "reason"))


def response(module: Any, orjson: Orjson, patches: Patches) -> None:
    """Accelerate the module ``django.http.response``."""
    kind, encoder = module.JsonResponse, module.DjangoJSONEncoder
    init = known(
        kind,
        "__init__",
        "TypeError __init__ dict dumps isinstance json setdefault super",
        constants=("content_type", "application/json"),
    )
    default = known(
        encoder,
        "default",
        "Decimal Promise UUID ValueError date datetime decimal default duration_iso_string endswith is_aware "
        "isinstance isoformat microsecond str super time timedelta uuid",
        "removesuffix",
        ("+00:00", "Z"),
    )
    base = module.HttpResponseBase
    make = encoder().default
    convert = {datetime: make, date: make, time: make, timedelta: make, Decimal: str}  # as it does
    encode = orjson.encoder(convert, (UUID,))

    @wraps(init)
    def fast_init(
        self: Any, data: Any, encoder: Any = encoder, safe: Any = True, json_dumps_params: Any = None, **kwargs: Any
    ) -> None:
        if (
            encoder is module.DjangoJSONEncoder
            and encoder.default is default
            and not json_dumps_params
            and (not safe or isinstance(data, dict))
            and exact.writes(module.json, encoder)
        ):
            body = encode(data)
            # What is not ASCII has been escaped by json, so that any charset would do.
            if body is not UNSURE and (
                body.isascii()
                or (
                    kwargs.keys() <= _UNRELATED
                    and module.settings.DEFAULT_CHARSET in _UTF8
                    and type(self).charset is base.charset
                    and type(self).make_bytes is base.make_bytes
                )
            ):
                kwargs.setdefault("content_type", "application/json")
                super(kind, self).__init__(content=body.decode(), **kwargs)
                return
        init(self, data, encoder, safe, json_dumps_params, **kwargs)

    patches.replace(kind, "__init__", fast_init)
