from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import IO

import pytest
from runner.processes import (
    TICK,
    Stat,
    Tree,
    cpu_clock,
    members,
    parse_pss,
    parse_stat,
    read_stat,
)

LINE = (
    "4242 (my (odd) app) S 17 4240 4241 0 -1 4194304 900 0 0 0 "
    "150 50 30 20 20 0 4 0 987654 123456 789 18446744073709551615 1 1 0"
)


def stat(pid: int, ppid: int, session: int = 0) -> Stat:
    return Stat(pid, ppid, session, 0.0, 0.0, 0)


def test_stat_is_read_behind_a_command_with_parentheses() -> None:
    assert parse_stat(LINE) == Stat(4242, 17, 4241, 200 * TICK, 50 * TICK, 987654)


def test_a_process_that_is_gone_has_no_stat() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert read_stat(process.pid) is None


def test_the_cpu_clock_is_that_of_the_process() -> None:
    before = time.process_time()
    between = time.clock_gettime(cpu_clock(os.getpid()))
    after = time.process_time()
    assert before <= between <= after


def test_the_tree_holds_descendants_and_the_session() -> None:
    f = {
        s.pid: s
        for s in (stat(1, 0), stat(10, 1, 10), stat(11, 10, 10), stat(12, 11, 12), stat(13, 1, 10), stat(20, 1))
    }
    assert sorted(s.pid for s in members(10, f)) == [10, 11, 12, 13]
    assert members(99, f) == []


def test_pss_is_read() -> None:
    rollup = "5581a-7ffd ---p 00000000 00:00 0  [rollup]\nRss:  20480 kB\nPss:  12345 kB\nPss_Anon: 1 kB\n"
    assert parse_pss(rollup) == 12345
    with pytest.raises(ValueError, match="no Pss line"):
        parse_pss("Rss: 1 kB\n")


# A child in a session of its own, and a parent: both ignore TERM.
STUBBORN = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal,sys; signal.signal(15, signal.SIG_IGN); print('up', flush=True); signal.pause()"
child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
signal.pause()
"""


@contextlib.contextmanager
def started(code: str) -> Iterator[tuple[Tree, IO[bytes]]]:
    """A tree whose program has printed "up"; it is gone afterwards, whatever the test found."""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as process:
        tree = Tree(process)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            yield tree, process.stdout
        finally:
            tree.kill()


def test_stop_ends_a_tree_that_refuses_to_go() -> None:
    with started(STUBBORN) as (tree, output):
        assert len(tree.stats()) == 2
        assert tree.pss() > 0
        assert tree.cpu() > 0
        assert tree.stop(grace=0.05) is False
        # The pipe ends when the last process that holds it has ended: no waiting for a fixed time.
        assert output.read() == b""


def test_stop_is_clean_when_the_root_goes() -> None:
    with started("import signal; print('up', flush=True); signal.pause()") as (tree, _):
        assert tree.stop() is True


def test_all_programs_of_a_stack_are_asked_to_go() -> None:
    waiting = "import signal; print('up', flush=True); signal.pause()"
    with started(waiting) as (front, _), started(waiting) as (back, _):
        both = Tree(*back.processes, *front.processes)
        assert both.ended() is None
        assert len(both.stats()) == 2
        # True: nobody had to be killed.
        assert both.stop() is True
        assert both.ended() is back.processes[0]


def test_cpu_of_ended_children_stays_counted() -> None:
    # The child is reaped before "up".
    code = f"""
import subprocess, sys, signal
burn = "import time\\nwhile time.process_time() < {5 * TICK}: pass"
subprocess.run([sys.executable, "-c", burn], check=True)
print("up", flush=True)
signal.pause()
"""
    with started(code) as (tree, _):
        (root,) = tree.stats()
        assert root.reaped >= 3 * TICK  # of 5: user and system time are cut to whole ticks, each
        assert tree.cpu() >= root.reaped
