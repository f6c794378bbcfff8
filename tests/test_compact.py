"""Compacted networks: same outputs to rounding, nothing dead left, the border of padded convolutions, files, script."""

import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import QUIET, composed
from fixtures import summary
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from safetensors.numpy import load as load_arrays
from safetensors.torch import load_file, save_file
from scipy.sparse import csr_array
from synthetic import assert_one_sentence_each
from torch import Tensor, nn

from bayes_pruning.config.errors import UserError
from bayes_pruning.config.registry import SELECTORS
from bayes_pruning.data import datasets
from bayes_pruning.data.datasets import Dataset
from bayes_pruning.models import networks
from bayes_pruning.pruning.masks import keep_mask, pruned_count
from bayes_pruning.pruning.selectors import Layer
from bayes_pruning.studies import compact_measures
from bayes_pruning.studies.compact import Select, compact, load, multiply_adds, save, sparse_bytes
from bayes_pruning.studies.compact_measures import sparse_twin

SHAPE = (2, 8, 8)
BUILDERS: dict[str, Callable[[], nn.Sequential]] = {
    "fcn": lambda: networks.fcn(SHAPE, 3, [9, 7, 5]),
    "cnn": lambda: networks.cnn(SHAPE, 3, [5, 6, 4], 3, 7),
    "unpadded cnn": lambda: networks.cnn(SHAPE, 3, [5, 6], 1, 7),
    "no relu, padded pooling, stride": lambda: nn.Sequential(
        nn.Conv2d(2, 5, 3, stride=2, padding=1),
        nn.MaxPool2d(3, 1, padding=1),
        nn.Conv2d(5, 4, 2, padding="valid", dilation=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 6),
        nn.Linear(6, 3),
        nn.ReLU(),
    ),
}


def weighted(model: nn.Module) -> list[Any]:
    return [layer for layer in model.modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@torch.no_grad()
def random_network(kind: str, seed: int, dead: float, sparsity: float) -> nn.Sequential:
    """Random weights and biases; of the hidden units a fraction `dead` has no inputs, another such no outputs."""
    torch.manual_seed(seed)
    model = BUILDERS[kind]().double()
    layers = weighted(model)
    for layer in layers:
        layer.weight.normal_()
        layer.bias.normal_()
        layer.weight[torch.rand_like(layer.weight) < sparsity] = 0
    for layer, following in pairwise(layers):
        layer.weight[torch.rand(len(layer.weight)) < dead] = 0
        columns = following.weight.view(len(following.weight), len(layer.weight), -1)
        columns[:, torch.rand(len(layer.weight)) < dead] = 0
    return model


small_networks = st.builds(
    random_network,
    st.sampled_from(sorted(BUILDERS)),
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.3, 0.6, 1.0]),
    st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]),
)


@torch.no_grad()
def rounding_bound(model: nn.Sequential, images: Tensor) -> Tensor:
    """How far two float32 evaluations of `model` can be apart: [batch, outputs], from the standard error analysis.

    A sum of n products is off by at most n u / (1 - n u) times the sum of the absolute products, u = 2^-24; through all
    layers it is the network of absolute weights on absolute inputs that is multiplied, and the layers' n add up.
    """
    terms, magnitude = 0, images.double().abs()
    for layer in deepcopy(model).double():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            terms += layer.weight[0].numel() + 2
            layer.weight.abs_()
            layer.bias.abs_()
        magnitude = layer(magnitude)
    return 2 * terms * 2**-24 * magnitude


def assert_same_outputs(model: nn.Sequential, small: nn.Sequential, images: Tensor) -> None:
    """In the network's own precision, to rounding."""
    with torch.no_grad():
        apart = (model(images) - small(images)).abs()
    bound = rounding_bound(model, images)
    if images.dtype == torch.float64:
        bound = bound * 2**-29  # u is 2^-53
    assert (apart <= bound).all()


