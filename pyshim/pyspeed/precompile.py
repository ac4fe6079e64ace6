"""Compiles the package in a child process, while the worker already starts.

In: the zip that Python was started with. Out: compiled modules, for the import system. Runs on the
main thread, before there is any other; the child is gone before anything is served.

A zip in memory has no cache of compiled modules. Compiling takes far more memory than what it
makes, and malloc would keep most of that for good, some 1.4 MB in each worker; the child's goes with
the child. And on another core it compiles while the application is being imported.
"""

from __future__ import annotations

import marshal
import os
import sys
from _thread import allocate_lock
from zipimport import zipimporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import SIG_IGN, SIGINT, SIGKILL, signal
    from types import CodeType
    from typing import Callable, Dict
else:
    from _signal import SIG_IGN, SIGINT, SIGKILL, signal

# In the order in which they are wanted.
_MODULES = (
    *("worker", "loader", "control", "records", "tracebacks"),
    *("wsgi", "connection", "habits", "threads", "long_requests", "computing", "runner", "wsgi_io", "hooks"),
    *("asgi", "asgi_connection", "asgi_http", "exchange", "lifespan"),
    *("tornado_worker", "tornado_http", "tornado_answer"),
)
_INHERITED = (3, 4, 5)  # the worker's sockets and marks


def begin(loader: object) -> Callable[[], None]:
    """Start to compile, where that is worth it; returns what to call when all is imported.

    ``loader`` is that of the module ``__main__``.
    """
    # Python 3.9's import does not ask zipimporter.get_code; and a folder has its __pycache__.
    if sys.platform != "linux" or sys.version_info < (3, 10) or type(loader) is not zipimporter:
        return lambda: None
    if len(os.listdir("/proc/self/task")) > 1 or "gevent.monkey" in sys.modules:
        # A sitecustomize has started threads; in a forked child their locks might stay locked. Or it has
        # patched os.fork and os.waitpid, and who waits for the child then is gevent's hub, which does not run yet.
        return lambda: None
    package = os.path.join(loader.archive, "pyspeed")
    importer = _Importer(package)
    sys.path_importer_cache[package] = importer
    importer.begin()
    return importer.finish


class _Importer(zipimporter):
    """The package's own importer, except that the child compiles. What the child does not give is compiled here."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._modules = ("zygote", *_MODULES) if sys.argv[1:] == ["zygote"] else _MODULES
        self._codes: Dict[str, CodeType] = {}
        self._child = 0  # process id; 0: not started, or gone
        self._receiving = allocate_lock()
        self._reader = -1

    def begin(self) -> None:
        """Start the child."""
        self._reader, writer = os.pipe()
        try:
            self._child = os.fork()
        except OSError:  # the system has no more processes for us
            os.close(self._reader)
            os.close(writer)
            return
        if self._child == 0:
            try:
                self._compile(writer)
            finally:
                os._exit(0)
        os.close(writer)

    def _compile(self, writer: int) -> None:
        """Write the code of every module. In the child."""
        for fd in _INHERITED:
            # The gateway must see the worker's end as soon as it comes.
            os.close(fd)
        os.close(self._reader)
        signal(SIGINT, SIG_IGN)  # a terminal's Ctrl-C is for the gateway
        with open(writer, "wb", buffering=0) as pipe:
            for name in self._modules:
                data = marshal.dumps((name, super().get_code(name)))
                pipe.write(len(data).to_bytes(4, "big") + data)

    def get_code(self, fullname: str) -> CodeType:
        """The module's code."""
        name = fullname.rpartition(".")[2]
        if name in self._modules:
            # The control thread imports too, when the gateway asks for what needs it.
            with self._receiving:
                while self._child and name not in self._codes:
                    if not self._receive():
                        self._end()
                code = self._codes.pop(name, None)
            if code is not None:
                return code
        return super().get_code(fullname)

    def get_filename(self, fullname: str) -> str:
        """The module's file; zipimporter's own method compiles the module to find that out."""
        path = os.path.join(self.archive, self.prefix + fullname.rpartition(".")[2])
        return os.path.join(path, "__init__.py") if self.is_package(fullname) else path + ".py"

    def _receive(self) -> bool:
        """Take one module from the child; False when there is none any more."""
        length = int.from_bytes(self._read(4), "big")
        data = self._read(length)
        if not length or len(data) < length:
            return False
        name, code = marshal.loads(data)
        self._codes[name] = code
        return True

    def _read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = os.read(self._reader, length - len(data))
            if not more:
                break
            data += more
        return data

    def finish(self) -> None:
        """End the child: what is not compiled by now is not wanted."""
        with self._receiving:
            self._end()

    def _end(self) -> None:
        child, self._child = self._child, 0
        self._codes.clear()
        if child:
            os.close(self._reader)
            try:
                os.kill(child, SIGKILL)
                os.waitpid(child, 0)
            except (ProcessLookupError, ChildProcessError):
                pass  # the application has waited for it
