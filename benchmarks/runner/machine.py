"""Says on which machine, and with which versions, figures were measured."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import time
from pathlib import Path

DISTRIBUTIONS = (
    "granian",
    "uvicorn",
    "uvloop",
    "httptools",
    "gunicorn",
    "gunicorn_h1c",
    "Hypercorn",
    "waitress",
    "uWSGI",
    "fastpysgi",
    "bjoern",
    "flask",
    "werkzeug",
    "django",
    "bottle",
    "pyramid",
    "tornado",
    "fastapi",
    "starlette",
    "pydantic",
)

VERSIONS = """
import importlib.metadata as m, json, platform, sys
out = {"python": platform.python_implementation() + " " + platform.python_version()}
for name in sys.argv[1:]:
    try: out[name] = m.version(name)
    except m.PackageNotFoundError: out[name] = "not installed"
print(json.dumps(out))
"""


def output_of(command: list[str], cwd: Path | None = None) -> str:
    """What a command prints on either stream, stripped; "" when it cannot be run."""
    try:
        done = subprocess.run(
            command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace").strip()


def _field(text: str, name: str) -> str:
    match = re.search(rf"^{re.escape(name)}\s*:\s*(.+)$", text, re.MULTILINE)
    return match.group(1).strip() if match else "unknown"


def _ours(binary: Path) -> str:
    if not binary.exists():
        return "not built"
    modules = output_of(["go", "version", "-m", str(binary)])
    revision = re.search(r"vcs\.revision=(\w{12})", modules)
    modified = "vcs.modified=true" in modules
    described = (
        f"revision {revision.group(1)}{' and changes' if modified else ''}" if revision else "no revision recorded"
    )
    built = re.search(r"go\d\S*", modules.splitlines()[0]) if modules else None
    digest = hashlib.sha256(binary.read_bytes()).hexdigest()[:12]
    return f"{described}, SHA-256 {digest}…, built with {built.group(0) if built else 'an unknown Go'}"


def describe(venvs: Path, binary: Path, root: Path, server_cores: str, load_cores: str) -> dict[str, str]:
    """Everything a reader needs to judge the figures, as name and value."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    meminfo = Path("/proc/meminfo").read_text(encoding="ascii")
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    facts = {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "CPU": _field(cpuinfo, "model name"),
        "CPUs": f"{os.cpu_count()}; servers on {server_cores}, the load on {load_cores}",
        "virtual machine": "yes" if " hypervisor" in _field(cpuinfo, "flags") else "no",
        "CPU governor": governor.read_text(encoding="ascii").strip() if governor.exists() else "not visible",
        "memory": f"{int(_field(meminfo, 'MemTotal').split()[0]) // 1024} MiB",
        "kernel": platform.release(),
        "load average before": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "Go": output_of(["go", "env", "GOVERSION"], root) or "not installed",
        "pyspeed-gw": _ours(binary),
        "nginx": output_of(["nginx", "-v"]).partition("nginx/")[2] or "not installed",
        "wrk": _first_words(output_of(["wrk", "--version"])),
    }
    facts.update(_versions(venvs / "peers", DISTRIBUTIONS))
    facts.update({f"{name}, newer": text for name, text in _versions(venvs / "newer", ("caddysnake",)).items()})
    return facts


def _versions(venv: Path, distributions: tuple[str, ...]) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(output_of([str(venv / "bin/python"), "-c", VERSIONS, *distributions]))
    except ValueError:
        return {"python": "the environment is missing; run compare.py --setup"}
    return found


def _first_words(text: str) -> str:
    return " ".join(text.splitlines()[0].split()[:2]) if text else "not installed"
