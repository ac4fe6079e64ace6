"""--reload: a changed template is served by the same worker, whatever framework renders it."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness.client import fetch
from harness.server import Server, Spec
from harness.waiting import eventually

pytestmark = pytest.mark.pyspeed


@dataclass
class Renderer:
    """A framework with a front page of two templates, outer.html and inner.html, in templates/."""

    source: str
    interface: str = "wsgi"
    outer: str = "<p>{% include 'inner.html' %}</p>"


# Each with what would be done in production: no debug mode.
RENDERERS = {
    "flask": Renderer("""
        from flask import Flask, render_template
        app = Flask(__name__)
        app.add_url_rule("/", "front", lambda: render_template("outer.html"))
    """),
    "flask-says-no": Renderer("""
        from flask import Flask, render_template
        app = Flask(__name__)
        app.config["TEMPLATES_AUTO_RELOAD"] = False
        app.jinja_env.auto_reload = False
        app.add_url_rule("/", "front", lambda: render_template("outer.html"))
    """),
    "starlette": Renderer(
        """
        import jinja2
        from starlette.applications import Starlette
        from starlette.routing import Route
        from starlette.templating import Jinja2Templates
        loader = jinja2.FileSystemLoader("templates")
        templates = Jinja2Templates(env=jinja2.Environment(loader=loader, auto_reload=False))
        app = Starlette(routes=[Route("/", lambda request: templates.TemplateResponse(request, "outer.html"))])
        """,
        "asgi",
    ),
    "fastapi": Renderer(
        """
        from fastapi import FastAPI, Request
        from fastapi.templating import Jinja2Templates
        templates = Jinja2Templates("templates")
        app = FastAPI()
        @app.get("/")
        def front(request: Request):
            return templates.TemplateResponse(request, "outer.html")
        """,
        "asgi",
    ),
    "django": Renderer("""
        import os
        from django.conf import settings
        settings.configure(
            ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="x", DEBUG=False,
            TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": ["templates"]}],
        )
        import django
        from django.core.wsgi import get_wsgi_application
        from django.shortcuts import render
        from django.urls import path
        app = get_wsgi_application()
        urlpatterns = [path("", lambda request: render(request, "outer.html"))]
    """),
    "pyramid": Renderer("""
        from pyramid.config import Configurator
        with Configurator() as config:
            config.include("pyramid_jinja2")
            config.add_jinja2_renderer(".html")
            config.add_jinja2_search_path(os.path.abspath("templates"), name=".html")
            config.add_route("front", "/")
            config.add_view(lambda request: {}, route_name="front", renderer="outer.html")
            app = config.make_wsgi_app()
    """),
    "bottle": Renderer(
        """
        import bottle
        bottle.TEMPLATE_PATH[:] = ["templates"]
        app = bottle.Bottle()
        @app.get("/")
        @bottle.view("outer.html")
        def front():
            return {}
        """,
        outer="<p>\n% include('inner.html')\n</p>",
    ),
    "bottle-jinja": Renderer("""
        import bottle
        bottle.TEMPLATE_PATH[:] = ["templates"]
        app = bottle.Bottle()
        @app.get("/")
        @bottle.jinja2_view("outer.html")
        def front():
            return {}
    """),
    "tornado": Renderer(
        """
        import tornado.web
        class Front(tornado.web.RequestHandler):
            def get(self):
                self.render("outer.html")
        app = tornado.web.Application([("/", Front)], template_path="templates")
        """,
        "tornado",
        "<p>{% include inner.html %}</p>",
    ),
    "mako": Renderer(
        """
        from mako.lookup import TemplateLookup
        lookup = TemplateLookup(["templates"], filesystem_checks=False)
        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/html")])
            return [lookup.get_template("outer.html").render().encode()]
        """,
        outer="<p><%include file='inner.html'/></p>",
    ),
    "chameleon": Renderer(
        """
        from chameleon import PageTemplateLoader
        load = PageTemplateLoader("templates", auto_reload=False)
        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/html")])
            return [load["outer.html"](load=load).encode()]
        """,
        outer='<p>${structure: load["inner.html"]()}</p>',
    ),
}


@pytest.mark.parametrize("name", RENDERERS)
def test_a_changed_template_is_served_by_the_same_worker(
    name: str, tmp_path: Path, start: Callable[[Spec], Server]
) -> None:
    renderer = RENDERERS[name]
    # As long ago as if it were not just being written: what caches trust then.
    before = 1_700_000_000

    def write(file: str, text: str) -> None:
        nonlocal before
        path = tmp_path / "templates" / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        before += 60
        os.utime(path, (before, before))

    write("outer.html", renderer.outer)
    write("inner.html", "<b>one</b>")
    (tmp_path / "app.py").write_text("import os\n" + textwrap.dedent(renderer.source))
    spec = Spec("app:app", tmp_path, renderer.interface, workers=1, settings={"reload": {"enabled": True}})
    server = start(spec)

    def page() -> str:
        answer = fetch(server.address, "GET", "/")
        assert answer.status == 200, answer
        return re.sub(r"\s", "", answer.body.decode())

    assert page() == "<p><b>one</b></p>"
    assert page() == "<p><b>one</b></p>"
    write("inner.html", "<b>two</b>")
    server.log.wait_for("changed: templates/inner.html")
    assert page() == "<p><b>two</b></p>"
    write("outer.html", renderer.outer.replace("p>", "i>"))
    eventually(lambda: page() == "<i><b>two</b></i>", "the outer template is the new one")
    # Edits of equal size, one right after the other.
    for number in range(3):
        (tmp_path / "templates" / "inner.html").write_text(f"<b>{number}00</b>")
        if name != "mako":  # which compares whole seconds
            assert page() == f"<i><b>{number}00</b></i>"
    assert str(server.log).count("worker started") == 1
