"""Flask: what ``jsonify`` and a returned dict or list make, and ``request.get_json()``.

Only Flask's own provider answers faster, as long as it does what Flask has it do. ``app.json.dumps`` is left alone, for
its text goes into pages, signatures and hashes.
"""

from __future__ import annotations

import sys
from datetime import date, datetime
from decimal import Decimal
from functools import wraps
from uuid import UUID

from . import exact
from .exact import UNSURE
from .patches import known

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Type

    from .exact import Orjson
    from .patches import Patches

# Flask 2.2 still looks at what 2.3 has removed.
_WARNS = "DeprecationWarning warn warnings"
_BLUEPRINT = "blueprint blueprints get request " + _WARNS
_OPTIONS = ("JSON_AS_ASCII", "JSON_SORT_KEYS", "JSONIFY_PRETTYPRINT_REGULAR", "JSONIFY_MIMETYPE")


def provider(module: Any, orjson: Orjson, patches: Patches) -> None:
    """Accelerate the module ``flask.json.provider``."""
    kind = module.DefaultJSONProvider
    response = known(
        kind,
        "response",
        "_app _prepare_response_obj compact debug dumps mimetype response_class setdefault",
        "config " + _WARNS,
        ("indent", 2, "separators", (",", ":")),
    )
    dumps = known(
        kind,
        "dumps",
        "default dumps ensure_ascii json setdefault sort_keys",
        "__dict__ _app _json_encoder config " + _BLUEPRINT,
    )
    loads = known(kind, "loads", "json loads", "_app _json_decoder setdefault " + _BLUEPRINT)
    known(module.JSONProvider, "_prepare_response_obj", "TypeError len")
    default = known(
        module,
        "_default",
        "date http_date decimal Decimal uuid UUID str is_dataclass dataclasses asdict hasattr __html__ isinstance "
        "TypeError type __name__",
    )
    legacy = "config" in response.__code__.co_names
    # As it does.
    convert: Dict[Type[Any], Callable[[Any], Any]] = {datetime: default, date: default, Decimal: str}
    encode = orjson.encoder(convert, (UUID,))
    encode_sorted = orjson.encoder(convert, (UUID,), sort_keys=True)

    @wraps(response)
    def fast_response(self: Any, *args: Any, **kwargs: Any) -> Any:
        if (
            type(self) is kind
            and self.default is default
            and kind.dumps is dumps
            and "dumps" not in vars(self)
            and exact.writes(module.json)
        ):
            app = self._app
            compact = self.compact is not False and not (self.compact is None and app.debug)
            if compact and not (legacy and _has_legacy(app, "_json_encoder")):
                obj = self._prepare_response_obj(args, kwargs)
                data = (encode_sorted if self.sort_keys else encode)(obj)
                if data is not UNSURE:
                    make, mimetype = app.response_class, self.mimetype
                    if make is sys.modules["flask.wrappers"].Response and _is_utf8(make, mimetype):
                        return make(data + b"\n", mimetype=mimetype)
                    # As what json writes: it has escaped all else, and any charset will do.
                    if data.isascii():
                        return make(data.decode("ascii") + "\n", mimetype=mimetype)
        return response(self, *args, **kwargs)

    @wraps(loads)
    def fast_loads(self: Any, s: Any, **kwargs: Any) -> Any:
        as_known = not kwargs and exact.reads(module.json)
        if type(s) is bytes and as_known and not (legacy and _has_legacy(self._app, "_json_decoder")):
            value = orjson.decode(s)
            if value is not UNSURE:
                return value
        return loads(self, s, **kwargs)

    patches.replace(kind, "response", fast_response)
    patches.replace(kind, "loads", fast_loads)


def _is_utf8(make: Any, mimetype: Any) -> bool:
    """Whether UTF-8 may be sent as it is: a type may name another charset, and before Werkzeug 3 a class may.

    In Werkzeug 2.3 the charset is a property of the class unless the application has set another.
    """
    if mimetype != "application/json" and "charset" in str(mimetype).lower():
        return False
    charset = getattr(make, "charset", "utf-8")
    return type(charset) is property or charset in ("utf-8", "utf8", "UTF-8")


def _has_legacy(app: Any, attribute: str) -> bool:
    """Whether an application under Flask 2.2 uses an option or a class that Flask 2.3 does not know."""
    if getattr(app, attribute) is not None or any(app.config[option] is not None for option in _OPTIONS):
        return True
    return any(getattr(blueprint, attribute) is not None for blueprint in list(app.blueprints.values()))