@given(small_networks, st.booleans())
@settings(deadline=None, max_examples=80)
def test_outputs_stay_to_rounding_and_parameters_never_grow(model: nn.Sequential, single: bool) -> None:
    model = model.float() if single else model
    images = torch.randn(4, *SHAPE, dtype=torch.float32 if single else torch.float64)
    small = compact(model)
    assert_same_outputs(model, small, images)
    assert parameters(small) <= parameters(model)


@given(small_networks)
@settings(deadline=None, max_examples=50)
def test_compacting_again_changes_nothing(model: nn.Sequential) -> None:
    once = compact(model)
    twice = compact(once)
    assert repr(once) == repr(twice)
    assert once.state_dict().keys() == twice.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(once.state_dict().values(), twice.state_dict().values(), strict=True))


@given(small_networks)
@settings(deadline=None, max_examples=50)
def test_nothing_dead_is_left(model: nn.Sequential) -> None:
    """Hidden units have inputs, but for one constant filter before a padded convolution; all inputs are used.

    A convolution all of whose inputs meet zeros keeps one of them for its size.
    """
    small = compact(model)
    selects = {layer: before for before, layer in pairwise(small) if isinstance(before, Select)}
    for layer, following in pairwise([None, *weighted(small)]):
        weight = following.weight
        used = weight.transpose(0, 1).flatten(1).any(1)
        padded = isinstance(following, nn.Conv2d) and following.padding not in ((0, 0), "valid")
        assert used.all() or (isinstance(following, nn.Conv2d) and len(used) == 1)
        if layer is None:
            continue
        without_inputs = int((~layer.weight.flatten(1).any(1)).sum())
        assert without_inputs <= (1 if padded else 0)
        select = selects.get(following)
        features = torch.arange(weight.shape[1]) if select is None else select.index
        positions = (weight.shape[1] if select is None else select.inputs) // len(layer.weight)
        assert sorted(set((features // positions).tolist())) == list(range(len(layer.weight)))


def test_the_model_and_the_random_state_are_left_alone() -> None:
    model = random_network("cnn", 0, 0.5, 0.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    compact(model)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def linear(weight: list[list[float]], bias: list[float]) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight))
    layer.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})
    return layer


def conv(weight: Tensor, bias: list[float], padding: int) -> nn.Conv2d:
    layer = nn.Conv2d(weight.shape[1], len(weight), weight.shape[2], padding=padding)
    layer.load_state_dict({"weight": weight, "bias": torch.tensor(bias)})
    return layer


def test_biases_of_dead_units_are_folded_through_relu() -> None:
    """Units: one alive, one of constant 2, one of constant relu(-3) = 0, one that nobody uses; input 1 meets zeros."""
    first = linear([[1.0, 0, 5], [0, 0, 0], [0, 0, 0], [7, 7, 7]], [0.5, 2, -3, 1])
    small = compact(nn.Sequential(nn.Flatten(), first, nn.ReLU(), linear([[4.0, 8, 16, 0]], [1.0])))
    _, select, hidden, _, out = small
    assert select.index.tolist() == [0, 2]
    assert hidden.weight.tolist() == [[1, 5]]
    assert hidden.bias.tolist() == [0.5]
    assert out.weight.tolist() == [[4]]
    assert out.bias.tolist() == [1 + 2 * 8]


def test_removal_cascades_in_both_directions() -> None:
    """Forwards: 1 -> 1 -> 1 of constants ends in the last bias. Backwards: what feeds only an unused unit goes."""
    first = linear([[0.0, 0], [0, 3], [1, 0]], [1.0, 0, 0])
    second = linear([[2.0, 0, 0], [0, 1, 0], [0, 0, 1]], [1.0, 0, 0])
    third = linear([[10.0, 0, 4]], [0.25])
    small = compact(nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third))
    assert [layer.weight.tolist() for layer in weighted(small)] == [[[1]], [[1]], [[4]]]
    assert [layer.bias.tolist() for layer in weighted(small)] == [[0], [0], [0.25 + 10 * (2 * 1 + 1)]]
    assert small[0].index.tolist() == [0]


