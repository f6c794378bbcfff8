"""What a GPU runs, as far as a CPU can run it: resident steps, its layers, the Triton kernels, recordings, settings.

The kernels run in Triton's interpreter (conftest.py sets TRITON_INTERPRET where there is no GPU). What needs a GPU is
in test_gpu.py.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from conftest import run_of
from torch import Tensor, nn

from bayes_pruning.config.errors import ConfigError
from bayes_pruning.config.schema import Prior, RunConfig
from bayes_pruning.data import datasets
from bayes_pruning.data.datasets import Dataset
from bayes_pruning.engine import capacity, convolutions, gpu_layers, graphs, precision
from bayes_pruning.engine.adam import Adam
from bayes_pruning.engine.convolutions import Block
from bayes_pruning.engine.resident_epoch import ResidentEpoch
from bayes_pruning.engine.stack import Stack
from bayes_pruning.models import networks
from bayes_pruning.pruning import posterior
from bayes_pruning.pruning.masks import Layer
from bayes_pruning.training.trainer import Trainer

CPU = torch.device("cpu")
WAYS = ("loop", "grouped", "unfold", "triton, 64 rows", "triton, 128 rows")


def images(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def block(channels: int, filters: int, kernel: int = 3, precision: str = "fp32") -> Block:
    return Block(nn.Conv2d(channels, filters, kernel, padding=kernel // 2), relu=True, pool=True, precision=precision)


def plain(x: Tensor, weight: Tensor, bias: Tensor, pool: bool = True) -> Tensor:
    """The same by PyTorch, a member at a time."""
    members = [
        F.relu(F.conv2d(x[i if len(x) > 1 else 0], weight[i], bias[i], padding=weight.shape[-1] // 2))
        for i in range(len(weight))
    ]
    return torch.stack([F.max_pool2d(member, 2) if pool else member for member in members])


SHAPES = [  # members, inputs, batch, channels, height, width, filters, kernel
    pytest.param(2, 2, 3, 16, 6, 4, 16, 3, id="own images"),
    pytest.param(2, 1, 5, 1, 4, 6, 16, 3, id="shared images, one channel"),
    pytest.param(2, 2, 2, 3, 6, 6, 32, 3, id="three channels"),
    pytest.param(1, 1, 3, 2, 4, 4, 16, 5, id="kernel of five"),
    pytest.param(2, 1, 3, 32, 4, 4, 64, 3, id="the paper's second block"),
    pytest.param(1, 1, 2, 16, 2, 2, 128, 3, id="many filters"),
]


@pytest.mark.parametrize(("members", "inputs", "batch", "c", "h", "w", "f", "k"), SHAPES)
@pytest.mark.parametrize("way", [pytest.param(w, marks=pytest.mark.slow) if "triton" in w else w for w in WAYS])
def test_every_way_to_convolve_gives_pytorchs_numbers_and_gradients(
    way: str, members: int, inputs: int, batch: int, c: int, h: int, w: int, f: int, k: int
) -> None:
    if way.startswith("triton"):
        pytest.importorskip("triton")
    x = images(inputs, batch, c, h, w).requires_grad_()
    weight, bias = (0.2 * images(members, f, c, k, k)).requires_grad_(), images(members, f).requires_grad_()
    convolve = block(c, f, k)
    convolve.way[True] = way
    found, wanted = convolve(x, weight, bias), plain(x, weight, bias)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    signal = images(*wanted.shape)
    pairs = zip(*(torch.autograd.grad(out, (x, weight, bias), signal) for out in (found, wanted)), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        convolve.way[False] = way
        torch.testing.assert_close(convolve(x, weight, bias), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("way", ["loop", "triton, 64 rows"])
def test_a_member_that_diverged_is_seen_and_harms_no_other(way: str) -> None:
    pytest.importorskip("triton")
    x, weight, bias = images(2, 3, 1, 4, 4), images(2, 16, 1, 3, 3), images(2, 16)
    convolve = block(1, 16)
    convolve.way[True] = way
    weight[1, :, 0, 1, 1] = float("nan")
    found = convolve(x, weight, bias)
    assert torch.isnan(found[1]).all()
    torch.testing.assert_close(found[0], plain(x, weight, bias)[0])


def test_sizes_that_windows_do_not_fill_go_another_way() -> None:
    x, weight, bias = images(2, 3, 1, 5, 7), images(2, 16, 1, 3, 3), images(2, 16)
    convolve = block(1, 16)
    assert set(convolve.ways(x)) == {"loop", "grouped", "unfold"}
    for way in convolve.ways(x):
        convolve.way[True] = way
        torch.testing.assert_close(convolve(x, weight, bias), plain(x, weight, bias))


def test_without_triton_blocks_are_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolutions, "fused", lambda: None)
    x, weight, bias = images(2, 3, 1, 4, 4), images(2, 16, 1, 3, 3), images(2, 16)
    convolve = block(1, 16)
    assert "triton, 64 rows" not in convolve.ways(x)
    torch.testing.assert_close(convolve(x, weight, bias), plain(x, weight, bias))


@pytest.mark.parametrize("kind", ["fcn", "cnn", "unpooled"])
@pytest.mark.parametrize("shared", [True, False])
def test_a_step_with_a_gpus_layers_is_a_cpus_step(kind: str, shared: bool) -> None:
    def network(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        if kind == "unpooled":
            convolutions = [nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 2, 3, stride=2)]
            return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(18, 10))
        return networks.fcn((1, 8, 8), 10, [32, 17]) if kind == "fcn" else networks.cnn((1, 8, 8), 10, [16, 16], 3, 12)

    stacks = [Stack([network(seed) for seed in range(3)], 0.001, CPU) for _ in range(2)]
    stacks[1].stages, stacks[1].one_by_one = gpu_layers.stages(stacks[1].model, "fp32"), False
    stacks[1].parameters = {name: p.detach().contiguous().requires_grad_() for name, p in stacks[1].parameters.items()}
    stacks[1].optimizer = Adam(stacks[1].parameters, 0.001, one_by_one=False)
    x, labels = images(1 if shared else 3, 8, 1, 8, 8), torch.arange(8).expand(1 if shared else 3, -1)
    for _ in range(3):
        one, other = (stack.step(x, labels) for stack in stacks)
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    for name, parameter in stacks[0].parameters.items():
        torch.testing.assert_close(parameter, stacks[1].parameters[name], rtol=1e-3, atol=1e-4)


def test_bf16_rounds_the_operands_of_products_and_nothing_else() -> None:
    x, weight, bias = images(2, 4, 6), images(2, 3, 6).requires_grad_(), images(2, 3)
    found = gpu_layers.linear("bf16", x, weight, bias)
    exact = torch.bmm(x.bfloat16().double(), weight.bfloat16().double().transpose(1, 2)) + bias.unsqueeze(1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=1e-2, atol=1e-2)
    [gradient] = torch.autograd.grad(found.sum(), weight)
    assert gradient.dtype == torch.float32
    convolve = Block(nn.Conv2d(1, 4, 3, padding=1), relu=True, pool=False, precision="bf16")
    out = convolve(images(2, 3, 1, 4, 4), images(2, 4, 1, 3, 3), images(2, 4))
    assert out.dtype == torch.float32


def mixed_runs() -> list[RunConfig]:
    """Seeds, pruners, both readings of regrow."""
    return [
        run_of(f"pruner={pruner}", f"seed={seed}", "sparsity=0.9", f"protocol.regrow={regrow}", "batch_size=64")
        for seed, pruner, regrow in ((3, "none", "true"), (1, "bayes_magnitude", "false"), (3, "random", "false"))
    ]


@pytest.mark.parametrize("members", [3, 1])
def test_resident_steps_give_the_bits_of_batches_cut_out_one_by_one(members: int, few_digits: Dataset) -> None:
    """500 images in batches of 64: the last one is smaller. Masks appear after the first epoch."""
    runs = mixed_runs()[:members]
    usual, resident = Trainer(runs, few_digits, CPU), Trainer(runs, few_digits, CPU)
    resident.resident = ResidentEpoch(resident.stack, few_digits.train, 64, resident.streams)
    for _ in range(3):
        rows = [[vars(row) | {"seconds": 0} for row in t.run_epoch() if row] for t in (usual, resident)]
        assert rows[0] == rows[1]
    assert resident.stack.keep or len(runs) == 1
    for name, parameter in usual.stack.parameters.items():
        assert torch.equal(parameter, resident.stack.parameters[name])


class FakeGraph:
    """Notes what it is asked for in place of a recording."""

    def __init__(self, function: Any, notes: list[str]) -> None:
        self.notes = notes
        notes.append("record")

    def replay(self) -> None:
        self.notes.append("replay")


def test_a_step_is_called_then_recorded_then_replayed_and_again_if_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr(graphs, "on_another_stream", lambda function, device: function())
    monkeypatch.setattr(graphs, "recorded", lambda function: FakeGraph(function, notes))
    version = ["no masks"]
    step = graphs.Replayed(lambda: notes.append("call"), torch.device("cuda"), lambda: version[0])
    for _ in range(5):
        step()
    assert notes == ["call"] * 3 + ["record", "replay", "replay"]
    version[0] = "masks"
    notes.clear()
    for _ in range(5):
        step()
    assert notes == ["call"] * 3 + ["record", "replay", "replay"]


def test_log_priors_of_many_are_those_of_each() -> None:
    weights, priors = [images(3, 4, 5), images(3, 7)], [Prior(0.0, 1.0), Prior(0.3, 0.01), Prior(-1.0, 2.0)]
    each = [posterior.log_prior([weight[i] for weight in weights], prior).item() for i, prior in enumerate(priors)]
    assert posterior.log_priors(weights, priors).tolist() == each
    assert posterior.log_priors_at_once(weights, priors).tolist() == pytest.approx(each, rel=1e-14)


def test_draws_of_one_seed_are_shared_and_no_one_can_change_them() -> None:
    layers = [Layer("1.weight", torch.zeros(4, 3), seed, epoch=2) for seed in (0, 0, 1)]
    first, second, other = (layer.uniform("random pruning") for layer in layers)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    first.zero_()
    assert torch.equal(layers[0].uniform("random pruning"), second)


@pytest.fixture
def _settings_restored() -> Iterator[None]:
    yield
    precision.prepare("fp32", False, torch.device("cuda"))


@pytest.mark.usefixtures("_settings_restored")
def test_settings_of_a_gpu() -> None:
    cuda = torch.device("cuda")
    precision.prepare("tf32", True, cuda)
    assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    assert torch.backends.cudnn.conv.fp32_precision == "tf32"
    assert precision.is_deterministic()
    precision.prepare("fp32", False, cuda)
    assert torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert torch.backends.cudnn.conv.fp32_precision == "ieee"
    assert not precision.is_deterministic()


def test_a_cpu_has_one_precision() -> None:
    precision.prepare("fp32", True, CPU)
    for kind in ("tf32", "bf16"):
        with pytest.raises(ConfigError, match=f"precision={kind} is not accepted: precision takes only fp32 on a CPU"):
            precision.prepare(kind, False, CPU)


def test_precision_is_part_of_what_a_run_is_unless_it_is_full() -> None:
    """Runs made before there was a choice keep their folders; test_schedules.py holds the hash of such a run."""
    assert "precision" not in run_of("precision=fp32").identity()
    hashes = {run_of(f"precision={kind}").hash() for kind in ("fp32", "tf32", "bf16")}
    assert len(hashes) == 3


@pytest.mark.parametrize("model", ["fcn", "cnn"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_table_1s_stacks_fit_into_139_gib_each_as_one(model: str, shape: tuple[int, ...]) -> None:
    network = networks.build(run_of(f"model={model}").model, shape, datasets.CLASSES, 0)
    size, cuda = capacity.footprint(network, shape), torch.device("cuda")
    assert capacity.most_members(size, 64, cuda, free=139 * 2**30) >= 105
    rows = capacity.evaluation_rows(size, cuda, 105)
    assert 105 * rows * size.largest_activation * 4 <= 2**31
    assert rows >= 100
    assert capacity.evaluation_rows(size, cuda) == 10_000
    assert capacity.most_members(size, 64, cuda, free=2**30) == 1
