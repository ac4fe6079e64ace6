"""Django REST framework: what ``JSONRenderer`` makes, unless it is to be indented.

Renderers that are derived from it have it too, save where they have methods or an encoder of their own.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
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


def renderers(module: Any, orjson: Orjson, patches: Patches) -> None:
    """Accelerate the module ``rest_framework.renderers``."""
    kind, encoder = module.JSONRenderer, module.encoders.JSONEncoder
    render = known(
        kind,
        "render",
        "INDENT_SEPARATORS LONG_SEPARATORS SHORT_SEPARATORS compact dumps encode encoder_class ensure_ascii "
        "get_indent json replace strict",
        constants=("\u2028", "\\u2028", "\u2029", "\\u2029"),
    )
    get_indent = kind.get_indent
    default = known(
        encoder,
        "default",
        "Decimal Exception Promise QuerySet UUID ValueError bytes date datetime decimal decode default dict endswith "
        "float force_str hasattr is_aware isinstance isoformat list str super time timedelta timezone tolist "
        "total_seconds tuple uuid",
        "Document Error IPv4Address IPv4Interface IPv4Network IPv6Address IPv6Interface IPv6Network RuntimeError "
        "contextlib coreapi ipaddress suppress",
    )
    dumps = known(module.json, "dumps", "dumps json setdefault", constants=("allow_nan", False))
    make = encoder().default
    convert = {datetime: make, date: make, time: make, timedelta: make, Decimal: float}  # as it does
    encode = orjson.encoder(convert, (UUID,))

    @wraps(render)
    def fast_render(self: Any, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> Any:
        if (
            data is not None
            and self.encoder_class is encoder
            and encoder.default is default
            and type(self).get_indent is get_indent
            and module.json.dumps is dumps
            and exact.writes(module.json.json, encoder)
            and self.get_indent(accepted_media_type, renderer_context or {}) is None
        ):
            body = encode(_without_helpers(data))
            if body is not UNSURE and (body.isascii() or not self.ensure_ascii):
                # As the original does it, for who takes JSON for JavaScript.
                return body.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
        return render(self, data, accepted_media_type, renderer_context)

    patches.replace(kind, "render", fast_render)


def _without_helpers(data: Any) -> Any:
    """Data with plain lists and dicts for those of serializers: the whole, and a page's results."""
    helpers = sys.modules.get("rest_framework.utils.serializer_helpers")
    if helpers is None:
        return data
    kind = type(data)
    if kind is helpers.ReturnDict:
        return dict(data)
    if kind is helpers.ReturnList:
        return list(data)
    # Before REST framework 3.15 a page is an OrderedDict.
    if kind is dict or kind is OrderedDict:
        items = list(data.items())  # at once, as other threads may change it
        if any(type(value) is helpers.ReturnList for _, value in items):
            return {key: list(value) if type(value) is helpers.ReturnList else value for key, value in items}
    return data
