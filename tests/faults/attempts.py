"""Start the command once: in a forked child, which saves the import of torch, or as `python train.py`."""

import atexit
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from faults import moments

ROOT = Path(__file__).resolve().parents[2]
HANGS_AFTER = 300.0  # seconds; an attempt of a campaign takes a small part of this


@dataclass(frozen=True)
class Ended:
    """Say how an attempt ended: its exit status (minus the number of the signal that ended it), and after how long."""

    code: int
    seconds: float


@dataclass(frozen=True)
class Timed:
    """Send a signal from outside, some seconds after the start."""

    seconds: float
    signal: int


def forked(
    arguments: Sequence[str], log: Path, kill: moments.Kill | Timed | None = None, counts: Path | None = None
) -> Ended:
    """Run bayes_pruning.cli.main, which train.py calls, in a child of this process; return how it ended.

    Args:
        arguments: what train.py is called with.
        log: where its output goes.
        kill: at a moment, or after some seconds.
        counts: a file for the number of moments that each phase passed.
    """
    started = time.monotonic()
    process = start(arguments, log, kill if isinstance(kill, moments.Kill) else None, counts)

    def poll() -> int | None:
        found, status = os.waitpid(process, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if found else None

    return _wait(poll, process, started, kill)


def start(arguments: Sequence[str], log: Path, kill: moments.Kill | None = None, counts: Path | None = None) -> int:
    """Start what `forked` runs; return the child's id at once."""
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process == 0:
        os._exit(_child(arguments, log, kill, counts))
    return process


def _child(arguments: Sequence[str], log: Path, kill: moments.Kill | None, counts: Path | None) -> int:
    """Run the forked process; return its exit status."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    code: int | str | None = 0
    try:
        from bayes_pruning import cli

        signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's background process ignores Ctrl-C
        passed = moments.install(kill)
        sys.argv = ["train.py", *arguments]
        cli.main()
        if counts is not None:
            counts.write_text(json.dumps(passed))
    except SystemExit as error:
        code = error.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code or 0


def real(arguments: Sequence[str], log: Path, kill: Timed | None = None) -> Ended:
    """Run `python train.py` with these arguments; return how it ended."""
    started = time.monotonic()
    with log.open("w") as output:
        command = [sys.executable, str(ROOT / "train.py"), *arguments]
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    return _wait(process.poll, process.pid, started, kill)


def _wait(poll: Callable[[], int | None], process: int, started: float, kill: moments.Kill | Timed | None) -> Ended:
    """Send the signal in time; return how the process ended. Raise TimeoutError if it hangs."""
    pending = kill if isinstance(kill, Timed) else None
    while (code := poll()) is None:
        passed = time.monotonic() - started
        if pending is not None and passed > pending.seconds:
            os.kill(process, pending.signal)
            pending = None
        if passed > HANGS_AFTER:
            os.kill(process, 9)
            raise TimeoutError(f"the command did not end within {HANGS_AFTER:g} seconds")
        time.sleep(0.002)
    return Ended(code, time.monotonic() - started)
