"""The commands of the contract, and bad input: one clear sentence, a non-zero exit, nothing written."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from compositions import compose_anew
from conftest import ONE_THREAD, QUIET, ROOT, composed, config_of
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from needs import real_files
from omegaconf import OmegaConf

from bayes_pruning import cli
from bayes_pruning.config import paths
from bayes_pruning.config.errors import UserError
from bayes_pruning.config.paths import conf_dir
from bayes_pruning.config.schema import run_config
from bayes_pruning.runs.train import job_of
from hydra_plugins.bayes_pruning import number_groups

Command = Callable[..., tuple[Any, str]]


def test_every_option_of_every_group_composes_into_a_run() -> None:
    """One composition takes an option of each group, so that the largest group says how many are needed."""
    groups = ("dataset", "model", "pruner", "sparsity", "seed", "protocol")
    options = {group: sorted(path.stem for path in (conf_dir() / group).glob("*.yaml")) for group in groups}
    for number in range(max(map(len, options.values()))):
        chosen = {group: names[number % len(names)] for group, names in options.items()}
        config = composed(*(f"{group}={name}" for group, name in chosen.items()))
        run = run_config(config)
        for group in ("dataset", "model", "pruner", "protocol"):
            assert config[group].name == chosen[group]
        assert (config.sparsity, run.seed) == (float(chosen["sparsity"]), int(chosen["seed"]))
        assert run.sparsity == (0 if chosen["pruner"] == "none" else config.sparsity)


def test_every_experiment_composes_into_a_run() -> None:
    experiments = [path.stem for path in (conf_dir() / "experiment").glob("*.yaml")]
    assert len(experiments) >= 5
    for name in experiments:
        run_config(composed(f"experiment={name}"))


def test_the_defaults_are_those_that_the_pages_name() -> None:
    """What a published run had of a group's file is held by test_published.py."""
    config: Any = OmegaConf.to_container(composed(), resolve=True)
    groups = [config.pop(name)["name"] for name in ("dataset", "model", "pruner", "protocol")]
    assert config == {
        **{"sparsity": 0.75, "seed": 0, "epochs": 25, "batch_size": 64, "precision": "fp32"},
        **{"optimizer": "adam", "learning_rate": 0.001, "momentum": 0},
        **{"device": "auto", "data_root": "data", "output_dir": "outputs", "deterministic": False, "compile": False},
        **{"log_evidence": "asked", "checkpoint_seconds": 0, "progress": "auto", "max_minutes": None},
        "wandb": {"mode": "offline", "project": "bayes_pruning", "entity": None, "group": None},
    }
    assert groups == ["mnist", "fcn", "bayes_magnitude", "paper"]


def test_an_experiment_overrides_the_defaults_and_the_command_line_the_experiment() -> None:
    config = composed("experiment=smoke")
    assert (config.epochs, config.dataset.name, config.wandb.group) == (3, "mnist_5k", "smoke")
    assert composed("experiment=smoke", "epochs=7", "dataset=mnist").epochs == 7
    assert composed("experiment=smoke", "epochs=7", "dataset=mnist").dataset.name == "mnist"


