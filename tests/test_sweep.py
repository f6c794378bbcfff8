"""The stacked launcher: every job as if it had run alone, resumed, refused, failed, split, and from a wheel."""

import itertools
import json
import re
import shutil
import subprocess
import sys
import time
from collections import ChainMap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import ONE_THREAD, QUIET, ROOT, composed, run_of
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import OmegaConf
from test_runs import contents

from bayes_pruning.config.errors import UserError
from bayes_pruning.config.paths import conf_dir
from bayes_pruning.engine import capacity
from bayes_pruning.runs import layout, planning, sweep, train
from bayes_pruning.runs.progress import Display
from bayes_pruning.runs.train import Outcome
from bayes_pruning.training import trainer
from bayes_pruning.training.metrics import COLUMNS, Metrics
from hydra_plugins.bayes_pruning.composer import Composer, without_hydra
from hydra_plugins.bayes_pruning.grid_sweeper import GridSweeper
from hydra_plugins.bayes_pruning.number_groups import as_number

SWEEP = ("-m", "dataset=mnist_5k", "model.hidden=[8,8]", "epochs=2", *QUIET)
GRID = ("pruner=none,random", "sparsity=0.5,0.9", "seed=range(0,2)")
Command = Callable[..., tuple[Any, str]]


def folders(output: Path) -> list[Path]:
    return sorted(path for path in output.iterdir() if (path / ".hydra").is_dir())


@pytest.mark.usefixtures("digits_only")
def test_stacked_equals_one_after_the_other(command: Command, tmp_path: Path) -> None:
    stacked, basic = tmp_path / "stacked", tmp_path / "basic"
    assert not command(*SWEEP, *GRID, f"output_dir={stacked}")[0]
    assert not command(*SWEEP, *GRID, f"output_dir={basic}", "hydra/launcher=basic")[0]
    assert contents(stacked) == contents(basic)
    assert len(folders(stacked)) == 2 + 2 * 2  # unpruned runs do not depend on the sparsity
    for ours, theirs in zip(folders(stacked), folders(basic), strict=True):
        configs = [OmegaConf.load(folder / ".hydra" / "config.yaml") for folder in (ours, theirs)]
        for config in configs:
            del config["output_dir"]
        assert configs[0] == configs[1]
        hydras = [OmegaConf.load(folder / ".hydra" / "hydra.yaml").hydra for folder in (ours, theirs)]
        assert [hydra.runtime.output_dir for hydra in hydras] == [str(ours), str(theirs)]
        assert hydras[0].runtime.choices.pruner == hydras[1].runtime.choices.pruner
        tasks = [[each for each in hydra.overrides.task if "output_dir=" not in each] for hydra in hydras]
        assert tasks[0] == tasks[1]  # of the first job that is this run
        assert (ours / "train.log").read_text().count("\n") == 2


@pytest.mark.usefixtures("digits_only")
def test_finished_runs_are_skipped_and_a_larger_grid_trains_only_the_rest(command: Command, tmp_path: Path) -> None:
    command(*SWEEP, "pruner=random", "sparsity=0.5", f"output_dir={tmp_path}")
    [first] = folders(tmp_path)
    written = (first / "summary.json").stat().st_mtime_ns
    code, printed = command(*SWEEP, "pruner=random", "sparsity=0.5,0.9", f"output_dir={tmp_path}")
    assert not code
    assert (first / "summary.json").stat().st_mtime_ns == written
    assert len(folders(tmp_path)) == 2
    assert re.search(r"^1 finished, 1 skipped, 0:\d\d$", printed, re.MULTILINE)


@pytest.mark.usefixtures("digits_only")
def test_a_damaged_summary_fails_its_own_run_and_the_others_train(command: Command, tmp_path: Path) -> None:
    grid = (*SWEEP, "pruner=random", f"output_dir={tmp_path}")
    command(*grid, "seed=0")
    [first] = folders(tmp_path)
    (first / "summary.json").write_text("")
    code, printed = command(*grid, "seed=range(0,3)")
    assert code.startswith("1 of 3 jobs failed:\n")
    assert f"{first / 'summary.json'} can not be read" in code
    assert "2 finished, 1 failed" in printed