def two_convolutions(biases: list[float], padding: int) -> nn.Sequential:
    """Filters without weights, then the sum over 3 x 3: with padding 1, c gives 4 c in the corners and 9 c inside."""
    first = conv(torch.zeros(len(biases), 1, 1, 1), biases, 0)
    return nn.Sequential(first, nn.ReLU(), conv(torch.ones(1, len(biases), 3, 3), [0.5], padding))


def test_a_constant_image_is_not_folded_across_a_padded_border() -> None:
    small = compact(two_convolutions([1.0], padding=1))
    expected = torch.tensor([[4.0, 6, 6, 4], [6, 9, 9, 6], [6, 9, 9, 6], [4, 6, 6, 4]]) + 0.5
    assert small(torch.randn(1, 1, 4, 4))[0, 0].tolist() == expected.tolist()


def test_constant_filters_before_a_padded_convolution_become_one() -> None:
    small = compact(two_convolutions([1.0, 2, -5, 4], padding=1))
    first, _, second = small
    assert first.weight.shape == (1, 1, 1, 1)
    assert first.bias.tolist() == [1]
    assert second.weight.tolist() == torch.full((1, 1, 3, 3), 7.0).tolist()
    expected = 7 * torch.tensor([[4.0, 6, 4], [6, 9, 6], [4, 6, 4]]) + 0.5
    assert small(torch.randn(1, 1, 3, 3))[0, 0].tolist() == expected.tolist()


def test_what_feeds_only_constant_filters_keeps_an_image_size_and_no_weights() -> None:
    model = nn.Sequential(
        conv(torch.randn(5, 2, 3, 3), [0.0] * 5, 1), nn.ReLU(), *two_convolutions([1.0, 2], padding=1)
    )
    model[2] = conv(torch.zeros(2, 5, 3, 3), [1.0, 2], 1)
    small = compact(model)
    assert [layer.weight.shape[:2] for layer in weighted(small)] == [(1, 1), (1, 1), (1, 1)]
    assert not weighted(small)[0].weight.any()
    images = torch.randn(2, 2, 6, 6)
    assert torch.equal(small(images), model(images))


def test_filters_of_constant_zero_are_folded_whatever_the_padding() -> None:
    model = nn.Sequential(*two_convolutions([-1.0, -2], padding=1), nn.Flatten(), linear([[1.0] * 4], [1.0]))
    [*_, last] = compact(model)
    assert last.weight.shape == (1, 0)
    assert last.bias.tolist() == [1 + 4 * 0.5]


def test_a_constant_image_is_folded_where_nothing_is_padded() -> None:
    model = nn.Sequential(*two_convolutions([1.0, 2], padding=0), nn.Flatten(), linear([[1.0, 1]], [0.0]))
    small = compact(model)
    assert parameters(small) == 1
    assert small(torch.randn(5, 1, 3, 4)).tolist() == [[2 * (9 * 3 + 0.5)]] * 5


@pytest.mark.parametrize("model", ["fcn", "cnn"])
@pytest.mark.parametrize("selector", ["magnitude", "random"])
@pytest.mark.parametrize("sparsity", [0.0, 0.9, 0.99, 1.0])
def test_pruned_networks_keep_their_outputs(few_digits: Dataset, model: str, selector: str, sparsity: float) -> None:
    network: Any = networks.build(composed(f"model={model}").model, few_digits.shape, 10, 0)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.ndim > 1:
                score = SELECTORS.find(selector)(Layer(name, weight, 0, 1))
                weight *= keep_mask(score, pruned_count(weight.numel(), sparsity))
    small = compact(network)
    images = few_digits.test.images[:50]
    assert_same_outputs(network, small, images)
    if sparsity == 0:
        assert repr(small) == repr(network)
    if sparsity == 0.99:
        assert parameters(small) < parameters(network) / 10
    if sparsity == 1:
        assert parameters(small) == 10
        assert torch.equal(small(images), network[-1].bias.expand(50, 10))