@pytest.mark.parametrize("mode", [RunMode.RUN, RunMode.MULTIRUN])
def test_what_the_tests_let_hydra_compose_once_is_what_it_composes_anew(
    mode: RunMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Choices of groups, a number, a launcher, and values that must not stay for the next composition."""
    given = ["experiment=smoke", "pruner=random", "sparsity=0.3", "hydra/launcher=basic", "epochs=7"]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        loader.load_configuration("config", [*given, "batch_size=8", "+note=x", "hydra.job.name=y"], mode)
        kept = loader.load_configuration("config", given, mode)
        compose_anew(monkeypatch)
        anew = loader.load_configuration("config", given, mode)
    assert OmegaConf.to_yaml(kept) == OmegaConf.to_yaml(anew)
    assert OmegaConf.is_struct(kept)


@pytest.mark.parametrize(
    ("override", "field", "value"),
    [
        ("sparsity=0.73", "sparsity", 0.73),
        ("sparsity=0.5", "sparsity", 0.5),
        ("sparsity=1", "sparsity", 1),
        ("sparsity=5e-1", "sparsity", 0.5),
        ("sparsity='0.25'", "sparsity", 0.25),
        ("seed=17", "seed", 17),
    ],
)
def test_bare_numbers_are_options_of_the_number_groups(override: str, field: str, value: float) -> None:
    config = composed(override)
    assert config[field] == value
    assert isinstance(config[field], (int, float))


def test_a_hydra_without_the_hook_fails_with_a_clear_message(monkeypatch: pytest.MonkeyPatch) -> None:
    class Overrides:
        def __init__(self, repository: object) -> None: ...

    monkeypatch.setattr(number_groups.defaults_list, "Overrides", Overrides)
    with pytest.raises(CompactHydraException, match=r"install hydra-core>=1\.3\.8,<1\.5"):
        number_groups.install_hook()
    monkeypatch.delattr(number_groups.defaults_list, "Overrides")
    with pytest.raises(CompactHydraException, match=r"install hydra-core>=1\.3\.8,<1\.5"):
        number_groups.install_hook()


BAD_INPUT = [
    (("sparsity=-0.1",), "sparsity=-0.1", "a number from 0 to 1"),
    (("sparsity=1.01",), "sparsity=1.01", "a number from 0 to 1"),
    (("sparsity=nan",), "sparsity=nan", "a number from 0 to 1"),
    (("sparsity=lots",), "sparsity=lots", "a number from 0 to 1"),
    (("seed=-1",), "seed=-1", "a whole number of at least 0"),
    (("seed=1.5",), "seed=1.5", "a whole number of at least 0"),
    (("seed=9223372036854775808",), "seed=9223372036854775808", "a whole number of at least 0 and below 2^63"),
    (("epochs=0",), "epochs=0", "a whole number of at least 1"),
    (("epochs=2.5",), "epochs=2.5", "a whole number of at least 1"),
    (("batch_size=-64",), "batch_size=-64", "a whole number of at least 1"),
    (("learning_rate=0",), "learning_rate=0", "a number above 0"),
    (("optimizer=lbfgs",), "optimizer=lbfgs", "adam or sgd"),
    (("optimizer=sgd", "momentum=1"), "momentum=1", "a number from 0 to below 1"),
    (("momentum=-0.1",), "momentum=-0.1", "a number from 0 to below 1"),
    (("pruner=magic",), "pruner=magic", "magnitude, matched_random, none, one_shot or random"),
    (("pruner.selector=magic",), "pruner.selector=magic", "magnitude, none, random or snip"),
    (("pruner.gate=magic",), "pruner.gate=magic", "always, bayes_factor, laplace_evidence"),
    (("pruner=gradual_evidence", "pruner.selector_options.reliability=2"), "reliability=2", "a number from 0 to 1"),
    (("pruner=gradual_snip", "pruner.selector_options.examples=x"), "examples=x", "at least 1, or null"),
    (("pruner=laplace_random", "pruner.gate_options.draws=0"), "gate_options.draws=0", "at least 1, or null"),
    (("dataset=mnist_5k", "dataset.std=[.inf]"), "dataset.std=[inf]", "none infinite or NaN"),
    (("dataset=mnist_5k", "dataset.mean=[.nan]"), "dataset.mean=[nan]", "none infinite or NaN"),
    (("dataset=mnist_5k", "dataset.mean=[]"), "dataset.mean=[]", "a list of numbers"),
    (("dataset=mnist_5k", "dataset.loader=magic"), "dataset.loader=magic", "cifar10, fashion_mnist, mnist or mnist_5k"),
    (("dataset=mnist_5k", "model.builder=magic"), "model.builder=magic", "cnn, fcn or resnet18"),
    (("dataset=mnist_5k", 'dataset.name="a\\tb"'), "dataset.name=a\tb", "up to 60 bytes without /"),
    (("dataset=mnist_5k", "dataset.name=a/b"), "dataset.name=a/b", "up to 60 bytes without /"),
    (("dataset=mnist_5k", "model.name=/tmp"), "model.name=/tmp", "up to 60 bytes without /"),
    (("pruner=magnitude", "pruner.name=../../escaped"), "pruner.name=../../escaped", "up to 60 bytes without /"),
    (("pruner=magnitude", "pruner.name=''"), "pruner.name=", "up to 60 bytes without /"),
    (("dataset=mnist_5k", f"pruner.name={'x' * 61}"), "pruner.name=xxx", "up to 60 bytes without /"),
    (("dataset=mnist_5k", f"model.name='{'é' * 31}'"), "model.name=ééé", "up to 60 bytes without /"),
    (("experiment=tabel1",), "experiment=tabel1", "details, readings, schedules, smoke or table1"),
    (("dataset=mnits",), "dataset=mnits", "cifar10, fashion_mnist, mnist or mnist_5k"),
    (("model=rnn",), "model=rnn", "cnn, fcn or resnet18"),
    (("+model.activation=step",), "model.activation=step", "relu, sigmoid or tanh"),
    (("model.hidden=[]",), "model.hidden=[]", "whole numbers of at least 1"),
    (("model.hidden=[8,0]",), "model.hidden=[8, 0]", "whole numbers of at least 1"),
    (("model=cnn", "model.hidden=[8]"), "model.hidden=[8]", "a whole number of at least 1"),
    (("protocol.prior.std=0",), "protocol.prior.std=0", "a number above 0"),
    (("protocol.prior.mean=.nan",), "protocol.prior.mean=nan", "a number"),
    (("protocol.beta=-1",), "protocol.beta=-1", "a number above 0"),
    (("protocol.decision=next",), "protocol.decision=next", "previous or candidate"),
    (("protocol.ratio=golden",), "protocol.ratio=golden", "unpruned_over_pruned or of_logs"),
    (("protocol.first_gate=ajar",), "protocol.first_gate=ajar", "open or closed"),
    (("protocol.regrow=maybe",), "protocol.regrow=maybe", "true or false"),
    (("wandb.mode=loud",), "wandb.mode=loud", "offline, online or disabled"),
    (("wandb.entity=3",), "wandb.entity=3", "text, or null"),
    (("wandb.group=[a]",), "wandb.group=['a']", "text, or null"),
    (("progress=loud",), "progress=loud", "auto, bar, lines or none"),
    (("max_minutes=0",), "max_minutes=0", "a number above 0"),
    (("device=cuda:99",), "device=cuda:99", "use cpu"),
    (("device=abacus",), "device=abacus", "auto, cpu, cuda or cuda:N"),
]


def is_of_a_run(arguments: tuple[str, ...]) -> bool:
    """Whether a run's own check refuses this, so that no command is needed to see it."""
    group = arguments[0].partition("=")[0]
    dotted = "." in arguments[-1].partition("=")[0] and not group.lstrip("+").startswith("model")
    return dotted or group in ("sparsity", "seed", "epochs", "batch_size")


def assert_one_sentence(sentence: Any, named: str, accepted: str) -> None:
    assert isinstance(sentence, str)
    assert named in sentence
    assert accepted in sentence
    assert "\n" not in sentence.strip()


@pytest.mark.parametrize(("arguments", "named", "accepted"), [case for case in BAD_INPUT if is_of_a_run(case[0])])
def test_a_bad_value_of_a_run_is_one_sentence(arguments: tuple[str, ...], named: str, accepted: str) -> None:
    with pytest.raises(UserError) as caught:
        job_of(config_of(*arguments))
    assert_one_sentence(str(caught.value), named, accepted)


@pytest.mark.parametrize(("arguments", "named", "accepted"), [case for case in BAD_INPUT if not is_of_a_run(case[0])])
def test_a_bad_choice_is_one_sentence_with_nothing_written(
    arguments: tuple[str, ...], named: str, accepted: str, command: Command, tmp_path: Path
) -> None:
    output = tmp_path / "outputs"
    dataset = () if arguments[0].startswith("dataset") else ("dataset=mnist_5k",)
    quiet = [option for option in QUIET if option.split("=")[0] != arguments[0].split("=")[0]]
    code, _ = command(*dataset, *quiet, *arguments, f"output_dir={output}")
    assert_one_sentence(code, named, accepted)
    assert not output.exists()


@pytest.mark.parametrize(
    "bad",
    [
        "sparsity=1.01",
        "wandb.mode=loud",
        "pruner.gate=magic",
        "device=cuda:99",
        "seed=range(0,-2)",  # of no run
    ],
)
def test_a_sweep_with_a_bad_value_is_refused_before_any_of_it_is_written(
    bad: str, command: Command, tmp_path: Path
) -> None:
    sweep = ("-m", "dataset=mnist_5k", "pruner=random,magnitude", *QUIET)
    code, _ = command(*sweep, bad, f"output_dir={tmp_path / 'outputs'}")
    assert_one_sentence(code, bad, "")
    assert not (tmp_path / "outputs").exists()


def test_a_grid_without_m_is_refused_unless_every_field_is_given(command: Command, tmp_path: Path) -> None:
    one = ("experiment=smoke", "pruner=random", "sparsity=0.5", *QUIET, f"output_dir={tmp_path / 'outputs'}")
    code, _ = command(*one)
    assert code == "experiment=smoke is a grid over seed: train it with -m, or give each of these here."
    assert not (tmp_path / "outputs").exists()
    code, printed = command(*one, "seed=0")
    assert not code
    assert "is finished: " in printed


def test_fields_of_an_experiments_further_grids_are_asked_for_too() -> None:
    grids = [{"pruner": "none"}, {"pruner": "random", "sparsity": "0.5"}]
    node = OmegaConf.create(
        {
            "sweeper": {"params": {"seed": "0,1"}, "grids": grids},
            "overrides": {"task": ["experiment=mine", "seed=0", "sparsity=0.9"]},
            "runtime": {"choices": {"experiment": "mine"}},
        }
    )
    with pytest.raises(UserError, match=r"^experiment=mine is a grid over pruner: train it with -m, "):
        cli.check_is_one_run(node)


def test_the_configs_are_those_in_the_package_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "_PACKAGE", tmp_path / "bayes_pruning")
    assert conf_dir() == tmp_path / "conf"
    (tmp_path / "bayes_pruning" / "conf").mkdir(parents=True)
    assert conf_dir() == tmp_path / "bayes_pruning" / "conf"


