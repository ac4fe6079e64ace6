"""The virtual environments that the servers run in, and what could not be installed into them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent

# Debian's packages of programs that pip does not install.
PACKAGES = {"nginx": "nginx-light", "wrk": "wrk", "taskset": "util-linux"}


@dataclass(frozen=True)
class Environment:
    """`optional` are pinned distributions that may fail to install: the report then says so, and why."""

    minimum: tuple[int, int]
    optional: tuple[str, ...]
    why: str


ENVIRONMENTS = {
    "peers": Environment(
        (3, 10),
        ("uWSGI==2.0.31", "fastpysgi==0.6", "bjoern==3.2.2", "matplotlib==3.11.2"),
        "what the newest FastAPI and granian ask for",
    ),
    "newer": Environment((3, 12), ("caddysnake==0.6.4",), "caddysnake has wheels for no older one"),
}


def version_of(python: str) -> tuple[int, int] | None:
    """Major and minor version of an interpreter; None when it does not run."""
    code = "import sys; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
        major, minor = done.stdout.split()
        return int(major), int(minor)
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None


def known_pythons() -> list[str]:
    """The interpreters of this machine, the newest first."""
    try:
        done = subprocess.run([str(HERE.parent / ".ci/pythons")], stdout=subprocess.PIPE, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return done.stdout.decode().split()[::-1]


def choose(
    minimum: tuple[int, int],
    preferred: str,
    others: Callable[[], list[str]] = known_pythons,
    version: Callable[[str], tuple[int, int] | None] = version_of,
) -> str:
    """The preferred interpreter if it is new enough, else the newest other one that is; "" if there is none."""
    if (version(preferred) or (0, 0)) >= minimum:
        return preferred
    return next((python for python in others() if (version(python) or (0, 0)) >= minimum), "")


def status_path(venvs: Path, name: str) -> Path:
    return venvs / f"{name}.json"


def status(venvs: Path, name: str) -> dict[str, str]:
    """What could not be installed: distribution to reason. "" stands for the whole environment."""
    try:
        failed: dict[str, str] = json.loads(status_path(venvs, name).read_text(encoding="utf-8"))["failed"]
    except (OSError, ValueError, KeyError):
        return {"": f"the environment {name} is missing; run compare.py --setup"}
    return failed


def missing(venvs: Path, name: str, distribution: str) -> str:
    """Why a server's distribution is not in an environment; "" when it is."""
    failed = status(venvs, name)
    if failed.get(""):
        return failed[""]
    return f"{distribution} is not installed: {failed[distribution]}" if distribution in failed else ""


def setup(venvs: Path, python: str) -> int:
    """Makes the environments. 0, or 2 when the first, without which nothing can run, cannot be made."""
    for name, wanted in ENVIRONMENTS.items():
        least = ".".join(map(str, wanted.minimum))
        chosen = choose(wanted.minimum, python, known_pythons)
        if not chosen:
            failed = {"": f"there is no Python {least} or later, {wanted.why}"}
        else:
            print(f"environment {name}: {chosen}", flush=True)
            failed = _make(venvs / name, chosen, wanted)
        venvs.mkdir(parents=True, exist_ok=True)
        status_path(venvs, name).write_text(json.dumps({"failed": failed}, indent=1) + "\n", encoding="utf-8")
        for distribution, why in failed.items():
            print(f"environment {name}: cannot install {distribution or 'anything'}: {why}", file=sys.stderr)
        if name == "peers" and failed.get(""):
            return 2
    print(f"the environments are ready: {venvs}")
    return 0


def _make(venv: Path, python: str, wanted: Environment) -> dict[str, str]:
    """Creates one environment and installs into it. What failed, and why."""
    own = str(venv / "bin/python")
    if version_of(own) != version_of(python):
        made = subprocess.run([python, "-m", "venv", "--clear", str(venv)], check=False, stderr=subprocess.PIPE)
        if made.returncode:
            return {"": f"{python} cannot make a virtual environment: {_reason(made.stderr.decode(errors='replace'))}"}
    failed = {}
    why = _install(own, "-r", str(HERE / "requirements.txt"))
    if why:
        return {"": why}
    for requirement in wanted.optional:
        why = _install(own, requirement)
        if why:
            failed[requirement.partition("==")[0]] = why
    return failed


def _install(python: str, *what: str) -> str:
    """Runs pip. Why it failed, or ""."""
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return _reason(done.stdout.decode(errors="replace")) if done.returncode else ""


def _reason(output: str) -> str:
    """The line of a failed installation that says why: a compiler's "fatal error", else the last one."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for sign in ("fatal error:", "error: [", "No matching distribution"):
        for line in lines:
            if sign in line:
                return line[:300]
    return lines[-1][:300] if lines else "pip said nothing"
