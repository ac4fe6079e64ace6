"""python benchmarks/reload/run.py: see README.md beside it."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from runner.machine import describe  # noqa: E402

from reload.measure import NoAnswer, edits  # noqa: E402
from reload.report import render  # noqa: E402
from reload.servers import APPS, REPOSITORY, SERVERS  # noqa: E402

VENV = HERE.parent / ".venv" / "reload"
DISTRIBUTIONS = ("flask", "werkzeug", "fastapi", "uvicorn", "granian", "watchfiles", "watchdog")


def setup() -> int:
    """Makes the environment of the peers."""
    python = VENV / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return subprocess.run([*command, "-r", str(HERE / "requirements.txt")], check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description="From a saved edit to its answer, ours beside others.")
    parser.add_argument("--setup", action="store_true", help="install the peers")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--edits", type=int, default=3, help="edits of a round")
    parser.add_argument("--apps", default=",".join(APPS), help="which applications")
    parser.add_argument("--servers", default="", help="only those whose names contain one of these words")
    parser.add_argument("--binary", type=Path, default=REPOSITORY / "bin" / "pyspeed-gw")
    parser.add_argument("--out", type=Path, default=HERE.parent / "results", help="folder of the report; - for none")
    given = parser.parse_args()
    if given.setup:
        return setup()
    python = VENV / "bin" / "python"
    if not python.exists() or not given.binary.exists():
        print(f"cannot run: {python} or {given.binary} is missing; run.py --setup, make build", file=sys.stderr)
        return 2
    words = [word for word in given.servers.split(",") if word]
    chosen = [server for server in SERVERS if not words or any(word in server.name for word in words)]
    # By application, then server: of each round its median, or why there is none.
    medians: dict[str, dict[str, list[float | str]]] = {}
    began = datetime.datetime.now(datetime.timezone.utc)
    machine = about(python, given.binary)
    loads = [os.getloadavg()[0]]
    for round_number in range(given.rounds):
        for name in given.apps.split(","):
            asked = [server for server in chosen if name in server.apps]
            first = round_number % len(asked)
            for server in asked[first:] + asked[:first]:
                figures = medians.setdefault(name, {}).setdefault(server.name, [])
                try:
                    times = edits(server, APPS[name], str(python), given.binary, given.edits, round_number)
                    figures.append(statistics.median(times))
                    said = " ".join(f"{1000 * seconds:.0f}" for seconds in times) + " ms"
                except NoAnswer as error:
                    figures.append(str(error))
                    said = str(error)
                print(f"round {round_number + 1}, {name}, {server.name}: {said}", flush=True)
        loads.append(os.getloadavg()[0])
    later = ", ".join(f"{load:.1f}" for load in loads[1:])
    machine["load average"] = f"{loads[0]:.1f} at the start, then after each round: {later}"
    result = {
        "began": began.isoformat(timespec="seconds"),
        "rounds": given.rounds,
        "edits": given.edits,
        "machine": machine,
        "medians": medians,
    }
    report = render(result)
    print(report)
    if str(given.out) != "-":
        stem = given.out / f"{began:%Y%m%d-%H%M%S}-reload"
        stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        stem.with_suffix(".md").write_text(report, encoding="utf-8")
    return 0


def about(python: Path, binary: Path) -> dict[str, str]:
    """The machine, and what runs on it: of the general description what concerns this benchmark."""
    machine = describe(HERE.parent / ".venv", binary, REPOSITORY, "any", "any")
    kept = ("date", "CPU", "virtual machine", "memory", "kernel", "Go", "pyspeed-gw")
    found = {name: machine[name] for name in kept if name in machine}
    found["CPUs"] = f"{os.cpu_count()}, for everything"
    code = (
        "import importlib.metadata as m, platform, sys; print(platform.python_version(), *map(m.version, sys.argv[1:]))"
    )
    command = [str(python), "-c", code, *DISTRIBUTIONS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {**found, **dict(zip(("Python", *DISTRIBUTIONS), done.stdout.split()))}


if __name__ == "__main__":
    sys.exit(main())