def test_a_field_that_is_not_in_the_config_is_said_to_be_so(command: Command) -> None:
    code, _ = command("epoch=3")
    assert "Could not override 'epoch'" in code
    assert "Key 'epoch' is not in struct" in code


def test_bad_data_files_are_named_before_anything_is_written(command: Command, tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "t10k-labels-idx1-ubyte").write_bytes(b"short")
    code, _ = command(*QUIET, f"data_root={tmp_path}", f"output_dir={tmp_path / 'out'}")
    assert "t10k-labels-idx1-ubyte is truncated or altered" in code
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: mine\n  gate: always\n", r"mapping values are not allowed here in .*mine\.yaml\", line 2, column 7\.$"),
        ("name: mine\nselector: ${oops}\n", r"Interpolation key 'oops' not found"),
    ],
)
def test_a_config_file_that_can_not_be_read_is_one_sentence(
    text: str, said: str, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "pruner").mkdir()
    (tmp_path / "pruner" / "mine.yaml").write_text(text)
    for more in ((), ("-m",)):
        run = (f"--config-dir={tmp_path}", *more, "pruner=mine", "dataset=mnist_5k", *QUIET)
        code, _ = command(*run, f"output_dir={tmp_path / 'out'}")
        assert re.match(f"The config can not be read: .*{said}", code)
        assert "\n" not in code
        assert not (tmp_path / "out").exists()


