"""Other launchers, one run a job: their workers are processes of their own and take numbers as group options too."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ONE_THREAD, ROOT
from test_sweep import SWEEP, folders

OPTIONS = {  # what makes a test's start quick
    "joblib": (),
    "ray": ("+hydra.launcher.ray.init.num_cpus=2", "+hydra.launcher.ray.init.include_dashboard=false"),
}
QUIET_RAY = {"RAY_USAGE_STATS_ENABLED": "0"}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", pytest.param("ray", marks=pytest.mark.needs("ray"))])
def test_a_launchers_workers_take_numbers_too(launcher: str, tmp_path: Path) -> None:
    arguments = [*SWEEP, f"hydra/launcher={launcher}", *OPTIONS[launcher], "pruner=random", "sparsity=0.73,0.31"]
    command = [sys.executable, ROOT / "train.py", *arguments, f"output_dir={tmp_path}"]
    subprocess.run(command, check=True, env=ONE_THREAD | QUIET_RAY)
    assert sorted(json.loads((f / "summary.json").read_text())["sparsity"] for f in folders(tmp_path)) == [0.31, 0.73]