@pytest.mark.usefixtures("digits_only")
def test_an_output_folder_named_by_the_time_is_one_for_the_whole_sweep(command: Command, tmp_path: Path) -> None:
    """By the microsecond, so that no two runs are composed at the same time."""
    code, _ = command(*SWEEP, "pruner=none,random", "seed=0,1", f"output_dir={tmp_path}/${{now:%f}}")
    assert not code
    [output] = tmp_path.iterdir()
    configs = [OmegaConf.load(run / ".hydra" / "config.yaml") for run in folders(output)]
    assert [config.output_dir for config in configs] == [str(output)] * 4
    assert len(list(output.glob("*/summary.json"))) == 4


@pytest.mark.usefixtures("digits_only")
@pytest.mark.parametrize("launcher", ["stacked", "basic", "status"])
def test_hydras_own_node_may_be_named_in_a_sweep(
    launcher: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each job's own, and the same folder for all."""
    monkeypatch.chdir(tmp_path)
    named = ("output_dir=${hydra:runtime.cwd}/outputs", "wandb.group=${hydra:runtime.choices.pruner}-${seed}")
    code, _ = command(*SWEEP, "pruner=none,random", "seed=0,1", *named, f"hydra/launcher={launcher}")
    assert not code
    configs = [OmegaConf.load(path) for path in sorted(tmp_path.glob("outputs/*/.hydra/config.yaml"))]
    groups = [] if launcher == "status" else ["none-0", "none-1", "random-0", "random-1"]
    assert launcher == "basic" or [config.wandb.group for config in configs] == groups
    assert len(configs) == len(groups)


class Recorder(Callback):
    """A user's Hydra callback."""

    events: list[tuple[str, str]]

    def on_job_start(self, config: Any, **_: Any) -> None:
        Recorder.events.append(("start", f"{config.pruner.name} {config.hydra.job.id}"))

    def on_job_end(self, config: Any, job_return: Any, **_: Any) -> None:
        Recorder.events.append(("end", f"{config.pruner.name} {config.hydra.job.num} {job_return.status.name}"))


@pytest.mark.usefixtures("digits_only")
def test_callbacks_fire_for_every_job(command: Command, tmp_path: Path) -> None:
    Recorder.events, before = [], HydraConfig.instance().cfg
    callback = f"+hydra.callbacks.recorder._target_={__name__}.Recorder"
    assert not command(*SWEEP, "pruner=random,magnitude", f"output_dir={tmp_path}", callback)[0]
    assert sorted(Recorder.events) == [
        ("end", "magnitude 1 COMPLETED"),
        ("end", "random 0 COMPLETED"),
        ("start", "magnitude 1"),
        ("start", "random 0"),
    ]
    assert HydraConfig.instance().cfg is before  # what comes after the sweep is not of its last job


@pytest.mark.usefixtures("digits_only")
def test_a_member_that_fails_is_named_and_the_others_finish(
    command: Command, script: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One member's weights become NaN, another's folder vanishes."""
    run_epoch = trainer.Trainer.run_epoch

    def sabotage(self: trainer.Trainer) -> Any:
        if self.epoch == 1:
            for member, run in enumerate(self.runs):
                if run.seed == 1:
                    self.stack.parameters["1.weight"].detach()[member] = float("nan")
                if run.seed == 2:
                    [gone] = tmp_path.glob("*seed2*")
                    shutil.rmtree(gone)
        return run_epoch(self)

    monkeypatch.setattr(trainer.Trainer, "run_epoch", sabotage)
    code, _ = command(*SWEEP, "pruner=random", "seed=range(0,4)", f"output_dir={tmp_path}")
    assert "2 of 4 jobs failed" in code
    assert "the training loss became nan in epoch 2" in code
    assert "can not be written" in code
    assert sum((folder / "summary.json").exists() for folder in folders(tmp_path)) == 2
    GlobalHydra.instance().clear()
    code, status = script("status.py", *SWEEP[1:], "pruner=random", "seed=range(0,4)", f"output_dir={tmp_path}")
    assert not code
    assert "4 runs: 2 finished, 0 training, 0 cut short, 1 failed, 1 missing" in status
    assert f"{'mnist_5k fcn':24}{'#' * 15}{'.' * 15}  50%\n" in status
    assert "the training loss became nan in epoch 2" in status


@pytest.mark.usefixtures("digits_only")
def test_a_stack_too_large_for_memory_is_split(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_epoch = trainer.Trainer.run_epoch
    sizes = []

    def limited(self: trainer.Trainer) -> Any:
        sizes.append(len(self.runs))
        if len(self.runs) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")
        return run_epoch(self)

    monkeypatch.setattr(trainer.Trainer, "run_epoch", limited)
    arguments = ("pruner=random", "seed=range(0,5)", "hydra.launcher.workers=1", f"output_dir={tmp_path}")
    assert not command(*SWEEP, *arguments)[0]
    assert sizes == [5, 2, 2, 3, 1, 1, 2, 2]
    assert all((folder / "summary.json").exists() for folder in folders(tmp_path))


@pytest.mark.usefixtures("digits_only")
def test_runs_train_in_turns_where_a_process_may_not_open_all_their_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_epoch, sizes = trainer.Trainer.run_epoch, list[int]()

    def counted(self: trainer.Trainer) -> Any:
        sizes.append(len(self.runs))
        return run_epoch(self)

    monkeypatch.setattr(trainer.Trainer, "run_epoch", counted)
    monkeypatch.setattr(train, "most_open_folders", lambda: 2)
    one = ("dataset=mnist_5k", "model.hidden=[4]", "epochs=1", *QUIET, f"output_dir={tmp_path}")
    jobs = [train.job_of(composed(*one, f"seed={seed}")) for seed in range(5)]
    outcomes = train.train_stack(jobs, Display("none", 5), train.Clock(None))
    assert [(outcome.folder, outcome.status) for outcome in outcomes] == [(job.folder, "finished") for job in jobs]
    assert sizes == [2, 2, 1]


def test_a_run_that_is_alone_and_too_large_for_memory_is_not_split(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(stack: list[Any], *_: Any) -> None:
        raise MemoryError(f"{len(stack)} alone")

    monkeypatch.setattr(sweep, "train_stack", full)
    with pytest.raises(MemoryError, match="1 alone"):
        sweep.train_as_fits([None], None, None)  # type: ignore[list-item, arg-type]


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory.")])
def test_whatever_says_that_memory_ran_out_a_stack_is_halved(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(stack: list[Any], *_: Any) -> list[Any]:
        if len(stack) > 1:
            raise error
        return stack

    monkeypatch.setattr(sweep, "train_stack", full)
    stack: list[Any] = ["a", "b", "c"]
    assert sweep.train_as_fits(stack, Display("none", 3), train.Clock(None)) == stack


@pytest.mark.parametrize(("on_cores", "sharing"), [(True, 9), (False, 1)])
def test_a_sweep_counts_what_is_left_to_train_and_who_shares_the_memory(
    on_cores: bool, sharing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of four runs of ten epochs one is finished and one was cut short after three; there are nine workers."""
    runs, settings = [run_of("epochs=10", f"seed={n}") for n in range(4)], {"max_minutes": None, "progress": "lines"}
    jobs: list[Any] = [
        SimpleNamespace(run=run, folder=layout.folder_of(run, tmp_path), values=settings) for run in runs
    ]
    for job, name, text in ((jobs[0], "summary.json", "{}"), (jobs[1], "metrics.csv", "the columns\n1\n2\n3\n")):
        job.folder.mkdir()
        (job.folder / name).write_text(text)
    asked, displays, preferred = set[int](), list[Display](), set[bool]()

    def plan(*given: Any, prefer_one_seed: bool) -> Any:
        preferred.add(prefer_one_seed)
        return planning.plan(*given, prefer_one_seed)

    monkeypatch.setattr(sweep, "plan", plan)
    monkeypatch.setattr(sweep, "members_that_fit", lambda _, sharing: asked.add(sharing) or 16)
    sweep.run_sweep(jobs, None, lambda _, display, __: displays.append(display) or {}, workers=9, on_cores=on_cores)
    assert [(display.total, display.done, display.workers) for display in displays] == [(30, 3, 3)]
    said = "4 runs, 1 finished already; 3 to train in 3 stacks by 3 workers\n"
    assert capsys.readouterr().out == said
    assert asked == {sharing}
    assert preferred == {on_cores}


def test_members_follow_the_memory_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    from bayes_pruning.models import networks

    size = capacity.footprint(networks.fcn((1, 28, 28), 10, [256, 128]), (1, 28, 28))
    assert size.parameters == 784 * 256 + 256 + 256 * 128 + 128 + 1280 + 10
    assert (size.largest_parameter, size.largest_activation) == (784 * 256, 784)
    cpu = torch.device("cpu")
    assert capacity.most_members(size, 64, cpu, free=0) == 1
    at_hand = SimpleNamespace(available=30 * 2**20, total=2**40)
    monkeypatch.setattr(capacity.psutil, "virtual_memory", lambda: at_hand)
    assert capacity.most_members(size, 64, cpu) == 2  # of 8.7 MB each: four fifths are 25 MB
    assert 2 < capacity.most_members(size, 64, cpu, free=300 * 2**20) <= capacity.MOST_MEMBERS_ON_CPU
    wide = capacity.footprint(networks.cnn((1, 28, 28), 10, [32, 64], 3, 128), (1, 28, 28))
    assert capacity.most_members(wide, 64, cpu, free=2**40) == 5  # 64 images by 32 filters are 6.4 MB of the 32 MiB
    assert capacity.evaluation_rows(wide) == 334  # of 100 KB each
    assert wide.operations == 2 * (32 * 9 * 28**2 + 64 * 32 * 9 * 14**2 + 64 * 7**2 * 128 + 128 * 10)
    assert (wide.patches, wide.largest_patches) == (9 * 28**2 + 32 * 9 * 14**2, 32 * 9 * 14**2)
    huge = replace(wide, largest_activation=2**40)
    assert capacity.evaluation_rows(huge) == capacity.evaluation_rows(huge, torch.device("meta")) == 1


@pytest.mark.usefixtures("digits_only")
def test_max_members_bounds_a_stack(command: Command, tmp_path: Path) -> None:
    arguments = ("pruner=random", "seed=range(0,5)", "progress=lines", f"output_dir={tmp_path}")
    code, printed = command(*SWEEP, *arguments, "hydra.launcher.max_members=2", "hydra.launcher.workers=1")
    assert not code
    assert "5 to train in 3 stacks" in printed
    assert "\nstack 1/3  epoch 1/2 of " in printed
    code, _ = command(*SWEEP, *arguments, "hydra.launcher.max_members=0")
    assert "hydra.launcher.max_members=0 is not accepted" in code


def test_what_can_share_a_stack() -> None:
    def job(*overrides: str, **settings: str) -> Any:
        return SimpleNamespace(run=run_of(*overrides), values=settings)

    base = planning.stack_key(job())
    for same in ("seed=4", "sparsity=0.1", "pruner=none", "protocol.beta=3", "protocol.regrow=false"):
        assert planning.stack_key(job(same)) == base, same
    for other in ("model=cnn", "batch_size=32", "learning_rate=0.1", "epochs=3", "protocol.prunes=parameters"):
        assert planning.stack_key(job(other)) != base, other
    for other in ("precision=tf32", "dataset.mean=[0]", "model.hidden=[8]"):
        assert planning.stack_key(job(other)) != base, other
    settings = ("output_dir", "data_root", "device", "deterministic", "compile", "checkpoint_seconds", "log_evidence")
    for setting in settings:
        assert planning.stack_key(job(**{setting: "another"})) != base, setting
    sgd = "optimizer=sgd"
    assert len({base, planning.stack_key(job(sgd)), planning.stack_key(job(sgd, "momentum=0.9"))}) == 3


@pytest.mark.parametrize("more", [[], ["wandb.group=${pruner.name} at ${sparsity}-${seed}", "+twice=${wandb.group}"]])
def test_configs_made_from_a_template_are_hydras_own(more: list[str]) -> None:
    """A test of `Composer` against Hydra, for every field of the config and of Hydra's node."""
    choices = (["none", "bayes_random"], ["0.25", "5e-1", "1e-05", "'0.5'"], ["0", "7"])
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("config", ["experiment=smoke"], RunMode.MULTIRUN)
        composer = Composer(loader, master)
        for pruner, sparsity, seed in list(itertools.product(*choices))[::3]:  # each choice, and most pairs
            job = ["experiment=smoke", f"pruner={pruner}", f"sparsity={sparsity}", "+note=x", *more, f"seed={seed}"]
            made_from_template, wanted = composer.config(job), loader.load_sweep_config(master, job)
            for config in (made_from_template, wanted):
                config.hydra.job.override_dirname = "a name that nothing reads"
            assert OmegaConf.to_yaml(made_from_template) == OmegaConf.to_yaml(wanted)
            plain = OmegaConf.to_container(without_hydra(wanted), resolve=True)
            assert composer.values(job) == plain


def test_an_interpolation_costs_no_composition_of_hydras(monkeypatch: pytest.MonkeyPatch) -> None:
    """20 seeds at 2 sparsities are one composition, also where a field follows their numbers."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        group = "wandb.group=${model.name}-${seed}-${sparsity}"
        composer = Composer(loader, loader.load_configuration("config", [group], RunMode.MULTIRUN))
        composed: list[Any] = []
        original = loader.load_sweep_config
        monkeypatch.setattr(loader, "load_sweep_config", lambda *a: composed.append(a) or original(*a))
        jobs = [[group, f"sparsity={sparsity}", f"seed={seed}"] for sparsity in (0.5, 0.9) for seed in range(20)]
        groups = {composer.values(job)["wandb"]["group"] for job in jobs}
        assert len(composed) == 1
        assert len(groups) == 40
        assert "fcn-19-0.9" in groups


def test_what_a_template_can_not_say_is_composed_by_hydra() -> None:
    """A field that is made of all of a job's overrides."""
    group = "wandb.group=${hydra:job.override_dirname}"
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("config", [group], RunMode.MULTIRUN)
        composer = Composer(loader, master)
        for job in ([group, "seed=1"], [group, "seed=2"]):
            found, wanted = composer.config(job), loader.load_sweep_config(master, job)
            assert OmegaConf.to_yaml(found) == OmegaConf.to_yaml(wanted)


def test_a_number_whose_file_says_more_is_composed_by_hydra(tmp_path: Path) -> None:
    conf = shutil.copytree(conf_dir(), tmp_path / "conf")
    (conf / "seed" / "7.yaml").write_text("# @package _global_\nseed: 7\nepochs: 2\n")
    with initialize_config_dir(str(conf), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        composer = Composer(loader, loader.load_configuration("config", [], RunMode.MULTIRUN))
        assert [composer.values([f"seed={seed}"])["epochs"] for seed in (1, 7)] == [25, 2]


def _jobs_of(sweeper: GridSweeper, *arguments: str) -> list[list[str]]:
    """The jobs that a launcher is handed which does not look at them itself."""
    launched: list[list[str]] = []

    def launch(jobs: list[list[str]], initial_job_idx: int) -> list[Any]:
        launched.extend(jobs)
        return []

    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        sweeper.loader = GlobalHydra.instance().config_loader()
        sweeper.config = sweeper.loader.load_configuration("config", [], RunMode.MULTIRUN)
        sweeper.launcher = SimpleNamespace(launch=launch)  # type: ignore[assignment]
        sweeper.sweep(list(arguments))
    return launched


def test_a_sweep_is_the_product_of_an_experiments_choices_for_each_of_its_grids() -> None:
    """A field that is given on the command line has the choices from there; one of a grid those of the grid."""
    grids = [{"sparsity": "0.5,0.9"}, {"pruner": "magnitude", "epochs": "2"}]
    sweeper = GridSweeper({"pruner": "random,none", "seed": "range(0,5)"}, grids)
    assert _jobs_of(sweeper, "seed=3,4") == [
        *(
            ["pruner=" + p, "sparsity=" + r, "seed=" + s]
            for p in ("random", "none")
            for r in ("0.5", "0.9")
            for s in "34"
        ),
        *(["pruner=magnitude", "epochs=2", "seed=" + s] for s in "34"),
    ]
    assert _jobs_of(GridSweeper(), "seed=1", "pruner=random,none") == [
        ["seed=1", "pruner=random"],
        ["seed=1", "pruner=none"],
    ]


def test_a_bad_job_of_a_sweep_is_named_before_any_is_launched() -> None:
    with pytest.raises(UserError, match=r"sparsity=1\.5 .* a number from 0 to 1"):
        _jobs_of(GridSweeper(), "pruner=random", "sparsity=0.5,1.5")


@pytest.mark.parametrize("several", ["smoke,table1", "glob(s*)", "choice(smoke,table1)"])
def test_several_experiments_are_refused_because_their_grids_would_be_lost(several: str) -> None:
    with pytest.raises(UserError, match=r"^experiment takes one name in a sweep, .*: give a command for each\.$"):
        _jobs_of(GridSweeper(), f"experiment={several}")


def test_the_grid_of_the_paper_has_630_runs() -> None:
    """Each choice of a group is composed once, not each job: it has its own node of the config."""
    params = OmegaConf.load(conf_dir() / "experiment" / "table1.yaml").hydra.sweeper.params
    nodes: list[list[dict[str, Any]]] = []
    for field, text in params.items():
        if field in ("sparsity", "seed"):
            nodes.append([{field: as_number(name)} for name in _choices(str(text))])
        else:
            configs: list[Any] = [composed("experiment=table1", f"{field}={name}") for name in _choices(text)]
            nodes.append([{field: OmegaConf.to_container(config, resolve=True)[field]} for config in configs])
    base: Any = OmegaConf.to_container(composed("experiment=table1"), resolve=True)
    hashes = {_hash({**base, **dict(ChainMap(*job))}) for job in itertools.product(*nodes)}
    assert len(hashes) == 3 * 2 * 5 * 4 * 5 + 30 == 630


def test_the_grid_of_schedules_has_540_runs() -> None:
    """docs/bayesian_schedule.md; the unpruned network has no sparsity."""
    params = OmegaConf.load(conf_dir() / "experiment" / "schedules.yaml").hydra.sweeper.params
    count = {field: len(_choices(str(text))) for field, text in params.items()}
    assert count["dataset"] * count["model"] * (1 + (count["pruner"] - 1) * count["sparsity"]) * count["seed"] == 540


def test_the_grid_of_readings_has_all_but_the_one_that_prunes_biases() -> None:
    grids = OmegaConf.load(conf_dir() / "experiment" / "readings.yaml").hydra.sweeper.grids
    protocols = {path.stem for path in (conf_dir() / "protocol").glob("*.yaml")}
    assert {name for grid in grids for name in _choices(grid.protocol)} == protocols - {"with_biases"}


def _choices(text: str) -> list[str]:
    return [str(i) for i in range(5)] if text == "range(0,5)" else text.split(",")


def _hash(values: dict[str, Any]) -> str:
    from bayes_pruning.config.schema import run_config

    return run_config(values).hash()


@pytest.mark.slow
def test_two_processes_on_one_grid_do_not_harm_each_other(command: Command, tmp_path: Path) -> None:
    sweep = ("-m", "dataset=mnist_5k", "epochs=4", "pruner=random,bayes_magnitude", "seed=0,1", *QUIET)
    arguments = [sys.executable, str(ROOT / "train.py"), *sweep, f"output_dir={tmp_path / 'two'}"]
    first = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, env=ONE_THREAD)
    while first.poll() is None and not list(tmp_path.glob("two/*/checkpoint.pt")):
        time.sleep(0.02)
    second = subprocess.run(arguments, capture_output=True, text=True, check=False, env=ONE_THREAD)
    assert first.wait() == 0
    assert second.returncode == 0 or "is being written by another process" in second.stderr
    assert not command(*sweep, f"output_dir={tmp_path / 'one'}")[0]
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


@pytest.mark.slow
def test_train_py_from_a_wheel_installed_elsewhere(tmp_path: Path) -> None:
    """The wheel holds package, plugins and configs; train.py alone in a folder uses them."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel], check=True
    )
    shutil.copy(ROOT / "train.py", tmp_path)
    program = f"import sys, runpy; sys.path.insert(0, {str(site)!r}); sys.argv[0] = 'train.py';" + (
        "import bayes_pruning; assert bayes_pruning.__file__.startswith(sys.path[0]);"
        "runpy.run_path('train.py', run_name='__main__')"
    )
    arguments = [*SWEEP, "pruner=random", "sparsity=0.73,0.9"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "2 finished" in done.stdout
    for folder in (tmp_path / "outputs").glob("mnist_5k*"):
        assert json.loads((folder / "summary.json").read_text())["epochs"] == 2


@pytest.mark.usefixtures("digits_only")
def test_max_minutes_leaves_stacks_that_did_not_start_alone(command: Command, tmp_path: Path) -> None:
    arguments = ("pruner=random", "seed=range(0,4)", f"output_dir={tmp_path}", "hydra.launcher.max_members=2")
    code, printed = command(*SWEEP, *arguments, "max_minutes=0.0001")
    assert not code
    assert " stopped, " in printed
    assert "\nmax_minutes was reached" in printed
    assert "; the same command goes on from there." in printed
    assert len(folders(tmp_path)) <= 2
    code, printed = command(*SWEEP, *arguments)
    assert not code
    assert "4 finished" in printed


def _summary_of(*overrides: list[str], status: str = "finished") -> list[str]:
    """The table of a sweep's runs, a line each, all with one last epoch."""
    jobs: list[Any] = [
        SimpleNamespace(run=(run := run_of(*given)), folder=layout.folder_of(run, "o")) for given in overrides
    ]
    last: Any = {"test_accuracy": 0.25, "pruned_test_accuracy": 0.5, "sparsity": 0.75, "epoch": 25, "pruned": 1}
    row = Metrics(**dict.fromkeys(COLUMNS, 0.125) | last)
    outcomes = {job.folder: Outcome(status, job.folder, metrics=row) for job in jobs}
    return sweep.summary(jobs, outcomes, 61).splitlines()


def test_the_summary_pools_seeds_and_nothing_else() -> None:
    rates = _summary_of(*(["learning_rate=" + rate, f"seed={s}"] for rate in ("0.001", "0.3") for s in (0, 1)))
    assert rates[0].split() == ["dataset", "model", "pruner", "sparsity", "learning_rate", "runs", *sweep.NUMBERS]
    assert [line.split()[4:6] for line in rates[1:3]] == [["0.001", "2"], ["0.3", "2"]]
    assert rates[1].split()[6:] == ["0.2500", "0.5000", "0.7500"]
    assert rates[3] == "4 finished, 1:01"
    named = _summary_of(*(["protocol=" + name] for name in ("paper", "mean", "inverse")))
    assert named[0].split()[4:6] == ["protocol", "runs"]
    assert [line.split()[4] for line in named[1:4]] == ["paper", "mean", "inverse"]
    changed = _summary_of(["protocol.beta=1"], ["protocol.beta=2"])
    assert [line.split()[4] for line in changed[:3]] == ["protocol.beta", "1.0", "2.0"]
    two = _summary_of(["epochs=3", "batch_size=9"], ["epochs=4", "batch_size=8"])
    assert [line.split()[4:6] for line in two[:2]] == [["epochs", "batch_size"], ["3", "9"]]  # in RunConfig's order


@pytest.mark.parametrize("status", ["stopped", "failed"])
def test_the_summary_has_no_accuracies_of_runs_that_are_not_finished(status: str) -> None:
    assert _summary_of(["seed=0"], status=status)[1].split()[4:] == ["0", "-", "-", "-"]


def test_the_summary_shows_no_sparsity_for_an_unpruned_run() -> None:
    assert _summary_of(["pruner=none", "sparsity=0.3"])[1].split()[:4] == ["mnist_5k", "fcn", "none", "-"]
