from __future__ import annotations

from pathlib import Path

import pytest
from runner import cells, files, nginx
from runner.cell import OURS, Cell, select
from runner.goals import GOALS
from runner.peers import PEERS, command_lines
from runner.place import Place, Ports
from runner.reasons import REASONS, UNKNOWN, reason

BENCHMARKS = Path(__file__).resolve().parent.parent


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "venvs", tmp_path / "gw", BENCHMARKS.parent, BENCHMARKS / "wrk", tmp_path, "1", "0")


@pytest.mark.parametrize("each", cells.CELLS, ids=lambda each: each.name)
def test_every_cell_is_whole(each: Cell, place: Place) -> None:
    assert (BENCHMARKS / "wrk" / each.script).is_file()
    module = place.directory(each) / each.app.partition(":")[0].replace(".", "/")
    assert module.with_suffix(".py").is_file()
    assert each.name in GOALS
    for name in each.servers:
        lines = command_lines(name, place, each, Ports(1234, 5678))
        assert all(line[:3] == ["taskset", "-c", "1"] for line in lines)
        assert all(Path(part).is_file() for line in lines for part in line if part.endswith(".py") and "/" in part)
        words = [word for line in lines for word in line]
        assert each.app in words or name in ("manage-runserver", "nginx-static")
        # The last program is the one that listens where wrk asks.
        front = " ".join(lines[-1])
        if front.endswith("-e stderr"):
            front = (place.work / "nginx.conf").read_text()
        assert "1234" in front


def test_cells_of_a_series_share_what_a_server_is_started_with() -> None:
    groups: dict[str, set[tuple[str, ...]]] = {}
    for each in cells.CELLS:
        key = (each.app, each.interface, each.environment, each.directory, str(each.workers))
        groups.setdefault(each.group, set()).add(key)
    assert all(len(keys) == 1 for keys in groups.values())


def test_every_framework_has_a_hello_and_a_list() -> None:
    names = {each.name for each in cells.FRAMEWORK_CELLS}
    for framework in ("flask", "django-wsgi", "django-asgi", "bottle", "pyramid", "tornado", "starlette", "fastapi"):
        assert {f"{framework}-hello", f"{framework}-json"} <= names
    assert {"json-list", "json-list-asgi"} <= names
    for each in select(cells.CELLS, ",".join(cells.FRAMEWORKS)):
        goal = GOALS[each.name]
        assert goal.won == 0.7
        assert all(goal.against(peer) >= 1.0 for peer in each.peers)


def test_every_peer_is_asked_in_some_cell() -> None:
    asked = {name for each in cells.CELLS for name in each.servers}
    assert asked == set(PEERS)


def test_ours_has_its_log_and_metrics_on(place: Place) -> None:
    asgi = select(cells.CELLS, "django-asgi-hello")[0]
    (line,) = command_lines(OURS, place, asgi, Ports(1234, 5678))
    text = " ".join(line)
    assert "log.access=combined" in text
    assert "admin.bind=127.0.0.1:5678" in text
    assert "--interface asgi" in text


def test_nginx_keeps_connections_to_http_but_not_to_uwsgi() -> None:
    http = nginx.configuration(Path("/w"), Path("/w/s"), 8080, "http")
    uwsgi = nginx.configuration(Path("/w"), Path("/w/s"), 8080, "uwsgi")
    assert "keepalive 1024;" in http
    assert "proxy_pass http://python;" in http
    assert "keepalive 1024;" not in uwsgi
    assert "uwsgi_pass python;" in uwsgi
    for text in (http, uwsgi):
        assert text.count("{") == text.count("}")
        assert "listen 127.0.0.1:8080" in text


def test_reasons_fit_something() -> None:
    pairs = [(each.name, peer) for each in cells.CELLS for peer in each.peers]
    texts = {reason(*pair) for pair in pairs}
    assert all(text in texts for _, _, text in REASONS)
    assert reason("hello-wsgi", "granian-wsgi") == UNKNOWN


def test_static_cells_ask_everybody_for_the_same_files(place: Place) -> None:
    for each in cells.STATIC_CELLS:
        assert each.files
        assert each.path.startswith("/static/")
        (line,) = command_lines(OURS, place, each, Ports(1234, 5678))
        assert f"/static={place.files}" in line
    assert "sendfile on;" in nginx.STATIC and "open_file_cache" in nginx.STATIC
    line = nginx.static_command(place, 1234)
    text = (place.work / "nginx.conf").read_text()
    assert line[0] == "nginx" and f"alias {place.files}/;" in text
    assert text.count("{") == text.count("}")


def test_the_files_are_made_once_and_can_be_dropped_from_memory(place: Place) -> None:
    files.make(place)
    made = {path.relative_to(place.files): path.stat().st_mtime_ns for path in place.files.rglob("*.bin")}
    assert len(made) == len(files.SIZES) + files.COLD_FILES
    for name, size in files.SIZES.items():
        assert (place.files / name).read_bytes() == files.content(size)
        assert len(files.content(size)) == size
    sizes = [(place.files / files.cold_name(number)).stat().st_size for number in range(files.COLD_FILES)]
    assert sizes == files.cold_sizes()
    assert min(sizes) >= files.COLD_LEAST and max(sizes) <= files.COLD_MOST
    assert 30 * files.MIB < sum(sizes) < 60 * files.MIB
    files.make(place)
    files.evict(place.files)
    assert made == {path.relative_to(place.files): path.stat().st_mtime_ns for path in place.files.rglob("*.bin")}
