"""The static folders of a Flask application and of its blueprints."""

from __future__ import annotations

import os
import sys
import weakref
from datetime import timedelta
from types import FunctionType
from typing import Any, Dict, Iterator, Optional, Tuple

from .static_folders import Found, Unsure, altered, is_method, made_by, of_class

_PACKAGES = ("flask", "werkzeug")
_TAIL = "/<path:filename>"
# What Flask has that a request for a file does not come to, so that it may be the application's own.
_ASIDE = frozenset(
    (
        *("aborter_class", "add_template_filter", "add_template_global", "add_template_test", "add_url_rule"),
        *("after_request", "auto_find_instance_path", "before_first_request", "before_request", "cli"),
        *("config_class", "context_processor", "create_global_jinja_loader", "create_jinja_environment"),
        *("default_config", "delete", "endpoint", "errorhandler", "get", "handle_url_build_error"),
        *("inject_url_defaults", "iter_blueprints", "jinja_env", "jinja_environment", "jinja_loader"),
        *("jinja_options", "json", "json_decoder", "json_encoder", "json_provider_class", "log_exception", "logger"),
        *("make_aborter", "make_config", "make_default_options_response", "make_shell_context", "name"),
        *("open_instance_resource", "open_resource", "patch", "permanent_session_lifetime", "post", "put"),
        *("redirect", "register_blueprint", "register_error_handler", "route", "run", "secret_key"),
        *("select_jinja_autoescape", "shell_context_processor", "static_url_path", "teardown_appcontext"),
        *("teardown_request", "template_filter", "template_global", "template_test", "test_cli_runner"),
        *("test_cli_runner_class", "test_client", "test_client_class", "test_request_context", "testing"),
        *("update_template_context", "url_defaults", "url_for", "url_value_preprocessor"),
    )
)
# What sends a file, by where it is.
_SENDERS = (
    ("flask.helpers", "send_from_directory"),
    ("flask.helpers", "_prepare_send_file_kwargs"),
    ("werkzeug.utils", "send_from_directory"),
    ("werkzeug.utils", "send_file"),
)
# Those whose receivers are called before an answer is sent.
_SIGNALS = ("appcontext_pushed", "request_started", "request_finished")


def find(app: Any, root_path: str) -> Iterator[Any]:
    flask = sys.modules.get("flask.app")
    if flask is None or not isinstance(app, flask.Flask):
        return
    owners: Dict[str, Tuple[Any, Optional[str]]] = {"static": (app, None)}
    owners.update({f"{name}.static": (blueprint, name) for name, blueprint in app.blueprints.items()})
    for rule in app.url_map.iter_rules():
        if rule.endpoint not in owners:
            continue
        owner, name = owners[rule.endpoint]
        if not owner.has_static_folder:
            continue
        try:
            _no_checks_of_hosts(app)
            _plain(app, flask.Flask)
            _plain_rule(app, rule)
            _plain_view(app, owner, name, rule.endpoint)
            _no_hooks(app, name)
            yield _folder(app, owner, rule, root_path)
        except Unsure as error:
            yield Unsure(f"{rule.rule}: {error}")


def _no_checks_of_hosts(app: Any) -> None:
    """Of whether a request is for the application at all."""
    for name in ("SERVER_NAME", "TRUSTED_HOSTS"):
        if app.config.get(name):
            raise Unsure(f"{name} is set, which may refuse other hosts")
    if getattr(app, "subdomain_matching", False) or app.url_map.host_matching:
        raise Unsure("the application looks at the host")


def _plain(app: Any, flask: type) -> None:
    """That requests go the way that Flask made for them."""
    names = [n for n in sorted(dir(flask)) if n not in _ASIDE and (n == "__call__" or not n.startswith("__"))]
    name = altered(app, flask, names, _PACKAGES)
    if name is not None:
        raise Unsure(f"{name} is the application's own (or a middleware's)")
    for module, name in _SENDERS:
        if not made_by(getattr(sys.modules[module], name, None), _PACKAGES):
            raise Unsure(f"{module}.{name} has been replaced")
    signals = sys.modules["flask.signals"]
    for name in _SIGNALS:
        if getattr(getattr(signals, name, None), "receivers", None):  # none without blinker
            raise Unsure(f"the signal {name} has receivers, which may change the answer")
    if app.config.get("USE_X_SENDFILE"):
        raise Unsure("USE_X_SENDFILE is set")


