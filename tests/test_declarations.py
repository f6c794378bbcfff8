"""What a gate, a schedule and a pruner file declare decides the identity, the estimate, the options and the twin."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import synthetic
import torch
from conftest import QUIET, ROOT, composed, config_of, run_of
from omegaconf import OmegaConf, open_dict

from bayes_pruning.config import presets
from bayes_pruning.config.errors import UserError
from bayes_pruning.config.registry import GATES, SCHEDULES
from bayes_pruning.config.schema import run_config
from bayes_pruning.data.datasets import Dataset
from bayes_pruning.pruning.gates import gate
from bayes_pruning.pruning.schedules import schedule
from bayes_pruning.results import declared
from bayes_pruning.runs import tracking
from bayes_pruning.runs.train import job_of
from bayes_pruning.studies import table1
from bayes_pruning.training.trainer import Trainer

Command = Callable[..., tuple[Any, str]]
MINE = """
from bayes_pruning.pruning.gates import GateInput, gate
from bayes_pruning.pruning.schedules import schedule

def says_nothing(plan): return plan.sparsity if plan.log_bayes_factor(plan.sparsity) > plan.log_beta else None

@schedule(reads_bayes_factor=True)
def asks(plan): return says_nothing(plan)

@schedule(reads_bayes_factor=False)
def asks_not(plan): return plan.sparsity

def undeclared(seen, least: float = 0.5, *, names: list[str] | None = None): return True

def of_a_stub(seen: "OfAStub", most: int = 3): return True

@gate(reads_bayes_factor=False)
def blind(seen): return True

@gate(reads_bayes_factor=False)
def never(seen, **anything): return True

@gate(estimate=lambda candidate, nats=7.25: nats)
def estimated(seen: GateInput, nats: float = 7.25): return seen.log_bayes_factor is not None
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A researcher's own functions, to be imported as my_pruning."""
    (tmp_path / "my_pruning.py").write_text(MINE)
    (tmp_path / "my_broken.py").write_text("import nothing_of_this_name")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_pruning", raising=False)


def hashes(*overrides: str, field: str = "protocol.beta", values: tuple[Any, ...] = (0.5, 2.0)) -> int:
    """How many runs these overrides and two values of a field describe."""
    return len({run_of(*overrides, f"{field}={value}").hash() for value in values})


def test_all_our_own_gates_and_schedules_declare_what_they_read() -> None:
    for registry in (GATES, SCHEDULES):
        registry.find("always" if registry is GATES else "constant")
        assert len(registry.functions) > 4
        assert all(hasattr(function, "declared") for function in registry.functions.values())


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("schedule", "runs"),
    [
        ("constant", 1),
        ("evidence", 2),
        ("my_pruning.says_nothing", 2),
        ("my_pruning.asks", 2),
        ("my_pruning.asks_not", 1),
    ],
)
def test_beta_and_ratio_are_of_a_run_whose_schedule_reads_a_bayes_factor(schedule: str, runs: int) -> None:
    overrides = ("pruner=magnitude", f"pruner.schedule={schedule}")
    assert hashes(*overrides) == runs
    assert hashes(*overrides, field="protocol.ratio", values=("of_logs", "pruned_over_unpruned")) == runs
    assert hashes(*overrides, field="protocol.decision", values=("previous", "candidate")) == 1


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("gate", "runs"), [("my_pruning.undeclared", 2), ("my_pruning.estimated", 2), ("my_pruning.blind", 1)]
)
def test_beta_is_of_a_run_whose_gate_reads_a_bayes_factor(gate: str, runs: int) -> None:
    assert hashes("pruner=magnitude", f"pruner.gate={gate}") == runs


