"""The database: one SQLite file that all workers share."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import tempfile

from pyramid.config import Configurator
from pyramid.request import Request

SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, price INTEGER NOT NULL, note TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS uploads (name TEXT PRIMARY KEY, size INTEGER NOT NULL, sha256 TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, order_id TEXT NOT NULL, status TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS nonces (nonce TEXT PRIMARY KEY, runs INTEGER NOT NULL);
"""

GOODS = ("bolt", "cog", "crank", "gasket", "lever", "pulley", "rivet", "spring", "valve", "washer")


def path() -> str:
    return os.environ.get("SHOP_DB") or os.path.join(tempfile.gettempdir(), "pyspeed-shop.sqlite3")


def connect() -> sqlite3.Connection:
    # Autocommit: every statement of this shop is a transaction of its own.
    connection = sqlite3.connect(path(), timeout=30, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA synchronous=NORMAL")
    # SQLite before 3.51.3 may lose rows when two connections write the log back at once: the last to close does it.
    connection.execute("PRAGMA wal_autocheckpoint=0")
    return connection


def prepare() -> None:
    """Create and seed the file once, however many workers start together."""
    with open(path() + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        connection = connect()
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(SCHEMA)
            if connection.execute("SELECT count(*) FROM items").fetchone()[0] == 0:
                connection.executemany(
                    "INSERT INTO items (name, price, note) VALUES (?, ?, ?)",
                    [(f"{GOODS[n % 10]} M{n}", 100 + 7 * n, "Größe wählbar ✓") for n in range(1, 101)],
                )
        finally:
            connection.close()


def of_request(request: Request) -> sqlite3.Connection:
    """What ``request.db`` is: opened when first asked for, closed when the request is over."""
    connection = connect()
    request.add_finished_callback(lambda _request: connection.close())
    return connection


def includeme(config: Configurator) -> None:
    prepare()
    config.add_request_method(of_request, "db", reify=True)