def _plain_view(app: Any, owner: Any, name: Optional[str], endpoint: str) -> None:
    """That the view is the one that Flask made for the folder."""
    view = app.view_functions.get(endpoint)
    if name is None:
        # A lambda of Flask's constructor, which has a weak reference to the application.
        function = of_class(type(owner), "send_static_file")
        cells = getattr(view, "__closure__", None) if type(view) is FunctionType else None
        held = [cell.cell_contents for cell in cells or ()]
        plain = made_by(view, _PACKAGES) and len(held) == 1 and type(held[0]) is weakref.ref and held[0]() is app
    else:
        blueprint = sys.modules["flask.blueprints"].Blueprint
        if type(owner) is not blueprint:
            raise Unsure(f"the blueprint {name} is a class of its own")
        changed = altered(owner, blueprint, ("get_send_file_max_age", "send_static_file", "static_folder"), _PACKAGES)
        if changed is not None:
            raise Unsure(f"{changed} is the blueprint's own")
        function = of_class(blueprint, "send_static_file")
        plain = is_method(view, owner, function)
    # The module of Flask that has it, and so what it calls, varies with the version.
    if not plain or not made_by(function.__globals__.get("send_from_directory"), _PACKAGES):
        raise Unsure("its view is the application's own")


def _no_hooks(app: Any, name: Optional[str]) -> None:
    """Neither the application's, nor those of the blueprint or of one that it is nested in."""
    parts = [] if name is None else name.split(".")
    scopes = [None, *(".".join(parts[: n + 1]) for n in range(len(parts)))]
    for hooks in ("url_value_preprocessors", "before_request_funcs", "after_request_funcs"):
        if any(getattr(app, hooks, {}).get(scope) for scope in scopes):
            raise Unsure(f"there are {hooks}, which may change the answer")


def _folder(app: Any, owner: Any, rule: Any, root_path: str) -> Found:
    prefix = rule.rule[: -len(_TAIL)]
    for other in app.url_map.iter_rules():
        literal = other.rule.partition("<")[0]
        if other is not rule and (literal.startswith(prefix + "/") or literal == prefix):
            raise Unsure(f"the route {other.rule} is within it")
        if other is not rule and other.endpoint == rule.endpoint and other.defaults:
            raise Unsure(f"the route {other.rule} is for one of its files, which are redirected there")
    if not prefix:
        raise Unsure("it is the whole site")
    if not os.path.isabs(owner.static_folder):
        raise Unsure(f"{owner.static_folder} is relative")
    age = app.config["SEND_FILE_MAX_AGE_DEFAULT"]
    if isinstance(age, timedelta):
        age = int(age.total_seconds())
    if age is not None and (type(age) is not int or age <= 0):
        raise Unsure(f"SEND_FILE_MAX_AGE_DEFAULT is {age!r}")
    return root_path + prefix, owner.static_folder, "no-cache" if age is None else f"public, max-age={age}"


def _plain_rule(app: Any, rule: Any) -> None:
    from werkzeug.routing import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
        Map,
        PathConverter,
        Rule,
    )

    if not hasattr(app.url_map, "_matcher"):
        raise Unsure("Werkzeug before 2.2 has another order of routes")
    if type(app.url_map) is not Map or type(rule) is not Rule:
        raise Unsure("its route is a class of its own")
    if rule.build_only or rule.redirect_to or rule.alias or rule.websocket or rule.defaults:
        raise Unsure("its route is for more, or less, than files")
    if rule.methods != {"GET", "HEAD", "OPTIONS"}:
        raise Unsure(f"its route is for {', '.join(sorted(rule.methods or ['all methods']))}")
    if not rule.rule.endswith(_TAIL) or "<" in rule.rule[: -len(_TAIL)] or rule.host or rule.subdomain:
        raise Unsure("it is not only a path")
    converters = (app.url_map.converters.get("path"), type(rule._converters.get("filename")))
    if any(one is not PathConverter for one in converters) or not made_by(PathConverter, _PACKAGES):
        raise Unsure("the converter path is the application's own")