@pytest.mark.usefixtures("mine")
def test_a_run_of_another_beta_is_another_run_where_an_own_schedule_reads_it(
    digits_only: None, command: Command, tmp_path: Path
) -> None:
    own = ("dataset=mnist_5k", "model.hidden=[4]", "pruner=magnitude", "pruner.schedule=my_pruning.asks", "epochs=1")
    for beta in (0.5, 2.0):
        code, said = command(*own, *QUIET, f"protocol.beta={beta}", f"output_dir={tmp_path / 'out'}")
        assert not code
        assert "is finished:" in said
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize(
    "path", ["bayes_pruning.pruning.gates.laplace_evidence", "bayes_pruning.pruning.laplace_evidence"]
)
def test_the_dotted_path_of_our_own_function_is_its_short_name(path: str) -> None:
    short, dotted = (run_of("pruner=bayes_magnitude", f"pruner.gate={gate}") for gate in ("laplace_evidence", path))
    assert short == dotted
    assert GATES.find(path) is GATES.find("laplace_evidence")
    assert GATES.declared(path).estimate is not None


@pytest.mark.usefixtures("mine")
def test_a_users_function_is_not_ours_of_the_same_name_and_may_take_any_option() -> None:
    run = job_of(config_of("pruner=magnitude", "pruner.gate=my_pruning.never", "+pruner.gate_options.any=3")).run
    assert run.pruner.gate == "my_pruning.never"
    assert not run.unpruned
    assert GATES.find("never").__module__ == "bayes_pruning.pruning.gates"
    with pytest.raises(UserError, match=r"pruner\.gate=bayes_pruning_of_mine\.always is not accepted: "):
        run_of("pruner=magnitude", "pruner.gate=bayes_pruning_of_mine.always").hash()


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(("options", "nats"), [((), 7.25), (("+pruner.gate_options.nats=-3.5",), -3.5)])
def test_a_users_gate_tests_its_own_estimate(options: tuple[str, ...], nats: float, few_digits: Dataset) -> None:
    run = run_of("pruner=magnitude", "pruner.gate=my_pruning.estimated", "protocol.decision=candidate", *options)
    trainer = Trainer([run], few_digits, torch.device("cpu"))
    [row] = trainer.run_epoch()
    assert row is not None
    assert (row.pruned, trainer.decisions[0].tested) == (1, nats)


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("overrides", "named", "said"),
    [
        (
            ("+pruner.schedul=gradual",),
            "pruner.schedul=gradual",
            "pruner has only control_of, gate, gate_options, masks",
        ),
        (("+epoch=3",), "epoch=3", "the config has only batch_size, checkpoint_seconds, compile, data_root"),
        (("+epoch=3",), "epoch=3", "max_minutes, model, momentum, optimizer, output_dir, precision"),
        (("+experiment.epochs=3",), "experiment={'epochs': 3}", 'begins with the line "# @package _global_"'),
        (("+wandb.grup=mine",), "wandb.grup=mine", "wandb has only entity, group, mode or project"),
        (("+protocol.bta=0.5",), "protocol.bta=0.5", "protocol has only beta, decision, first_gate"),
        (("+protocol.prior.sd=1",), "protocol.prior.sd=1", "protocol.prior has only mean or std"),
        (("+dataset.men=[0]",), "dataset.men=[0]", "dataset has only loader, mean, name or std"),
        (("+pruner.gate_options.evry=2",), "pruner.gate_options.evry=2", "always has none"),
        (("pruner.gate=alternate", "+pruner.gate_options.evry=2"), "gate_options.evry=2", "alternate has only every"),
        (("pruner.gate=alternate", "+pruner.gate_options.every=x"), "every=x", "a whole number of at least 1"),
        (("pruner.gate=alternate", "+pruner.gate_options.every=0"), "every=0", "a whole number of at least 1"),
        (("pruner.gate=matched_rate",), "pruner.gate_options.openings", "matched_rate needs"),
        (("pruner=matched_random",), "pruner.gate_options.openings", "matched_rate needs"),
        (
            ("pruner=matched_random", "pruner.gate_options.openings=26"),
            "pruner.gate_options.openings=26",
            "a whole number from 0 to epochs=25",
        ),
        (("pruner.schedule=gradual", "+pruner.schedule_options.start=1"), "schedule_options.end", "gradual needs"),
        (("pruner=gradual", "pruner.schedule_options.power=steep"), "power=steep", "a number above 0"),
        (("pruner=gradual", "pruner.scope=net"), "pruner.scope=net", "layer or global"),
        (("pruner.gate=my_pruning.undeclared", "+pruner.gate_options.least=x"), "least=x", "a valid number"),
        (("pruner.gate=my_pruning.undeclared", "+pruner.gate_options.least='0.5'"), "least='0.5'", "a valid number"),
        (("learning_rate='1e-3'",), "learning_rate='1e-3'", "a number above 0"),
        (
            ("pruner.gate=my_pruning.misspelt",),
            "my_pruning.misspelt",
            "'my_pruning' has no attribute 'misspelt')",
        ),
        (("model.builder=deep",), "model.builder=deep", "is not accepted"),
        (("pruner.gate=my_broken.mine",), "my_broken.mine", "(No module named 'nothing_of_this_name')"),
        (
            ("pruner.gate=my_pruning.undeclared", "+pruner.gate_options.names=[1]"),
            "names=[1]",
            "takes list[str] | None",
        ),
        (("pruner.gate=my_pruning.undeclared", "+pruner.gate_options.most=1"), "most=1", "has only least or names"),
    ],
)
def test_a_misspelt_key_or_an_option_of_another_type_is_one_sentence(
    overrides: tuple[str, ...], named: str, said: str
) -> None:
    chosen = () if overrides[0].startswith("pruner=") else ("pruner=magnitude",)
    with pytest.raises(UserError) as caught:
        job_of(config_of(*chosen, *overrides))
    assert named in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("mine")
