"""Runs both halves with the same input, checks that they give equal results, and writes the table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from runner import environments, machine

from . import inputs

SECONDS = 0.5  # for each way
# The ways of ours, that the others are divided by.
OURS = ("pyspeed-gw",)


class ComponentError(Exception):
    """A half could not be run."""


@dataclass(frozen=True)
class Line:
    """One way of doing one thing: nanoseconds per item, and a digest of the result."""

    component: str
    input: str
    way: str
    ns: float
    result: str


def read(output: str) -> list[Line]:
    """What a half printed. Raises ComponentError for anything else."""
    try:
        return [Line(**json.loads(text)) for text in output.splitlines() if text.strip()]
    except (ValueError, TypeError) as error:
        raise ComponentError(f"cannot read the figures of a component: {error}: {output[:200]}") from error


def unequal(lines: list[Line]) -> list[str]:
    """A sentence for each component and input whose ways do not give the same result."""
    found = []
    for component, given in dict.fromkeys((line.component, line.input) for line in lines):
        ways = [line for line in lines if (line.component, line.input) == (component, given)]
        wanted = next((line.result for line in ways if line.way.startswith(OURS)), ways[0].result)
        wrong = [line.way for line in ways if line.result != wanted]
        if wrong:
            found.append(f"{component}, {given}: {', '.join(wrong)} differs from ours")
    return found


def markdown(lines: list[Line], facts: dict[str, str]) -> str:
    """The table: nanoseconds per item, and how many times ours that is."""
    out = [
        "# Components",
        "",
        "Nanoseconds per item, median of five, one core; both sides worked on the same bytes, and gave equal results.",
        "What is called (C) or (Rust) is compiled, the rest of the peers' is Python. `benchmarks/README.md` says what",
        "each does and does not include.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in facts.items()),
        "",
        "| component | input | way | ns per item | times ours |",
        "|---|---|---|---|---|",
    ]
    for line in lines:
        same = [each for each in lines if (each.component, each.input) == (line.component, line.input)]
        base = next((each.ns for each in same if each.way.startswith(OURS)), 0.0)
        ratio = f"{line.ns / base:.1f}" if base else "-"
        out.append(f"| {line.component} | {line.input} | {line.way} | {line.ns:,.0f} | {ratio} |")
    out.append("")
    return "\n".join(out)


def ordered(lines: list[Line]) -> list[Line]:
    """By component and input as they first came, the fastest way first."""
    keys = list(dict.fromkeys((line.component, line.input) for line in lines))
    return sorted(lines, key=lambda line: (keys.index((line.component, line.input)), line.ns))


def _output(command: list[str], what: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, check=False)
    except OSError as error:
        raise ComponentError(f"cannot {what}: {error}") from error
    if done.returncode:
        tail = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise ComponentError(f"cannot {what}: {tail[-1]}")
    return done.stdout.decode()


def measure(venvs: Path, root: Path, core: str, seconds: float) -> list[Line]:
    """Both halves, one after the other, on one core. Raises ComponentError."""
    with tempfile.TemporaryDirectory(prefix="pyspeed-components-") as name:
        folder = Path(name)
        inputs.write(folder)
        program = folder / "components"
        _output(
            ["go", "build", "-tags", "sonic", "-o", str(program), "./benchmarks/components"], "build the Go half", root
        )
        pinned = ["taskset", "-c", core]
        go = _output([*pinned, str(program), name, str(seconds)], "run the Go half", root)
        env = {**os.environ, "PYTHONPATH": str(root / "pyshim"), "PYTHONDONTWRITEBYTECODE": "1"}
        python = [*pinned, str(venvs / "peers/bin/python"), "-m", "components.python_side", name, str(seconds)]
        return read(go) + read(_output(python, "run the Python half", root / "benchmarks", env))


def main(venvs: Path, output: Path, root: Path, core: str, seconds: float | None = None) -> int:
    """Measures, prints, and saves. 1 when results differ, 2 when it cannot run."""
    why = environments.status(venvs, "peers").get("")
    if why:
        print(f"cannot measure the components: {why}", file=sys.stderr)
        return 2
    try:
        lines = ordered(measure(venvs, root, core, seconds or SECONDS))
    except ComponentError as error:
        print(error, file=sys.stderr)
        return 2
    facts = machine.describe(venvs, root / "bin/pyspeed-gw", root, core, core)
    for name in ("CPUs", "wrk", "nginx"):
        facts.pop(name, None)
    text = markdown(lines, facts)
    wrong = unequal(lines)
    if wrong:
        text += "\n" + "\n".join(f"**UNEQUAL RESULTS: {each}**" for each in wrong) + "\n"
    output.mkdir(parents=True, exist_ok=True)
    path = output / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-components.json"
    data = {"machine": facts, "lines": [line.__dict__ for line in lines]}
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)
    print(f"saved: {path.with_suffix('.md')}, {path}", file=sys.stderr)
    return 1 if wrong else 0
