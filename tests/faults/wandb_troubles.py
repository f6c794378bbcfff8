"""Make what can go wrong with W&B while a run trains: each trouble is a context in which a command is started."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wandb_stub import KEY, Stub

Act = Callable[[int], int | None]  # done to a process that trains; the id of the helper process that was hit
Trouble = Callable[[], Any]  # a context of (overrides of the command, its environment, what is done meanwhile)
NOBODY = "http://127.0.0.1:1"


class RefusingStub(Stub):
    """Serve, but take no key."""

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 401, {"errors": [{"message": "user is not logged in"}]}


class HangingStub(Stub):
    """Take the first calls, and then accept more but never answer: from a run's second upload on."""

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.calls.count("file_stream") >= 1:
            time.sleep(3600)
        return super().answer(path, body)


def descendants(process: int) -> dict[int, str]:
    """Return the processes below one, with their command lines: the W&B helper and wandb-core."""
    parents, commands = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            commands[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    below, wanted = {}, {process}
    while wanted:
        wanted = {child for child, parent in parents.items() if parent in wanted}
        below |= {child: commands[child] for child in wanted}
    return below


def hit(name: str, how: signal.Signals) -> Act:
    """Wait for the helper process whose command line has `name` in it, and send it a signal."""

    def act(process: int) -> int:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for child, command in descendants(process).items():
                if name in command:
                    os.kill(child, how)
                    return child
            time.sleep(0.02)
        raise TimeoutError(f"no process {name} appeared")

    return act


def nothing(_: int) -> None:
    """Do nothing."""


@contextmanager
def mode(name: str, act: Act = nothing) -> Iterator[tuple[list[str], Mapping[str, str], Act]]:
    yield [f"wandb.mode={name}"], {}, act


@contextmanager
def online(url: str = NOBODY) -> Iterator[tuple[list[str], Mapping[str, str], Act]]:
    yield ["wandb.mode=online"], {"WANDB_BASE_URL": url, "WANDB_API_KEY": KEY}, nothing


@contextmanager
def stub(kind: type[Stub]) -> Iterator[tuple[list[str], Mapping[str, str], Act]]:
    with kind() as server:
        yield ["wandb.mode=online"], server.environment(), nothing


@contextmanager
def silent_server() -> Iterator[tuple[list[str], Mapping[str, str], Act]]:
    """Accept connections and never answer."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=50) as server,
        online(f"http://127.0.0.1:{server.getsockname()[1]}") as trouble,
    ):
        yield trouble


TROUBLES: dict[str, Trouble] = {
    "disabled": lambda: mode("disabled"),
    "offline": lambda: mode("offline"),
    "online": lambda: stub(Stub),
    "no server": online,
    "bad key": lambda: stub(RefusingStub),
    "server that never answers": silent_server,
    "server that hangs later": lambda: stub(HangingStub),
    "helper killed": lambda: mode("offline", hit("wandb_process.py", signal.SIGKILL)),
    "helper stopped": lambda: mode("offline", hit("wandb_process.py", signal.SIGSTOP)),
    "wandb-core killed": lambda: mode("offline", hit("wandb-core", signal.SIGKILL)),
    "wandb-core stopped": lambda: mode("offline", hit("wandb-core", signal.SIGSTOP)),
}