@pytest.mark.parametrize(
    "model",
    [
        nn.Linear(3, 2),
        nn.Sequential(nn.Flatten()),
        nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2)),
        nn.Sequential(nn.Linear(3, 2, bias=False)),
        nn.Sequential(*[nn.Linear(2, 2)] * 2),
        nn.Sequential(nn.Conv2d(4, 4, 3, groups=2)),
        nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular")),
        nn.Sequential(Select(3, 2), nn.ReLU(), nn.Linear(2, 2)),
    ],
)
def test_other_networks_are_refused(model: nn.Module) -> None:
    with pytest.raises(UserError, match="can not be compacted") as raised:
        compact(model)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", sorted(BUILDERS))
@pytest.mark.parametrize("sparsity", [0.0, 0.9, 1.0])
def test_a_saved_network_loads_back_to_the_same_bits(tmp_path: Path, kind: str, sparsity: float) -> None:
    small = compact(random_network(kind, 1, 0.3, sparsity).float())
    save(small, tmp_path / "new" / "folder")
    loaded = load(tmp_path / "new" / "folder")
    images = torch.randn(3, *SHAPE)
    assert repr(loaded) == repr(small)
    assert torch.equal(loaded(images), small(images))


def test_the_json_says_the_layer_sizes(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Flatten(), linear([[1.0, 0, 0], [2, 0, 1], [3, 0, 1], [4, 0, 1]], [1.0] * 4))
    save(compact(model), tmp_path)
    assert json.loads((tmp_path / "compact.json").read_text())["layers"] == [
        {"kind": "Flatten"},
        {"kind": "Select", "inputs": 3, "features": 2},
        {"kind": "Linear", "in_features": 2, "out_features": 4},
    ]


@pytest.mark.parametrize("damage", ["json", "kind", "size", "weights", "missing"])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, damage: str) -> None:
    save(compact(random_network("fcn", 0, 0.3, 0.5).float()), tmp_path)
    description, weights = tmp_path / "compact.json", tmp_path / "compact.safetensors"
    text = description.read_text()
    if damage == "json":
        description.write_text(text[:40])
    if damage == "kind":
        description.write_text(text.replace("ReLU", "system"))
    if damage == "size":
        description.write_text(text.replace('"out_features": 3', '"out_features": 4'))
    if damage == "weights":
        weights.write_bytes(weights.read_bytes()[:-5])
    if damage == "missing":
        weights.unlink()
    with pytest.raises(UserError, match="holds no compacted network") as raised:
        load(tmp_path)
    assert "\n" not in str(raised.value)


def test_the_sparse_file_holds_all_weights() -> None:
    """Read back by scipy alone; 784 columns need uint16, 9 columns and few non-zeros uint8."""
    torch.manual_seed(0)
    weights = {"0.weight": torch.randn(300, 784), "0.bias": torch.randn(300), "1.weight": torch.randn(4, 1, 3, 3)}
    weights["0.weight"][torch.rand(300, 784) < 0.9] = 0
    weights["1.weight"][2] = 0
    data = sparse_bytes(weights)
    arrays = load_arrays(data)
    assert np.array_equal(arrays["0.bias"], weights["0.bias"].numpy())
    for name, columns in (("0.weight", 784), ("1.weight", 9)):
        values, indices, rows = (arrays[f"{name}.{part}"] for part in ("values", "columns", "rows"))
        dense = csr_array((values, indices.astype(int), rows.astype(int)), shape=(len(rows) - 1, columns)).toarray()
        assert np.array_equal(dense, weights[name].flatten(1).numpy())
    kinds = {name: array.dtype.name for name, array in arrays.items() if not name.endswith(("values", "bias"))}
    assert kinds == {
        "0.weight.columns": "uint16",
        "0.weight.rows": "uint16",
        "1.weight.columns": "uint8",
        "1.weight.rows": "uint8",
    }
    assert load_arrays(sparse_bytes({"256 columns": torch.eye(2, 256)}))["256 columns.columns"].dtype == np.uint8
    nonzero = int(weights["0.weight"].count_nonzero())
    assert 301 * 2 + 6 * nonzero + 1200 + 27 * 5 + 5 <= len(data) <= 301 * 2 + 6 * nonzero + 1200 + 27 * 5 + 5 + 1000


