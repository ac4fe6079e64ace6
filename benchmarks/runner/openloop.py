"""The load of overload.py: requests at a fixed rate, whether or not those before were answered. A program by itself:

    python openloop.py PORT PATH RATE SECONDS UNCOUNTED PATIENCE

What is answered after UNCOUNTED seconds and before SECONDS counts as requests; the latencies are those of all good
answers to what was asked then. Whoever has no answer PATIENCE seconds after the end is a timeout. Prints a line as
wrk/report.lua does, with `refused` (503 with Retry-After) beside the errors; other answers than that and 200 are errors
of status.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter


class Client(asyncio.Protocol):
    """One connection, kept from request to request."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.buffer = b""
        self.asked = 0.0  # when; 0: nothing is under way
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, at: float) -> None:
        assert self.transport is not None
        self.asked = at
        self.transport.write(self.load.text)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, end, body = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return
        lines = head.lower().split(b"\r\n")
        fields = dict(line.split(b":", 1) for line in lines[1:] if b":" in line)
        if len(body) < int(fields.get(b"content-length", b"0")):
            return
        self.buffer = b""
        asked, self.asked = self.asked, 0.0
        self.load.answered(asked, int(lines[0].split()[1]), b"retry-after" in fields)
        if fields.get(b"connection", b"").strip() == b"close":
            assert self.transport is not None
            self.transport.close()
        else:
            self.load.idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self.load.idle:
            self.load.idle.remove(self)
        if self.asked:
            self.asked = 0.0
            self.load.failed("read")


class Load:
    def __init__(self, port: int, path: str, rate: float, seconds: float, uncounted: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.port, self.rate, self.seconds = port, rate, seconds
        self.text = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        self.idle: list[Client] = []
        self.began = self.loop.time()
        self.uncounted = uncounted
        self.latencies: list[float] = []
        self.requests = self.refused = self.under_way = 0
        self.errors: Counter[str] = Counter()
        self.tasks: set[asyncio.Task[None]] = set()

    def answered(self, asked: float, status: int, retry: bool) -> None:
        self.under_way -= 1
        now = self.loop.time()
        if status == 200:
            self.requests += self.uncounted <= now - self.began < self.seconds
            if asked - self.began >= self.uncounted:
                self.latencies.append(now - asked)
        elif status == 503 and retry:
            self.refused += 1
        else:
            self.errors["status"] += 1

    def failed(self, kind: str) -> None:
        self.under_way -= 1
        self.errors[kind] += 1

    async def connect(self, at: float) -> None:
        try:
            _, client = await self.loop.create_connection(lambda: Client(self), "127.0.0.1", self.port)
        except OSError:
            self.failed("connect")
            return
        client.ask(at)

    async def run(self, patience: float) -> None:
        for number in range(int(self.rate * self.seconds)):
            # Latencies count from when it was due: that the load was late is no excuse.
            due = self.began + number / self.rate
            wait = due - self.loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            self.under_way += 1
            if self.idle:
                self.idle.pop().ask(due)
                continue
            task = asyncio.create_task(self.connect(due))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        end = self.loop.time() + patience
        while self.under_way and self.loop.time() < end:
            await asyncio.sleep(0.05)
        self.errors["timeout"] += self.under_way

    def line(self) -> str:
        times = sorted(self.latencies) or [0.0]

        def at(share: float) -> int:
            return int(1e6 * times[min(len(times) - 1, int(len(times) * share))])

        percentiles = {"p50_us": at(0.5), "p90_us": at(0.9), "p99_us": at(0.99), "p999_us": at(0.999), "max_us": at(1)}
        errors = {kind: self.errors[kind] for kind in ("connect", "read", "write", "timeout", "status")}
        duration = int(1e6 * (self.seconds - self.uncounted))
        counted = {"requests": self.requests, "duration_us": duration, "bytes": 0, "refused": self.refused}
        return "WRK " + json.dumps({**counted, **errors, **percentiles})


async def main(port: str, path: str, *numbers: str) -> None:
    rate, seconds, uncounted, patience = map(float, numbers)
    load = Load(int(port), path, rate, seconds, uncounted)
    await load.run(patience)
    print(load.line())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
