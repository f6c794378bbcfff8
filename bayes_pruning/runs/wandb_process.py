"""Talk to W&B for a training process, as a process of its own; `tracking` starts it, and says why.

It imports nothing of this package. It reads one JSON object a line from standard input, each about the run of
a folder:

    {"run": "FOLDER", "open": {arguments of wandb.init}}
    {"run": "FOLDER", "row": {"epoch": 1, ...}}
    {"run": "FOLDER", "finish": {"summary": {...} or null, "failed": false}}

and writes warnings for the user to standard output, one a line, each kind once. When its input ends, runs that are
still open are finished as failed: the training process died.
"""

import json
import os
import sys
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

SERVER_PATIENCE = 5.0  # seconds for W&B's server to answer when a run is opened; after that runs are kept offline
UPLOAD_PATIENCE = 60.0  # seconds for W&B's server to take the rest of a run when it ends
SYNCED = ".wandb.synced"  # the mark beside a run's log that W&B has uploaded all of it
SYNC = "scripts/sync_wandb.py uploads"


class OpenRuns:
    """Hold the W&B runs of one training process."""

    def __init__(self) -> None:
        self.runs: dict[str, Any] = {}  # by folder; None for a run that can not be mirrored
        self.server: bool | None = None  # whether W&B's server can be used; None before the first online run
        self.finishing: list[threading.Thread] = []
        self.warned: set[str] = set()

    def do(self, message: Mapping[str, Any]) -> None:
        """Do what one message says. Whatever W&B raises becomes a warning, and that run is mirrored no more."""
        folder = message["run"]
        run = self.runs.get(folder)
        try:
            if "open" in message:
                self.runs[folder] = None
                self.runs[folder] = self._open(message["open"])
            elif run is not None and "row" in message:
                run.log(message["row"], step=message["row"]["epoch"])
            elif run is not None:
                del self.runs[folder]
                self._finish(run, **message["finish"])
        except Exception as error:
            self.runs[folder] = None
            self._warn("W&B does not mirror the run", error)

    def end(self) -> None:
        """Finish what the training process left open, and wait until the server has taken all."""
        for run in self.runs.values():
            if run is not None:
                self._finish(run, None, failed=True)
        for thread in self.finishing:
            thread.join()

    def _open(self, init: dict[str, Any]) -> Any:
        if init["mode"] == "online" and not self._server_answers():
            init["mode"] = "offline"
        if init["mode"] == "online":
            init["resume"] = "allow"
        return open_run(**init)

    def _server_answers(self) -> bool:
        """Return whether W&B's server takes our key; it is asked once."""
        if self.server is None:
            try:
                log_in()
                self.server = True
            except Exception as error:  # no key, a wrong one, no network, no answer
                self.server = False
                self._warn(f"W&B's server can not be used, {SYNC} the runs later", error)
        return self.server

    def _finish(self, run: Any, summary: Mapping[str, Any] | None, failed: bool) -> None:
        """Finish a run, one that is online in a thread of its own: it waits for the server."""
        if summary is not None:
            run.summary.update(summary)
        if run.offline:
            run.finish(exit_code=int(failed))
            return
        thread = threading.Thread(target=self._upload_rest, args=(run, failed))
        thread.start()
        self.finishing = [thread, *(other for other in self.finishing if other.is_alive())]

    def _upload_rest(self, run: Any, failed: bool) -> None:
        try:
            log = Path(run.settings.sync_file)
            run.finish(exit_code=int(failed))
            log.with_suffix(SYNCED).touch()  # as `wandb sync` does, so that it is not uploaded again
        except Exception as error:
            self._warn(f"W&B's server did not take the whole run, {SYNC} it later", error)

    def _warn(self, what: str, error: BaseException) -> None:
        if what in self.warned:
            return
        self.warned.add(what)
        reason = (str(error).strip().splitlines() or [""])[0]
        print(f"{what} ({type(error).__name__}: {reason}); training goes on.", flush=True)


def log_in() -> None:
    """Raise an error, which may be any of W&B's, unless W&B's server takes our key."""
    import wandb

    if not wandb.login(prompt=False, verify=True):
        raise PermissionError("there is no API key: `wandb login` keeps one")


def open_run(git_commit: str | None, **init: Any) -> Any:
    """Return a new W&B run whose steps are epochs, from arguments of wandb.init."""
    import wandb

    run = wandb.init(**init, reinit="create_new", settings=settings(git_commit))
    run.define_metric("*", step_metric="epoch")
    return run


def settings(git_commit: str | None) -> Any:
    """Return the settings of a W&B run that this version has: nothing on the terminal, no costly extras."""
    import wandb

    wanted: dict[str, Any] = {
        "silent": True,
        "console": "off",
        "init_timeout": SERVER_PATIENCE,
        "finish_timeout": UPLOAD_PATIENCE,
        "finish_timeout_raises": True,
        "git_commit": git_commit,
        "program": sys.argv[0],
        "disable_git": True,  # W&B would start git for every run
        "label_disable": True,
        "save_code": False,
        "x_disable_stats": True,  # samples this process, which is not the one that trains
        "x_save_requirements": False,  # lists all installed packages, 35 ms a run
    }
    return wandb.Settings(**{name: value for name, value in wanted.items() if name in wandb.Settings.model_fields})


def _read_ahead(lines: Iterable[bytes], queue: "SimpleQueue[bytes | None]") -> None:
    """Take the input as it comes, so that the training process never waits while W&B is busy.

    A process that is killed may leave half a line, which says nothing.
    """
    for line in lines:
        if line.endswith(b"\n"):
            queue.put(line)
    queue.put(None)


def main() -> None:
    """Mirror until the input ends, then end within UPLOAD_PATIENCE, whatever W&B does."""
    sys.argv = sys.argv[1:]  # the command that trains, which W&B shows with the run
    queue: SimpleQueue[bytes | None] = SimpleQueue()
    threading.Thread(target=_read_ahead, args=(sys.stdin.buffer, queue), daemon=True).start()
    open_runs = OpenRuns()
    while (line := queue.get()) is not None:
        open_runs.do(json.loads(line))
    last_resort = threading.Timer(UPLOAD_PATIENCE, os._exit, [1])
    last_resort.daemon = True
    last_resort.start()
    open_runs.end()


if __name__ == "__main__":
    main()