def test_multiply_adds_of_the_papers_networks() -> None:
    """By hand: outputs x inputs, times 9 taps and the image's positions (28 x 28, then 14 x 14) for a convolution."""
    fcn, cnn = 784 * 256 + 256 * 128 + 128 * 10, 784 * 9 * 32 + 196 * 9 * 32 * 64 + 49 * 64 * 128 + 128 * 10
    for model, expected in (("fcn", fcn), ("cnn", cnn)):
        network = networks.build(composed(f"model={model}").model, (1, 28, 28), 10, 0)
        assert multiply_adds(network, (1, 28, 28)) == (expected, expected)


def test_multiply_adds_of_nonzero_weights() -> None:
    """5 weights at 4 x 4 positions, then 3."""
    model = nn.Sequential(conv(torch.zeros(2, 1, 3, 3), [0.0, 0], 1), nn.Flatten(), nn.Linear(32, 2))
    with torch.no_grad():
        model[0].weight.view(-1)[:5] = 1
        model[2].weight.zero_().view(-1)[7:10] = 1
    assert multiply_adds(model, (1, 4, 4)) == (18 * 16 + 64, 5 * 16 + 3)
    assert not any(layer._forward_hooks for layer in model)  # nothing is left to slow it down


def test_what_compacting_changed_is_counted_image_by_image() -> None:
    before, after = (nn.Sequential(linear([[1.0, 0], [0, 1]], bias)) for bias in ([0.0, 0], [0.0, 0.8]))
    images = torch.tensor([[1, 0.5], [1, 0], [0, 1]])  # only the first changes its class
    assert compact_measures.equality(before, after, images) == (
        "weights 2x2 became 2x2; on 3 test images logits of up to 1 differ by at most 0.8, 1 predictions change"
    )


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_a_module_that_comes_twice_is_kept_twice() -> None:
    relu = nn.ReLU()
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 7), relu, nn.Linear(7, 6), relu, nn.Linear(6, 4))
    images = torch.randn(5, 1, 3, 3)
    torch.testing.assert_close(sparse_twin(model)(images), model(images))
    torch.testing.assert_close(compact(model)(images), model(images))


def test_script_on_a_trained_run(tmp_path: Path, command: Any, script: Any, digits: Dataset) -> None:
    runs = tmp_path / "runs"
    command("dataset=mnist_5k", "pruner=magnitude", "sparsity=0.97", "epochs=1", *QUIET, f"output_dir={runs}")
    [folder] = runs.iterdir()
    code, printed = script("compact.py", folder, "--rounds", "1", "--out", tmp_path / "small")
    assert not code
    assert "A mask alone makes nothing faster" in printed
    assert f"{folder.name}: weights 256x784, 128x256, 10x128 became " in printed
    assert "1,000 test images" in printed
    assert ", 0 predictions change" in printed
    rows = [line.split("|")[2:-1] for line in printed.splitlines() if line.startswith("| mnist")]
    sizes, times = ([cell.strip() for cell in row] for row in rows)
    small = load(tmp_path / "small" / folder.name)
    assert sizes[:2] == ["235,146", f"{parameters(small):,}"]
    assert parameters(small) < 235_146
    weights = (folder / "weights.safetensors").stat().st_size
    compacted = (tmp_path / "small" / folder.name / "compact.safetensors").stat().st_size
    as_csr = len(sparse_bytes(load_file(folder / "weights.safetensors")))
    assert sizes[2:5] == [f"{size / 1000:.1f}" for size in (weights, as_csr, compacted)]
    assert sizes[5:7] == ["234,752", f"{sum(n - round(n * 0.97) for n in (200_704, 32_768, 1_280)):,}"]
    assert sizes[7] == f"{multiply_adds(small, (1, 28, 28))[0]:,}"
    assert all(float(cell.replace(",", "")) > 0 for cell in times)
    assert len(times) == 8
    correct = (small(digits.test.images).argmax(1) == digits.test.labels).float().mean()
    assert correct.item() == pytest.approx(summary(folder)["metrics"]["pruned_test_accuracy"], abs=1e-6)


