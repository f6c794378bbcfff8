"""What a user has and a checkout does not show: declared dependencies, the console script, scripts by their names.

What is tried on other versions of Python and of the dependencies is in docs/testing.md.
"""

import ast
import csv
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from conftest import ONE_THREAD, QUIET, ROOT
from faults.contents import contents

from bayes_pruning.results import frame
from bayes_pruning.runs import layout

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SCRIPTS = [
    path.name
    for folder in ("scripts", "benchmarks")
    for path in sorted((ROOT / folder).glob("*.py"))
    if "__main__" in path.read_text()
]
USED = [name for name in SCRIPTS if not name.startswith("bench")]  # what measures may need packages of its own
OWN = {"bayes_pruning", "hydra_plugins"}
TINY = ("dataset=mnist_5k", "model.hidden=[8]", "batch_size=500", *QUIET)
Command = Callable[..., tuple[Any, str]]


def distribution(name: str) -> str:
    """A requirement's or distribution's name without versions, as the index compares it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~ \[;]", name)[0]).lower()


def imported() -> set[str]:
    """Distributions of all that the installed packages import, wherever in a file."""
    modules = set()
    for path in (path for package in sorted(OWN) for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.partition(".")[0])
    found = packages_distributions()
    modules -= set(sys.stdlib_module_names) | OWN
    return {distribution(next(iter(found.get(name, [name])))) for name in modules}


def test_the_wheel_declares_what_it_imports_and_nothing_else() -> None:
    declared = {distribution(requirement) for requirement in PROJECT["dependencies"]}
    extras = {distribution(each) for extra in PROJECT["optional-dependencies"].values() for each in extra}
    assert imported() - extras == declared


@pytest.mark.slow
@pytest.mark.parametrize("name", USED)
def test_a_script_explains_itself(name: str, script: Any) -> None:
    code, printed = script(name, "--help")
    assert code == 0
    assert f"scripts/{name}" in printed or f"benchmarks/{name}" in printed or "is powered by Hydra" in printed


def test_operations_of_the_grid_are_printed_for_other_rates(script: Any) -> None:
    """Twice the rate and twice the bandwidth halve every floor."""
    floors = []
    for rate, memory in ((50, 2), (100, 4)):
        rates = [argument for kind in ("fp32", "tf32") for argument in (f"--{kind}", rate)]
        code, printed = script("count_work.py", *rates, "--memory", memory)
        assert code == 0
        floors.append([float(cell) for cell in printed.splitlines()[-1].split("|")[2:-1]])
    assert floors[0] == pytest.approx([2 * floor for floor in floors[1]], abs=1)


def test_published_runs_are_the_runs_of_the_folder(script: Any, folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "new" / "runs.parquet"
    code, printed = script("publish.py", folder, "--out", archive)
    assert code == 0
    assert printed.startswith(f"{archive}: 18 runs, ")
    columns = ["run", "epoch"]
    packed, loose = (frame.load(source).frame.sort_values(columns) for source in (archive, folder))
    assert packed.reset_index(drop=True).equals(loose.reset_index(drop=True)[packed.columns])


@pytest.mark.usefixtures("digits_only")
def test_a_matched_control_prunes_as_often_as_it_is_told(command: Command, tmp_path: Path) -> None:
    sweep = ("-m", *TINY, "epochs=4", "sparsity=0.9", "seed=0,1", f"output_dir={tmp_path}")
    assert not command(*sweep, "pruner=matched_random", "pruner.gate_options.openings=2")[0]
    for path in tmp_path.glob("mnist_5k-*/metrics.csv"):
        with path.open() as file:
            assert sum(int(row["pruned"]) for row in csv.DictReader(file)) == 2


@pytest.mark.slow
def test_the_console_script_of_the_wheel_trains(tmp_path: Path) -> None:
    """Built and installed beside the environment's packages, called from another folder by its name."""
    pip = [sys.executable, "-m", "pip", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT], check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True, capture_output=True)
    command = [site / "bin" / "bayes-pruning", "train", "-m", *TINY, "epochs=1", "pruner=random", "sparsity=0.73,0.9"]
    done = subprocess.run(
        command, cwd=tmp_path, env=ONE_THREAD | {"PYTHONPATH": str(site)}, capture_output=True, text=True, check=True
    )
    assert "2 finished" in done.stdout
    assert len(list((tmp_path / "outputs").glob("mnist_5k-*/summary.json"))) == 2


@pytest.mark.slow
def test_two_sweeps_that_overlap_both_finish(command: Command, tmp_path: Path) -> None:
    """Both want seeds 1 and 2. The second names them as being written, and the same command has them afterwards."""
    common = ("-m", "dataset=mnist_5k", "pruner=random", "epochs=12", *QUIET)
    start = [sys.executable, str(ROOT / "train.py"), *common, f"output_dir={tmp_path / 'two'}"]
    first = subprocess.Popen([*start, "seed=0,1,2"], stdout=subprocess.DEVNULL, env=ONE_THREAD)
    while first.poll() is None and len(list(tmp_path.glob("two/*/checkpoint.pt"))) < 3:
        time.sleep(0.01)
    second = subprocess.run([*start, "seed=1,2,3"], capture_output=True, text=True, check=False, env=ONE_THREAD)
    assert first.wait() == 0
    if second.returncode:  # else the first was already done with them
        assert "2 of 3 jobs failed" in second.stderr
        assert second.stderr.count("is being written by another process") == 2
    assert len(list(tmp_path.glob("two/*/summary.json"))) == 4
    code, printed = command(*common, "seed=1,2,3", f"output_dir={tmp_path / 'two'}")
    assert not code
    assert "3 skipped" in printed
    assert not command(*common, "seed=range(0,4)", f"output_dir={tmp_path / 'one'}")[0]
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    assert all(layout.is_finished(path) for path in tmp_path.glob("one/mnist_5k-*"))
