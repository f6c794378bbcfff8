"""A Slurm cluster of one node for the tests: munged, slurmctld and slurmd on loopback, in a folder of their own."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

DAEMONS = ("munged", "slurmctld", "slurmd")
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthInfo=socket={folder}/munge.sock,cred_expire=5  # how long a requeued job waits, in seconds
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
KillWait=2
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=4000
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE
"""


def why_not() -> str:
    """Why Slurm can not be started here, empty if it can."""
    missing = [name for name in (*DAEMONS, "sbatch", "srun") if shutil.which(name, path=_path()) is None]
    if missing:
        packages = "slurmctld slurmd slurm-client munge"
        return f"no {', '.join(missing)} here: apt-get install -y --no-install-recommends {packages}"
    return "" if os.getuid() == 0 else "Slurm's daemons are started as root here"


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


@contextmanager
def cluster(folder: Path) -> Iterator[Path]:
    """Start a cluster in `folder`; its slurm.conf, for the environment's SLURM_CONF. May raise TimeoutError."""
    config = folder / "slurm.conf"
    host = socket.gethostname().partition(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir()
    config.write_text(CONFIG.format(folder=folder, host=host, ports=_free_ports(2)))
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    names = {"socket": "munge.sock", "key-file": key.name, "pid-file": "pid", "seed-file": "seed", "log-file": "munged"}
    munge = [f"--{option}={folder / name}" for option, name in names.items()]
    with ExitStack() as stack:
        stack.enter_context(_daemon(folder, "munged", "--foreground", "--force", *munge))
        wait_for((folder / "munge.sock").exists)
        stack.enter_context(_daemon(folder, "slurmctld", "-D", "-c", "-f", str(config)))
        stack.enter_context(_daemon(folder, "slurmd", "-D", "-f", str(config)))
        environment = {**os.environ, "SLURM_CONF": str(config)}
        wait_for(lambda: "idle" in _output(["sinfo", "--noheader", "--format=%T"], environment))
        try:
            yield config
        finally:  # steps outlive slurmd
            _output(["scancel", f"--user={os.getuid()}"], environment)
            wait_for(lambda: not _output(["squeue", "--noheader"], environment))


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def _daemon(folder: Path, name: str, *arguments: str) -> Iterator[None]:
    command = [str(shutil.which(name, path=_path())), *arguments]
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


def _output(command: list[str], environment: dict[str, str] | None = None) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment).stdout


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> None:
    """Return once the condition holds. Raise TimeoutError if it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"still waiting after {seconds} s")
        time.sleep(0.1)


def tasks() -> dict[str, dict[str, str]]:
    """What Slurm says of each job or array task that it remembers, by its id: scontrol's fields."""
    found = {}
    for line in _output(["scontrol", "--oneliner", "--all", "show", "job"]).splitlines():
        fields = dict(field.split("=", 1) for field in line.split() if "=" in field)
        if "JobId" in fields:
            array = "ArrayTaskId" in fields
            found[f"{fields['ArrayJobId']}_{fields['ArrayTaskId']}" if array else fields["JobId"]] = fields
    return found


def held(evidence: Any) -> bool:
    """A gate that keeps epoch 2 from ending until the environment's HELD_UNTIL exists; each process leaves a note."""
    until = Path(os.environ["HELD_UNTIL"])
    while evidence.epoch == 2 and not until.exists():
        until.with_name(f"held {os.getpid()}").touch()
        time.sleep(0.05)
    return True


def few_digits(root: Path) -> Any:
    """A loader of the images that a test has put into data_root; reading all of mnist_5k takes each task a second."""
    import torch

    from bayes_pruning.data.datasets import Images

    return Images(**torch.load(root / "few_digits.pt"))