def test_options_of_a_function_whose_types_can_not_be_looked_up_are_checked_by_name_alone() -> None:
    gate_of_mine = ("pruner=magnitude", "pruner.gate=my_pruning.of_a_stub")
    job_of(config_of(*gate_of_mine, "+pruner.gate_options.most=few"))
    with pytest.raises(UserError, match="least=3"):
        job_of(config_of(*gate_of_mine, "+pruner.gate_options.least=3"))


def test_a_misspelt_field_is_named_rather_than_the_one_that_is_missing_then() -> None:
    config = config_of("pruner=magnitude")
    with open_dict(config):
        config.protocol.bta = config.protocol.pop("beta")
    with pytest.raises(UserError, match=r"protocol\.bta=0\.5"):
        run_config(config)


def trained(command: Command, output: Path, *overrides: str) -> tuple[Path, dict[str, Any]]:
    """The folder and the summary of a run of one epoch."""
    before = set(output.glob("*"))
    code, _ = command("dataset=mnist_5k", "model.hidden=[4]", "epochs=1", *overrides, f"output_dir={output}")
    assert not code
    [folder] = set(output.glob("*")) - before or before
    return folder, json.loads((folder / "summary.json").read_text())


def test_what_is_saved_of_kept_masks_is_what_was_trained(
    digits_only: None, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(tracking._Helper, "send", lambda _, message: sent.append(message))
    quiet = ("progress=none", "pruner=gradual", "pruner.schedule_options.end=1")
    folder, summary = trained(command, tmp_path, *quiet)
    saved: Any = OmegaConf.load(folder / ".hydra" / "config.yaml")
    assert saved.pruner.masks == "kept"
    assert [saved.protocol.regrow, sent[0]["open"]["config"]["protocol"]["regrow"], summary["protocol"]["regrow"]] == [
        False
    ] * 3
    assert ["open" in message for message in sent] == [True, False, False]


def test_what_is_saved_of_an_unpruned_run_with_adam_names_no_pruning_of_biases_and_no_momentum(
    digits_only: None, command: Command, tmp_path: Path
) -> None:
    quiet = ("progress=none", "pruner=none", "protocol=with_biases", "momentum=0.9", "wandb.mode=disabled")
    folder, summary = trained(command, tmp_path, *quiet)
    saved: Any = OmegaConf.load(folder / ".hydra" / "config.yaml")
    assert saved.protocol.prunes == summary["protocol"]["prunes"] == "weights"
    assert saved.momentum == 0
    assert summary["prunable_weights"] == summary["parameters"] - 4 - 10


def test_a_pruner_file_names_the_bayes_method_that_it_is_a_control_of(monkeypatch: pytest.MonkeyPatch) -> None:
    assert declared.controls() == [("matched_random", "bayes_random")]
    runs = [synthetic.runs(f"mnist fcn {pruner} 0.5") for pruner in ("bayes_random", "matched_random", "random")]
    monkeypatch.setattr(declared, "controls", lambda: [("matched_random", "bayes_random"), ("random", "mine")])
    assert table1.controls(synthetic.frame(*runs)) == [("bayes_random", "matched_random")]  # of the paper's method


def test_a_pruner_file_names_its_twin_and_the_summary_carries_it(
    digits_only: None, command: Command, tmp_path: Path
) -> None:
    twins = {
        name: composed(f"pruner={name}").pruner.twin for name in ("bayes_random", "laplace_magnitude", "magnitude")
    }
    assert twins == {"bayes_random": "random", "laplace_magnitude": "magnitude", "magnitude": None}
    assert composed("pruner=bayes_schedule").pruner.twin is None
    _, summary = trained(command, tmp_path, *QUIET, "pruner=bayes_random")
    assert (summary["twin"], summary["reads_bayes_factor"], summary["unpruned"]) == ("random", True, False)
    _, summary = trained(command, tmp_path, *QUIET, "pruner=bayes_random", "pruner.name=mine", "pruner.twin=none")
    assert (summary["pruner"], summary["twin"]) == ("mine", "none")


def test_unpruned_is_the_gate_never_whatever_the_pruner_is_called(
    digits_only: None, command: Command, tmp_path: Path
) -> None:
    baseline = (*QUIET, "pruner=magnitude", "pruner.name=baseline", "pruner.gate=never")
    first, summary = trained(command, tmp_path, *baseline, "sparsity=0.5")
    second, _ = trained(command, tmp_path, *baseline, "sparsity=0.9")
    assert first == second
    assert first.name.startswith("mnist_5k-fcn-baseline-seed0-")
    assert (summary["sparsity"], summary["unpruned"], summary["reads_bayes_factor"]) == (0, True, False)
    assert OmegaConf.load(first / ".hydra" / "config.yaml").sparsity == 0  # type: ignore[union-attr]


def test_an_identity_and_a_decision_need_no_torch() -> None:
    program = (
        "import sys; from bayes_pruning.pruning import decision;"
        "from bayes_pruning.config.registry import GATES, SCHEDULES;"
        "GATES.declared('laplace_evidence'); SCHEDULES.declared('evidence'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("declare", [gate, schedule])
def test_a_decorator_without_parentheses_is_a_sentence(declare: Any) -> None:
    with pytest.raises(UserError, match=rf"^@{declare.__name__} takes parentheses, as in @{declare.__name__}\(\) or "):

        @declare
        def mine(seen: Any) -> bool:
            return True


def test_a_file_that_starts_from_another_has_its_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Hydra composes it, for a reading and for a pruner; what an editor leaves beside them is none."""
    conf = shutil.copytree(ROOT / "conf", tmp_path / "conf")
    for group, parent in (("protocol", "candidate"), ("pruner", "gradual")):
        (conf / group / "mine.yaml").write_text(f"defaults: [{parent}, _self_]\nname: mine\n")
        (conf / group / ".mine.yaml.swp").write_bytes(b"\xff")
        (conf / group / ".hidden.yaml").write_bytes(b"\xff")
    monkeypatch.setattr(presets, "conf_dir", lambda: conf)
    assert presets.values("mine") == presets.values("candidate") | {"name": "mine"}
    assert presets.values("mine")["decision"] == "candidate"
    assert presets.names.__wrapped__()[presets.protocol_text(presets.values("mine"))] == "candidate"  # the first of two
    files = declared._files.__wrapped__()
    assert files["mine"] == files["gradual"] | {"name": "mine"}
