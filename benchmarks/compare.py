#!/usr/bin/env python3
"""Compares pyspeed-gw with granian, uvicorn and gunicorn; benchmarks/README.md says how."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from runner import goals, machine, report
from runner.cells import CELLS, OURS, Cell, select
from runner.measure import (
    WARM_UP_SECONDS,
    WRK_GRACE_SECONDS,
    Round,
    describe_errors,
    measure,
    round_of,
)
from runner.servers import (
    START_SECONDS,
    STOP_SECONDS,
    Place,
    StartError,
    free_work_directory,
    running,
)

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MINIMUM_PYTHON = (3, 10)  # of the peers; this file itself runs on 3.9
TYPICAL_START_AND_STOP = 1.5  # seconds


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--setup", action="store_true", help="create the environment with the peers, and stop")
    p.add_argument("--python", default=sys.executable, help="the Python that --setup builds the environment from")
    p.add_argument("--list", action="store_true", help="print the cells, and stop")
    p.add_argument("--cells", metavar="A,B", help="cells to run, instead of all")
    p.add_argument("--rounds", type=positive, help="rounds per cell (default: 7; --short: 3)")
    p.add_argument("--seconds", type=positive, help="seconds of load per round (default: 4; --short: 2)")
    p.add_argument("--short", action="store_true", help="the main cells, 3 rounds of 2 s")
    p.add_argument("--only-peers", action="store_true", help="leave pyspeed-gw out")
    p.add_argument(
        "--ours-only", metavar="CELL", help="serve one cell with pyspeed-gw alone, for a profiler; saves nothing"
    )
    p.add_argument("--thresholds", action="store_true", help="compare with the project's goals")
    p.add_argument("--strict", action="store_true", help="with --thresholds: exit 1 unless every goal is met")
    p.add_argument(
        "--from", dest="source", type=Path, metavar="JSON", help="report an earlier run again; measures nothing"
    )
    p.add_argument("--venv", type=Path, default=HERE / ".venv", help="environment with the peers")
    p.add_argument("--binary", type=Path, default=ROOT / "bin/pyspeed-gw", help="the pyspeed-gw to measure")
    p.add_argument("--output", type=Path, default=HERE / "results", help="where the results go")
    p.add_argument("--server-cores", default="1", help="for taskset -c; the whole tree of a server")
    p.add_argument("--load-cores", default="0", help="for taskset -c; wrk")
    return p


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def setup(venv: Path, python: str) -> int:
    """Creates the environment and installs the pinned peers into it."""
    version = subprocess.run(
        [python, "-c", "import sys; print(*sys.version_info[:2])"], stdout=subprocess.PIPE, check=True
    ).stdout.split()
    if tuple(int(part) for part in version) < MINIMUM_PYTHON:
        print("cannot set up: the peers need Python 3.10 or later; name one with --python", file=sys.stderr)
        return 2
    if not (venv / "bin/python").exists():
        subprocess.run([python, "-m", "venv", str(venv)], check=True)
    subprocess.run(
        [str(venv / "bin/python"), "-m", "pip", "install", "-q", "-r", str(HERE / "requirements.txt")], check=True
    )
    print(f"the environment is ready: {venv}")
    return 0


def check(args: argparse.Namespace) -> str:
    """What stands in the way of a run, or ""."""
    for tool, package in (("wrk", "wrk"), ("taskset", "util-linux")):
        if shutil.which(tool) is None:
            return f"cannot run: there is no {tool}; install the package {package}"
    if not (args.venv / "bin/python").exists():
        return f"cannot run: there is no environment at {args.venv}; run {Path(sys.argv[0]).name} --setup"
    usable = os.sched_getaffinity(0)
    for option in ("server_cores", "load_cores"):
        command = ["taskset", "-c", getattr(args, option), "true"]
        if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode:
            name = option.replace("_", "-")
            return f"cannot run: taskset refuses --{name} {getattr(args, option)}; usable CPUs are {sorted(usable)}"
    return ""


def duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def bounds(cells: list[Cell], rounds: int, seconds: int, only_peers: bool) -> tuple[float, float]:
    """Seconds that a run should take, and cannot exceed."""
    measurements = rounds * sum(len(cell.peers) + (not only_peers) for cell in cells)
    load = WARM_UP_SECONDS + seconds
    return measurements * (load + TYPICAL_START_AND_STOP), measurements * (
        load + START_SECONDS + STOP_SECONDS + 2 * WRK_GRACE_SECONDS
    )


def progress(r: Round, rounds: int) -> str:
    head = f"{r.cell:22s} round {r.number}/{rounds}  {r.server:22s}"
    if r.failure:
        return f"{head} FAILED: {r.failure}"
    errors = f"  ERRORS: {describe_errors(r.errors)}" if r.error_count else ""
    noted = f"  ({'; '.join(r.notes)})" if r.notes else ""
    latency = (
        f"p50 {r.p50_us / 1e3:7.2f}  p99 {r.p99_us / 1e3:7.2f}  p99.9 {r.p999_us / 1e3:7.2f} ms  " if r.max_us else ""
    )
    return f"{head} {r.rps:9,.0f} req/s  {r.cpu_us:7.1f} µs CPU  {latency}{r.pss_kb / 1024:6.1f} MB{errors}{noted}"


def run_cell(place: Place, cell: Cell, servers: list[str], rounds: int, seconds: int, results: report.Results) -> None:
    """All rounds of one cell, the servers taking turns. A server that failed twice is not started again."""
    for number in range(1, rounds + 1):
        for name in servers:
            before = [r for r in results.of(cell.name, name) if r.failure]
            if len(before) >= 2:
                result = Round(cell.name, name, number, failure=before[-1].failure)
            else:
                result = round_of(place, cell, name, number, seconds)
            results.rounds.append(result)
            print(progress(result, rounds), flush=True)


def profile(place: Place, name: str, rounds: int, seconds: int) -> int:
    """One server, started once, under `rounds` times `seconds` of load, with what a profiler needs to find it."""
    (cell,) = select(name, short=False)
    try:
        with running(OURS, place, cell) as server:
            pids = " ".join(str(stat.pid) for stat in server.tree.stats())
            print(
                f"{' '.join(server.command)}\nprocesses {pids}; admin at http://127.0.0.1:{server.ports.admin}/",
                flush=True,
            )
            for number in range(1, rounds + 1):
                print(progress(measure(place, cell, server, number, seconds, warm_up=number == 1), rounds), flush=True)
    except StartError as error:
        print(error, *error.tail, sep="\n", file=sys.stderr)
        return 1
    return 0


def finish(results: report.Results, cells: list[Cell], args: argparse.Namespace, path: Path | None) -> int:
    """Prints and saves the report; the exit code is 0 unless --strict finds a goal missed."""
    text = report.markdown(results, cells)
    verdicts = [verdict for cell in cells for verdict in goals.judge(cell, results)] if args.thresholds else []
    if args.thresholds:
        text += "\n" + goals.markdown(verdicts)
    print("\n" + text)
    if path is not None:
        path.with_suffix(".md").write_text(text, encoding="utf-8")
        report.save(results, path)
        print(f"saved {path} and {path.with_suffix('.md').name}")
    return int(args.strict and any(verdict.outcome != goals.MET for verdict in verdicts))


def terminated(number: int, frame: FrameType | None) -> None:
    """TERM and HUP end a run as Ctrl-C does: every server that was started is ended on the way out."""
    raise KeyboardInterrupt


def main() -> int:
    args = parser().parse_args()
    # Made absolute, but not resolved: the Python of an environment is a link that must not be followed.
    args.venv, args.binary = Path(os.path.abspath(args.venv)), Path(os.path.abspath(args.binary))
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, terminated)
    if args.setup:
        return setup(args.venv, args.python)
    if args.list:
        for cell in CELLS:
            print(f"{cell.name:22s} {cell.app:16s} c{cell.connections:<5d} {', '.join(cell.servers)}")
        return 0
    if args.source is not None:
        try:
            results = report.load(args.source)
        except (OSError, ValueError) as error:
            print(error, file=sys.stderr)
            return 2
        measured = {r.cell for r in results.rounds}
        return finish(results, [cell for cell in CELLS if cell.name in measured], args, None)
    wrong = check(args)
    if wrong:
        print(wrong, file=sys.stderr)
        return 2
    rounds = args.rounds or (3 if args.short else 7)
    seconds = args.seconds or (2 if args.short else 4)
    with free_work_directory() as work:
        place = Place(
            args.venv, args.binary, HERE / "apps", HERE / "wrk", Path(work), args.server_cores, args.load_cores
        )
        try:
            if args.ours_only:
                return profile(place, args.ours_only, rounds, seconds)
            cells = select(args.cells, args.short)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            return 130
        return compare(place, cells, rounds, seconds, args)


def compare(place: Place, cells: list[Cell], rounds: int, seconds: int, args: argparse.Namespace) -> int:
    expected, longest = bounds(cells, rounds, seconds, args.only_peers)
    print(
        f"{len(cells)} cells, {rounds} rounds, {seconds} s each: "
        f"about {duration(expected)}, at most {duration(longest)}",
        flush=True,
    )
    settings = {
        "rounds": f"{rounds} of {seconds} s, after {WARM_UP_SECONDS} s of warm-up",
        "access log": f"{OURS}: combined, to a file, and metrics and admin listener on; peers: none",
    }
    facts = machine.describe(place.venv, place.binary, ROOT, place.server_cores, place.load_cores)
    results = report.Results(facts, settings, [])
    args.output.mkdir(parents=True, exist_ok=True)
    path = args.output / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.json"
    started = time.monotonic()
    try:
        for cell in cells:
            servers = [name for name in cell.servers if name != OURS or not args.only_peers]
            run_cell(place, cell, servers, rounds, seconds, results)
            report.save(results, path)
    except KeyboardInterrupt:
        results.interrupted = True
        print("interrupted; every server that was started has ended", file=sys.stderr)
    results.settings["took"] = duration(time.monotonic() - started)
    if not results.rounds:
        return 130
    code = finish(results, cells, args, path)
    return 130 if results.interrupted else code


if __name__ == "__main__":
    sys.exit(main())