def test_an_output_folder_that_can_not_be_written_is_named(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _ = command("dataset=mnist_5k", *QUIET, f"output_dir={tmp_path / 'file'}")
    assert f"output_dir={tmp_path / 'file'} can not be written" in code


@pytest.mark.slow
def test_a_full_run_through_the_command_line_learns_and_prunes(tmp_path: Path) -> None:
    """A real process, W&B offline and all; accuracy after 5 epochs as any such network reaches on 4,000 digits."""
    arguments = ["dataset=mnist_5k", "pruner=bayes_magnitude", "sparsity=0.5", "epochs=5", f"output_dir={tmp_path}"]
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "epoch 5/5" in done.stdout
    [folder] = tmp_path.glob("mnist_5k-fcn-*")
    rows = pd.read_csv(folder / "metrics.csv")
    assert rows.test_accuracy.iloc[-1] > 0.9
    assert (rows.sparsity[rows.pruned == 1].sub(0.5).abs() < 1e-5).all()
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 1
    config = OmegaConf.load(folder / ".hydra" / "hydra.yaml")
    assert config.hydra.runtime.output_dir == str(folder)


def test_a_run_imports_neither_wandb_nor_torchs_compiler_unless_it_needs_them(tmp_path: Path) -> None:
    """A machine without W&B can train with wandb.mode=disabled; the compiler takes two seconds to import."""
    program = (
        "import sys; sys.modules['wandb'] = None; sys.argv = ['train.py', *sys.argv[1:]];"
        "from bayes_pruning.cli import main; main(); assert 'torch._dynamo' not in sys.modules;"
        "assert not any(m.startswith('wandb.') for m in sys.modules)"
    )
    arguments = ["dataset=mnist_5k", "epochs=1", *QUIET, f"output_dir={tmp_path}"]
    subprocess.run([sys.executable, "-c", program, *arguments], cwd=ROOT, env=ONE_THREAD, check=True)


@pytest.mark.slow
def test_real_mnist_reaches_95_percent_in_one_epoch(command: Command, tmp_path: Path) -> None:
    root = real_files("mnist")
    code, _ = command("dataset=mnist", "epochs=1", f"data_root={root}", *QUIET, f"output_dir={tmp_path}")
    assert not code
    [folder] = tmp_path.iterdir()
    assert pd.read_csv(folder / "metrics.csv").test_accuracy.iloc[0] > 0.95
