#!/usr/bin/env python3
"""Compares pyspeed-gw with other servers of Python applications; benchmarks/README.md says how."""

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

from runner import discard, environments, goals, machine, report
from runner.cell import OURS, Cell, select
from runner.cells import CELLS
from runner.measure import Load, measure
from runner.place import Place, free_work_directory
from runner.plan import Unit, duration, fit, total, warm_up
from runner.results import Results, load, save
from runner.run import cells_of, plan_of, progress, run, units_of, without_failures
from runner.servers import StartError, running

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--setup", action="store_true", help="create the environments with the peers, and stop")
    p.add_argument("--python", default=sys.executable, help="the Python that --setup builds the environments from")
    p.add_argument("--list", action="store_true", help="print the cells, and stop")
    p.add_argument("--cells", metavar="A,B", help="cells to run, instead of all: names, globs (*-json), @frameworks")
    p.add_argument("--rounds", type=positive, help="rounds per cell (default: 7; --short: 3)")
    p.add_argument("--seconds", type=seconds, help="seconds of load per round (default: 4; --short: 1)")
    p.add_argument("--budget", type=seconds, metavar="MINUTES", help="choose rounds and seconds that fit")
    p.add_argument("--short", action="store_true", help="the main cells, two peers each, 3 rounds of 1 s")
    p.add_argument("--resume", nargs="?", const="", metavar="JSON", help="go on with a run: the newest, or this one")
    p.add_argument(
        "--go-on", action="store_true", help="resume the newest run if it is this one, interrupted; else begin"
    )
    p.add_argument("--retry-failed", action="store_true", help="with --resume: also what failed before")
    p.add_argument("--plan", action="store_true", help="say what would run and how long it takes, and stop")
    p.add_argument("--only-peers", action="store_true", help="leave pyspeed-gw out")
    p.add_argument(
        "--ours-only", metavar="CELL", help="serve one cell with pyspeed-gw alone, for a profiler; saves nothing"
    )
    p.add_argument("--components", action="store_true", help="measure the components instead of servers")
    p.add_argument("--thresholds", action="store_true", help="compare with the project's goals")
    p.add_argument("--strict", action="store_true", help="with --thresholds: exit 1 unless every goal is met")
    p.add_argument(
        "--from", dest="source", type=Path, metavar="JSON", help="report an earlier run again; measures nothing"
    )
    p.add_argument("--venvs", type=Path, default=HERE / ".venv", help="folder of the environments with the peers")
    p.add_argument("--binary", type=Path, default=ROOT / "bin/pyspeed-gw", help="the pyspeed-gw to measure")
    p.add_argument("--output", type=Path, default=HERE / "results", help="where the results go")
    p.add_argument("--server-cores", default="1", help="for taskset -c; the whole tree of a server")
    p.add_argument("--load-cores", default="0", help="for taskset -c; the load")
    return p


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def seconds(text: str) -> float:
    number = float(text)
    if not 0.1 <= number < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is less than 0.1, or no number")
    return number


def check(args: argparse.Namespace) -> str:
    """What stands in the way of a run, or ""."""
    for tool in ("wrk", "taskset"):
        if shutil.which(tool) is None:
            return f"cannot run: there is no {tool}; Debian: apt install {environments.PACKAGES[tool]}"
    if not environments.status_path(args.venvs, "peers").exists():
        return f"cannot run: there is no environment at {args.venvs}; run {Path(sys.argv[0]).name} --setup"
    usable = os.sched_getaffinity(0)
    for option in ("server_cores", "load_cores"):
        command = ["taskset", "-c", getattr(args, option), "true"]
        if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode:
            name = option.replace("_", "-")
            return f"cannot run: taskset refuses --{name} {getattr(args, option)}; usable CPUs are {sorted(usable)}"
    return ""


def profile(place: Place, name: str, rounds: int, load: Load) -> int:
    """One server, started once, under `rounds` times the load, with what a profiler needs to find it."""
    cell = select(CELLS, name)[0]
    build_load(place, [cell], {})
    try:
        with running(OURS, place, cell) as server:
            pids = " ".join(str(stat.pid) for stat in server.tree.stats())
            print(
                f"{' '.join(server.commands[0])}\nprocesses {pids}; admin at http://127.0.0.1:{server.ports.admin}/",
                flush=True,
            )
            for number in range(1, rounds + 1):
                each = Load(load.seconds, load.warm_up if number == 1 else 0.0)
                print(progress(measure(place, cell, server, number, each), rounds), flush=True)
    except StartError as error:
        print(error, *error.tail, sep="\n", file=sys.stderr)
        return 1
    return 0


def build_load(place: Place, cells: list[Cell], settings: dict[str, str]) -> None:
    """Builds what makes the load of some cells. Without it they fail, and the settings say why."""
    if any(cell.load == "discard" for cell in cells):
        why = discard.make(place)
        if why:
            settings["discard"] = f"not built: {why}"
            print(f"cannot build benchmarks/discard, so its cells fail: {why}", file=sys.stderr)
        else:
            settings.pop("discard", None)


