"""Time processes in turns: each waits, does one epoch when it is told to, and says how long that took.

A slow moment of a shared machine then hits all of them. Each process may use only the cores that it is given, so one
that is given a single core computes with one thread, whatever library it uses. Its seconds are those of the processor,
which on a quiet machine are those of the wall, so that a neighbour who takes the core away for a while does not count.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass


def clock() -> float:
    """Return seconds for differences: of the processor where this process has one core, else of the wall."""
    return time.process_time() if len(cores()) == 1 else time.perf_counter()


def serve(epoch: Callable[[], object], **facts: object) -> None:
    """Say `facts`, then the seconds of one `epoch` for each line that comes in, in a process that is timed."""
    print(json.dumps(facts), flush=True)
    for _ in sys.stdin:
        start = clock()
        epoch()
        print(clock() - start, flush=True)


def say(answer: Callable[[], float]) -> None:
    """Say the seconds that this process measures itself, for each line that comes in."""
    print(json.dumps({}), flush=True)
    for _ in sys.stdin:
        print(answer(), flush=True)


def cores() -> list[int]:
    """Return the cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Racer:
    """Say what is timed together: a process of `command` on each set of cores, training `members` networks each."""

    command: Sequence[str]
    on: Sequence[Sequence[int]]
    members: int

    @property
    def networks(self) -> int:
        """Return how many networks train at the same time."""
        return len(self.on) * self.members


@contextmanager
def started(racer: Racer) -> Iterator[list[subprocess.Popen[str]]]:
    """Give a racer's processes, which wait and end with the context. Raise RuntimeError if one does not start."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    with ExitStack() as stack:
        processes = []
        for allowed in racer.on:
            command = ["taskset", "--cpu-list", ",".join(map(str, allowed)), *racer.command]
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            processes.append(process)
        yield processes


@contextmanager
def neighbours(number: int) -> Iterator[None]:
    """Keep `number` processes that count busy meanwhile."""
    with ExitStack() as stack:
        for _ in range(number):
            process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


def answers(processes: Sequence[subprocess.Popen[str]]) -> list[str]:
    """Return the next line of each process."""
    lines = []
    for process in processes:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(map(str, process.args))} ended before its time: see above.")  # type: ignore[arg-type, union-attr]
        lines.append(line)
    return lines


def race(racers: Mapping[str, Racer], turns: int) -> dict[str, tuple[float, dict[str, object]]]:
    """Time an epoch of each racer in each turn.

    Returns:
        By name the median seconds of the slowest process of a racer, and what its first process said of itself.
    """
    with ExitStack() as stack:
        waiting = {name: stack.enter_context(started(racer)) for name, racer in racers.items()}
        facts = {name: json.loads(answers(processes)[0]) for name, processes in waiting.items()}
        times: dict[str, list[float]] = {name: [] for name in racers}
        for _ in range(turns):
            for name, processes in waiting.items():
                for process in processes:
                    assert process.stdin is not None
                    process.stdin.write("go\n")
                    process.stdin.flush()
                times[name].append(max(map(float, answers(processes))))
                print(f"{name}: {times[name][-1]:.2f} seconds", file=sys.stderr)
    return {name: (statistics.median(seconds), facts[name]) for name, seconds in times.items()}
