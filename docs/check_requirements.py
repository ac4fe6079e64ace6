"""Checks docs/requirements.md: every row names a proof that exists, or says why it is open.

A proof is one of, in backquotes: ``path/test_x.py::test_name``, ``folder:TestName`` (Go; also Fuzz… and
Benchmark…), ``cell:name`` (a benchmark cell) or ``make target``. A row without one must begin its last column
with "open:".
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROOF = re.compile(r"`([^`]+)`")


def wrong_with(proof: str) -> str:
    """Why a proof does not exist; empty when it does, or when it is no proof at all."""
    if match := re.fullmatch(r"(\S+\.py)::(test_\w+)", proof):
        path, name = match.groups()
        file = ROOT / path
        if not file.is_file():
            return f"{path} does not exist"
        return "" if re.search(rf"^\s*(async )?def {name}\b", file.read_text(), re.M) else f"{path} has no {name}"
    if match := re.fullmatch(r"([\w/.-]+):((?:Test|Fuzz|Benchmark)\w+)", proof):
        folder, name = match.groups()
        for file in (ROOT / folder).glob("*_test.go"):
            if re.search(rf"^func {name}\(", file.read_text(), re.M):
                return ""
        return f"no test file in {folder} has {name}"
    if match := re.fullmatch(r"cell:([\w-]+)", proof):
        cells = (ROOT / "benchmarks/runner/cells.py").read_text()
        return "" if f'"{match.group(1)}"' in cells else f"there is no benchmark cell {match.group(1)}"
    if match := re.fullmatch(r"make ([\w-]+)", proof):
        makefile = (ROOT / "Makefile").read_text()
        return "" if re.search(rf"^{match.group(1)}:", makefile, re.M) else f"the Makefile has no {match.group(1)}"
    return f"`{proof}` is not of a known form"


def main() -> int:
    """Print what is wrong; the exit code says whether anything is."""
    rows = 0
    failures = []
    for number, line in enumerate((ROOT / "docs/requirements.md").read_text().splitlines(), 1):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|") or len(cells) != 3 or cells[0] in ("#", "---"):
            continue
        rows += 1
        proofs = PROOF.findall(cells[2])
        if not proofs and not re.match(r"open: \w", cells[2]):
            failures.append(f"{number}: no proof, and no reason: {cells[1]}")
        failures += [f"{number}: {why}" for proof in proofs if (why := wrong_with(proof))]
    if not rows:
        failures.append("there are no rows")
    for failure in failures:
        print(f"docs/requirements.md:{failure}", file=sys.stderr)
    print(f"docs/requirements.md: {rows} rows, {len(failures)} wrong")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