def plots(venvs: Path, path: Path) -> tuple[list[tuple[str, str]], str]:
    """Draws the plots of a results file beside it. Their titles and paths, and what went wrong, or ""."""
    folder = path.with_suffix("")
    why = environments.missing(venvs, "peers", "matplotlib")
    if why:
        return [], why
    done = subprocess.run(
        [str(venvs / "peers/bin/python"), "-m", "runner.plots", str(path.resolve()), str(folder.resolve())],
        cwd=HERE,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        return [], (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
    lines = [line.partition("\t") for line in done.stdout.decode().splitlines()]
    return [(title, f"{folder.name}/{name}") for title, _, name in lines], ""


def finish(results: Results, cells: list[Cell], args: argparse.Namespace, path: Path | None) -> int:
    """Prints and saves the report; the exit code is 0 unless --strict finds a goal missed."""
    drawn: list[tuple[str, str]] = []
    if path:
        drawn, why = plots(args.venvs, path)
        if why:
            results.settings["plots"] = f"none: {why}"
        save(results, path)
    text = report.markdown(results, cells, drawn)
    verdicts = [verdict for cell in cells for verdict in goals.judge(cell, results)]
    if args.thresholds:
        text += "\n" + goals.markdown(verdicts)
    if path:
        path.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)
    if path:
        print(f"saved: {path.with_suffix('.md')}, {path}", file=sys.stderr)
    missed = any(verdict.outcome != goals.MET for verdict in verdicts)
    return 1 if args.thresholds and args.strict and missed else 0


def interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def begin(args: argparse.Namespace) -> Results:
    """A new run's plan, without rounds. Raises ValueError for what cannot be planned."""
    cells = cells_of(args.cells, args.short)
    if args.budget:
        rounds, wanted = fit(cells, args.budget, args.rounds, args.only_peers)
    else:
        rounds = args.rounds or (3 if args.short else 7)
        length = args.seconds or (1.0 if args.short else 4.0)
        wanted = Load(length, warm_up(length))
    plan = plan_of(args.cells, args.short, args.only_peers, rounds, wanted)
    settings = {
        "rounds": f"{rounds} of {wanted.seconds:g} s, after {wanted.warm_up:g} s of warm-up",
        "access log": f"{OURS}: combined, to a file, and metrics and admin listener on; peers: none",
    }
    return Results({}, settings, [], plan=plan)


def resume(args: argparse.Namespace) -> tuple[Results, Path]:
    """The run to go on with. Raises ValueError or OSError."""
    path = Path(args.resume) if args.resume else newest(args.output)
    results = load(path)
    if args.retry_failed:
        without_failures(results)
    return results, path


def same_run(args: argparse.Namespace) -> Path | None:
    """The newest results, if they are an interrupted run of the cells that are asked for."""
    try:
        path = newest(args.output)
        results = load(path)
    except (ValueError, OSError):
        return None
    wanted = {"cells": args.cells, "short": args.short, "only_peers": args.only_peers}
    same = all(results.plan.get(name) == value for name, value in wanted.items())
    return path if results.interrupted and same else None


def newest(folder: Path) -> Path:
    files = sorted(path for path in folder.glob("*.json") if not path.stem.endswith("-components"))
    if not files:
        raise ValueError(f"cannot resume: there are no results in {folder}")
    return files[-1]


def describe(every: list[Unit], wanted: Load, cells: list[Cell], rounds: int) -> str:
    longest = sum(unit.longest(wanted) for unit in every)
    return (
        f"{len(cells)} cells, {rounds} rounds of {wanted.seconds:g} s after {wanted.warm_up:g} s of warm-up, "
        f"{len(every)} starts: about {duration(total(every, wanted))}, at most {duration(longest)}"
    )


def compare(args: argparse.Namespace, work: Path) -> int:
    place = Place(args.venvs, args.binary, ROOT, HERE / "wrk", work, args.server_cores, args.load_cores)
    if args.ours_only:
        length = args.seconds or 4.0
        return profile(place, args.ours_only, args.rounds or 7, Load(length, warm_up(length)))
    unfinished = same_run(args) if args.go_on else None
    if unfinished:
        args.resume = str(unfinished)
        print(f"going on with {unfinished}")
    if args.resume is None:
        results, path = begin(args), args.output / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.json"
    else:
        results, path = resume(args)
    cells, every, wanted = units_of(results.plan)
    print(describe(every, wanted, cells, int(results.plan["rounds"])), flush=True)
    if args.plan:
        return 0
    wrong = check(args)
    if wrong:
        raise ValueError(wrong)
    facts = machine.describe(args.venvs, args.binary, ROOT, args.server_cores, args.load_cores)
    if results.machine:
        changed = [name for name in ("pyspeed-gw", "CPU", "kernel") if results.machine.get(name) != facts[name]]
        also = f", with another {' and '.join(changed)}: {', '.join(facts[n] for n in changed)}" if changed else ""
        before = results.settings.get("resumed", "")
        results.settings["resumed"] = f"{before + '; ' if before else ''}{facts['date']}{also}"
    else:
        results.machine = facts
    args.output.mkdir(parents=True, exist_ok=True)
    build_load(place, cells, results.settings)
    began = time.monotonic()
    run(place, results, path)
    took = float(results.plan.get("took", 0.0)) + time.monotonic() - began
    results.plan["took"] = took
    results.settings["took"] = duration(took)
    if not results.rounds:
        return 130
    code = finish(results, cells, args, path)
    return 130 if results.interrupted else code


def again(args: argparse.Namespace) -> int:
    """Reports an earlier run."""
    results = load(args.source)
    measured = {r.cell for r in results.rounds}
    return finish(results, [cell for cell in CELLS if cell.name in measured], args, None)


def main() -> int:
    args = parser().parse_args()
    # Servers run in the folder of their application.
    args.binary, args.venvs = args.binary.absolute(), args.venvs.absolute()
    signal.signal(signal.SIGTERM, interrupt)
    if args.list:
        for cell in CELLS:
            print(f"{cell.name:24s} {report.described(cell)} Peers: {', '.join(cell.peers)}.")
        return 0
    try:
        if args.setup:
            return environments.setup(args.venvs, args.python)
        if args.source:
            return again(args)
        if args.components:
            from components.compare import main as components

            return components(args.venvs, args.output, ROOT, args.server_cores, args.seconds)
        with free_work_directory() as work:
            return compare(args, Path(work))
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