def hand_made_run(folder: Path, model: nn.Module, *overrides: str) -> Path:
    """The folder of a finished run, as far as the script reads it, with the weights of `model`."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(OmegaConf.to_yaml(composed("dataset=mnist_5k", *overrides)))
    save_file(model.state_dict(), folder / "weights.safetensors")
    (folder / "summary.json").write_text("{}")
    return folder


def test_each_time_is_of_the_network_and_the_batch_that_its_column_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def told(variants: dict[str, Any], images: Tensor, rounds: int) -> list[str]:
        first = [next(layer for layer in model if hasattr(layer, "weight")) for model in variants.values()]
        zeros = [int((layer.weight.to_dense() == 0).sum()) for layer in first]
        return [f"{len(images)} {type(one).__name__} {n}" for one, n in zip(first, zeros, strict=True)]

    monkeypatch.setattr(compact_measures, "timed", told)
    model: Any = networks.fcn((1, 28, 28), 10, [256, 128])
    with torch.no_grad():
        model[1].weight[:, :200] = 0  # pixels that the compacted network leaves out
    monkeypatch.chdir(hand_made_run(tmp_path / "run", model))
    found, roots = datasets.load, list[str]()
    monkeypatch.setattr(datasets, "load", lambda chosen, root, cpu: roots.append(root) or found(chosen, root, cpu))
    compact_measures.measure([Path()], None, "elsewhere", 1)
    assert roots == ["elsewhere"]
    kinds = ("Linear 0", "Linear 51200", "SparseLinear 51200", "Linear 0")
    assert f"| run | {' | '.join(f'{n} {kind}' for n in (1, 1000) for kind in kinds)} |" in capsys.readouterr().out


def test_a_ratio_is_how_many_times_as_fast_as_the_first_a_network_is() -> None:
    slow, fast = nn.Sequential(*[nn.Linear(300, 300)] * 20), nn.Linear(300, 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert float(compact_measures.timed({"slow": slow, "fast": fast}, torch.zeros(100, 300), 3)[1]) > 1
        assert torch.get_num_threads() == 2  # as it was
    finally:
        torch.set_num_threads(threads)


def tanh_network(shape: tuple[int, ...], classes: int) -> nn.Module:
    """A network that train.py takes and that can not be compacted."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, classes), nn.Tanh())


def test_script_ends_bad_input_in_one_sentence(tmp_path: Path, script: Any) -> None:
    assert_one_sentence_each(script, "compact.py", tmp_path)
    fine, other = networks.fcn((1, 28, 28), 10, [256, 128]), networks.fcn((1, 28, 28), 10, [3])
    unfinished, damaged = (hand_made_run(tmp_path / name, fine) for name in ("unfinished", "damaged"))
    (unfinished / "summary.json").unlink()
    (damaged / "weights.safetensors").write_bytes(b"no weights")
    unknown = ("model.builder=test_compact.tanh_network", "~model.hidden")
    reasons = {
        unfinished: "is not finished",
        damaged: "is not a run as train.py leaves it",
        hand_made_run(tmp_path / "other", other): "does not fit the network",
        hand_made_run(tmp_path / "unknown", tanh_network((), 10), *unknown): "can not be compacted",
    }
    good = hand_made_run(tmp_path / "good", fine)
    for folder, reason in reasons.items():
        code, printed = script("compact.py", good, folder, "--out", tmp_path / "small")
        assert reason in code
        assert str(folder) in code
        assert "\n" not in code
        assert printed == ""
    copied = shutil.copytree(good, tmp_path / "elsewhere" / "good")
    code, printed = script("compact.py", good, copied)
    assert (code, printed) == (f"{good} and {copied} have one name, as copies of a run do: give one of them.", "")
    code, _ = script("compact.py", good, "--rounds", "0")
    assert code == "--rounds 0 is not accepted: it takes a whole number of at least 1."
    assert not (tmp_path / "small").exists()
