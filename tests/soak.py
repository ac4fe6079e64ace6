"""Mixed traffic for minutes, with clients that vanish, reloads and dying workers: nothing may grow. ``make soak``.

Prints what the gateway and its workers hold, and at the end the slopes; exit code 1 when an answer was wrong or one
of the slopes is not near zero.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from conftest import shop_spec
from harness import crowd, processes
from harness.client import Address
from harness.load import Load
from harness.server import Server
from harness.vitals import Vitals, metric, slope, vitals
from harness.waiting import eventually
from harness.wire import FramingError

# What may grow in a minute, by the line through the samples after the first fifth of the time.
MOST = {"goroutines": 1.0, "descriptors": 1.0, "rss": 512 * 1024, "workers": 1024 * 1024}
EVERY = 5.0  # seconds between samples
UPHEAVAL = 20.0  # seconds between reloads and kills, in turn


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--shop", default="flask")
    parser.add_argument("--edge", default="netpoll")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server.start(shop_spec(arguments.shop, arguments.edge, Path(folder), workers=2), Path(folder))
        try:
            return soak(server, arguments.minutes * 60)
        finally:
            server.stop()


def soak(server: Server, seconds: float) -> int:
    samples: list[tuple[float, Vitals, int]] = []
    began = time.monotonic()
    stop = threading.Event()

    def upheaval() -> None:
        turn = 0
        while not stop.wait(UPHEAVAL):
            turn += 1
            if turn % 2:
                server.process.send_signal(signal.SIGHUP)
            else:
                os.kill(server.workers()[0], signal.SIGKILL)

    with ExitStack() as stack:
        stack.enter_context(
            crowd.nuisances(
                server.address,
                persistent(crowd.stops_reading),
                persistent(crowd.reads_slowly),
                persistent(crowd.vanishes_inside_request),
                persistent(crowd.vanishes_inside_answer),
            )
        )
        load = stack.enter_context(Load(server.address, "soak", clients=24, rest=0))
        thread = threading.Thread(target=upheaval)
        thread.start()
        stack.callback(thread.join)
        stack.callback(stop.set)
        while time.monotonic() - began < seconds:
            stop.wait(EVERY)
            held = vitals(server)
            workers = sum(resident(pid) for pid in server.workers())
            samples.append((time.monotonic() - began, held, workers))
            print(
                f"{samples[-1][0]:6.0f} s  {load.done:9} requests  {held.goroutines:4} goroutines  "
                f"{held.descriptors:4} descriptors  {held.rss / 2**20:6.1f} MiB  workers {workers / 2**20:6.1f} MiB",
                flush=True,
            )
    wrong = [f"{outcome}" for outcome in load.failed() if outcome.status != 502 and not outcome.was_cut]
    killed = metric(server, 'pyspeed_failures_total{kind="worker_died"}')
    if len(load.failed()) > killed:
        wrong.append(f"{len(load.failed())} requests failed, {killed:.0f} of them because a worker was killed")
    eventually(lambda: vitals(server).goroutines <= samples[0][1].goroutines + 3, "goroutines end with the load")
    later = [sample for sample in samples if sample[0] > seconds / 5]
    minutes = [at / 60 for at, _, _ in later]
    series = {
        "goroutines": [float(held.goroutines) for _, held, _ in later],
        "descriptors": [float(held.descriptors) for _, held, _ in later],
        "rss": [float(held.rss) for _, held, _ in later],
        "workers": [float(workers) for _, _, workers in later],
    }
    for name, values in series.items():
        rise = slope(minutes, values)
        print(f"{name}: {rise:+.2f} a minute, {MOST[name]:.0f} is the most")
        if rise > MOST[name]:
            wrong.append(f"{name} grow by {rise:.2f} a minute")
    print(f"{load.done} requests, {len(load.failed())} failed with {killed:.0f} on killed workers")
    for line in wrong:
        print("WRONG: " + line)
    return 1 if wrong else 0


def persistent(kind: crowd.Nuisance) -> crowd.Nuisance:
    """Goes on with a new connection when its answer was cut, as those of killed workers are."""

    def again(address: Address, stop: threading.Event) -> None:
        while not stop.is_set():
            with suppress(FramingError, OSError):
                kind(address, stop)

    return again


def resident(pid: int) -> int:
    try:
        return processes.rss(pid)
    except (OSError, LookupError):
        return 0  # it has ended


if __name__ == "__main__":
    sys.exit(main())
