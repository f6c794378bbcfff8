"""The Laplace evidence against closed forms, and the Fisher diagonal against its definition."""

import re
import runpy
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from compare_evidence import bic_ratio
from conftest import QUIET
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from synthetic import assert_one_sentence_each, script_path
from torch import Tensor, nn

from bayes_pruning.config.errors import ConfigError
from bayes_pruning.config.registry import GATES
from bayes_pruning.config.schema import Prior
from bayes_pruning.engine import capacity
from bayes_pruning.models import networks
from bayes_pruning.pruning import laplace
from bayes_pruning.pruning.gates import Candidate
from bayes_pruning.pruning.laplace import fisher_diagonal, log_evidence_ratio

NOISE = 0.7  # standard deviation of the regressions' noise, known to both models
SHAPE = (1, 6, 6)


class Regression:
    """y = X w + noise with w ~ N(mean, std^2): the evidence of any subset of the columns is known."""

    def __init__(self, x: np.ndarray, y: np.ndarray, prior: Prior) -> None:
        self.x, self.y, self.prior = x, y, prior
        self.information = x.T @ x / NOISE**2
        self.trained = self.most_likely(np.ones(x.shape[1], dtype=bool))

    def most_likely(self, free: np.ndarray) -> np.ndarray:
        """Least squares where only `free` weights are not fixed at zero: what training without a prior ends at."""
        w = np.zeros(self.x.shape[1])
        w[free] = np.linalg.lstsq(self.x[:, free], self.y)[0]
        return w

    def log_likelihood(self, w: np.ndarray) -> float:
        return float(stats.norm.logpdf(self.y, self.x @ w, NOISE).sum())

    def log_evidence(self, free: np.ndarray) -> float:
        """Closed form: the observations are jointly normal."""
        x, std = self.x[:, free], self.prior.std
        covariance = NOISE**2 * np.eye(len(self.y)) + std**2 * x @ x.T
        return float(stats.multivariate_normal.logpdf(self.y, x.sum(1) * self.prior.mean, covariance))

    def ratio(self, keep: np.ndarray, w: np.ndarray | None = None) -> float:
        """The function under test, at the trained weights or at `w`, kept weights as they are."""
        w = self.trained if w is None else w
        weights, mask, fisher = (torch.from_numpy(a) for a in (w, keep, np.diag(self.information).copy()))
        likelihoods = self.log_likelihood(w), self.log_likelihood(w * keep)
        return log_evidence_ratio(*likelihoods, {"w": weights}, {"w": mask}, {"w": fisher}, self.prior)


def orthogonal(seed: int, prior: Prior) -> Regression:
    """Five orthogonal columns of very different lengths."""
    rng = np.random.default_rng(seed)
    columns, _ = np.linalg.qr(rng.normal(size=(12, 5)))
    x = columns * [0.1, 0.5, 1.0, 3.0, 10.0]
    return Regression(x, x @ rng.normal(size=5) + NOISE * rng.normal(size=12), prior)


MASKS = st.lists(st.booleans(), min_size=5, max_size=5).map(np.array)


@given(seed=st.integers(0, 2**31), keep=MASKS, mean=st.floats(-2, 2), std=st.floats(0.1, 10))
@settings(max_examples=60, deadline=None)
def test_with_an_orthogonal_design_the_ratio_is_the_exact_one(
    seed: int, keep: np.ndarray, mean: float, std: float
) -> None:
    """There the best values of the kept weights do not move, so not training them again loses nothing."""
    regression = orthogonal(seed, Prior(mean, std))
    exact = regression.log_evidence(keep) - regression.log_evidence(np.ones(5, dtype=bool))
    assert regression.ratio(keep) == pytest.approx(exact, rel=1e-8, abs=1e-8)


def test_with_a_correlated_design_the_errors_are_those_of_the_document() -> None:
    """Equation 5: what the kept weights would win back, an Occam term too large (Hadamard), and distances to the prior.

    The distance of a matrix A is d' A (I + std^2 A)^-1 d / 2.
    """
    rng = np.random.default_rng(3)
    mean, std = 0.2, 1.5
    x = rng.normal(size=(20, 6)) @ rng.normal(size=(6, 6))
    regression = Regression(x, x @ rng.normal(size=6) + NOISE * rng.normal(size=20), Prior(mean, std))
    keep, every = np.array([True, False, True, False, False, True]), np.ones(6, dtype=bool)

    def matrix(free: np.ndarray) -> np.ndarray:
        return regression.information[np.ix_(free, free)]

    def occam(information: np.ndarray) -> float:
        return float(np.linalg.slogdet(np.eye(len(information)) + std**2 * information)[1] / 2)

    def distance(information: np.ndarray, w: np.ndarray) -> float:
        shrunk = information @ np.linalg.inv(np.eye(len(information)) + std**2 * information)
        return float((w - mean) @ shrunk @ (w - mean) / 2)

    trained, again = regression.trained, regression.most_likely(keep)
    recovered = regression.log_likelihood(again) - regression.log_likelihood(trained * keep)
    diagonal = np.diag(np.diag(matrix(~keep)))
    excess = occam(diagonal) - (occam(matrix(every)) - occam(matrix(keep)))
    distances = distance(matrix(every), trained) - distance(matrix(keep), again[keep])
    further = distances - distance(diagonal, trained[~keep])
    exact = regression.log_evidence(keep) - regression.log_evidence(every)
    assert recovered > 1
    assert excess > 1
    assert regression.ratio(keep) == pytest.approx(exact - recovered + excess - further, abs=1e-8)


@given(weight=st.floats(-5, 5), mean=st.floats(-2, 2), std=st.floats(0.01, 10))
def test_a_weight_that_the_data_do_not_see_counts_for_nothing(weight: float, mean: float, std: float) -> None:
    """Its posterior is its prior, whatever its value happens to be; the paper's ratio moves with that value."""
    weights, keep = {"w": torch.tensor([weight])}, {"w": torch.tensor([False])}
    assert log_evidence_ratio(-3.0, -3.0, weights, keep, {"w": torch.zeros(1)}, Prior(mean, std)) == 0


def test_removing_nothing_or_what_is_zero_already_gives_zero() -> None:
    regression = orthogonal(0, Prior(0.5, 2.0))
    assert regression.ratio(np.ones(5, dtype=bool)) == 0
    keep = np.array([True, False, True, True, False])
    assert regression.ratio(keep, regression.trained * keep) == 0
    assert regression.ratio(keep) != 0


def test_the_unit_of_the_weights_does_not_matter() -> None:
    """Ten times the weights, prior width and mean, a hundredth of the information: the same models."""
    generator = torch.Generator().manual_seed(0)
    w, fisher = torch.randn(2, 40, generator=generator, dtype=torch.float64)
    fisher, keep = fisher.square(), {"w": w.abs() > 0.5}
    ratio = log_evidence_ratio(-10.0, -20.0, {"w": w}, keep, {"w": fisher}, Prior(0.1, 0.8))
    scaled = log_evidence_ratio(-10.0, -20.0, {"w": 10 * w}, keep, {"w": fisher / 100}, Prior(1.0, 8.0))
    assert ratio == pytest.approx(scaled, rel=1e-12)


def test_bic_is_the_ratio_under_the_unit_information_prior() -> None:
    """With std^2 F = n the prior knows as much as one example: log(1 + n) / 2 a weight, and a distance to the prior."""
    examples, removed = 4000, 3
    w, fisher = torch.tensor([0.3, -0.2, 0.1, 5.0]).double(), torch.full((4,), 1000.0, dtype=torch.float64)
    keep = {"w": torch.tensor([False, False, False, True])}
    laplace = log_evidence_ratio(-7.0, -9.0, {"w": w}, keep, {"w": fisher}, Prior(0.0, 2.0))
    distance = (0.09 + 0.04 + 0.01) * 1000 / (2 * 4001)
    assert bic_ratio(-7.0, -9.0, removed, examples) == pytest.approx(laplace - distance, abs=removed / 2 / examples)


class OneWeight(nn.Module):
    """Logistic regression with one weight, as a softmax over the logits (0, w x)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 1))

    def forward(self, x: Tensor) -> Tensor:
        logit = x.flatten(1) * self.weight
        return torch.cat([torch.zeros_like(logit), logit], dim=1)


def test_for_a_classifier_with_one_weight_the_ratio_is_near_the_integral() -> None:
    """No Gaussian likelihood, so Laplace's method errs by O(1 / n): 0.001 nats are asked at n = 2000."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=2000)
    sign = np.where(rng.uniform(size=2000) < 1 / (1 + np.exp(-0.15 * x)), 1, -1)
    prior = Prior(0.3, 2.0)

    def log_likelihood(w: float) -> float:
        return float(-np.logaddexp(0, -sign * w * x).sum())

    grid = np.linspace(-0.4, 0.8, 1201)
    likelihood = np.array([log_likelihood(w) for w in grid])
    best, top = grid[likelihood.argmax()], likelihood.max()
    density = np.exp(likelihood - top) * stats.norm.pdf(grid, prior.mean, prior.std)
    exact = log_likelihood(0.0) - top - np.log(integrate.simpson(density, x=grid))

    weights = {"weight": torch.tensor([[best]])}
    images = torch.from_numpy(x.astype(np.float32)).view(-1, 1, 1, 1)
    fisher = fisher_diagonal(OneWeight(), {"weight": weights["weight"].float()}, images, ["weight"])
    keep = {"weight": torch.tensor([[False]])}
    found = log_evidence_ratio(log_likelihood(best), log_likelihood(0.0), weights, keep, fisher, prior)
    assert found == pytest.approx(exact, abs=1e-3)
    assert abs(found) > 0.5  # so that the agreement says something


class Wrapped(nn.Module):
    """The same network where its layers can not be seen."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def network(kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind == "relu twice":
        relu = nn.ReLU()
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 9), relu, nn.Linear(9, 8), relu, nn.Linear(8, 4))
    if kind == "relu in place":
        first, second = nn.ReLU(inplace=True), nn.ReLU(inplace=True)
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 9), first, nn.Linear(9, 8), second, nn.Linear(8, 4))
    if kind == "linear layer of rows":
        return nn.Sequential(nn.Linear(6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 4))
    if kind == "no linear layer":
        return nn.Sequential(nn.Conv2d(1, 4, 6), nn.Flatten())
    inner = networks.cnn(SHAPE, 4, [3, 5], 3, 7) if "cnn" in kind else networks.fcn(SHAPE, 4, [9, 8])
    return Wrapped(inner) if "wrapped" in kind else inner


def pixels(count: int) -> Tensor:
    return 3 * torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "kind",
    [
        *("fcn", "relu twice", "relu in place", "cnn", "wrapped fcn", "wrapped cnn"),
        *("linear layer of rows", "no linear layer"),
    ],
)
def test_fisher_diagonal_is_the_expected_squared_gradient(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By definition: sum over images and classes of p_c (d log p_c / d w)^2, one gradient after the other."""
    monkeypatch.setattr(capacity, "MOST_EVALUATION_ROWS", 3)  # several passes, by layers and by gradients
    monkeypatch.setattr(laplace, "LARGEST_REUSED_BLOCK", 20_000)
    model, images = network(kind), pixels(7)
    parameters = dict(model.named_parameters())
    names = list(parameters)  # biases too
    wanted = {name: torch.zeros_like(parameters[name], dtype=torch.float64) for name in names}
    for image in images:
        for label in range(4):
            log_p = torch.log_softmax(model(image.unsqueeze(0)), dim=1)[0, label]
            gradients = torch.autograd.grad(log_p, [parameters[name] for name in names])
            for name, gradient in zip(names, gradients, strict=True):
                wanted[name] += log_p.exp().item() * gradient.double() ** 2
    found = fisher_diagonal(model, parameters, images, names)
    assert list(found) == names
    for name in names:
        assert found[name].dtype == torch.float64
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", ["fcn", "wrapped fcn"])
@pytest.mark.parametrize(("dtype", "apart"), [(torch.float64, 1e-4), (torch.bfloat16, 0.3), (torch.float16, 0.03)])
def test_fisher_diagonal_is_in_the_networks_own_precision(kind: str, dtype: torch.dtype, apart: float) -> None:
    model, images = network(kind), pixels(7)
    names = networks.prunable(model)
    single = fisher_diagonal(model, dict(model.named_parameters()), images, names)
    model = model.to(dtype)
    found = fisher_diagonal(model, dict(model.named_parameters()), images.to(dtype), names)
    for name in names:
        assert (found[name] - single[name]).norm() < apart * single[name].norm()


class Recurrent(nn.Module):
    """A network with a layer that gives more than one tensor: the images' rows are its steps."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.out = nn.LSTM(6, 8, batch_first=True), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.inner(x.squeeze(1))[0][:, -1])


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_fisher_diagonal_of_a_recurrent_network() -> None:
    """As BayesPruner asks for it, where gradients are off: one image's squared gradients, by autograd."""
    assert capacity.footprint(Recurrent(), SHAPE).activations == 36 + 6 * 8 + 4
    model, image = Recurrent(), pixels(1)
    parameters, names = dict(model.named_parameters()), networks.prunable(model)
    with torch.no_grad():
        found = fisher_diagonal(model, parameters, image, names)
    scores = model(image).log_softmax(1)[0]
    for name in names:
        gradients = [torch.autograd.grad(score, parameters[name], retain_graph=True)[0].double() for score in scores]
        wanted = sum(p * gradient**2 for p, gradient in zip(scores.exp().double(), gradients, strict=True))
        torch.testing.assert_close(found[name], wanted, rtol=1e-4, atol=1e-9)


def test_fisher_diagonal_of_softmax_regression_is_that_of_the_hessian() -> None:
    """Logits linear in the weights: Gauss-Newton is Newton, whatever the labels."""
    model, images = nn.Sequential(nn.Flatten(), nn.Linear(36, 4)), pixels(20)
    weight, bias = (p.detach().double() for p in model.parameters())
    labels = torch.randint(0, 4, (20,), generator=torch.Generator().manual_seed(2))

    def loss(w: Tensor) -> Tensor:
        logits = images.double().flatten(1) @ w.view(4, 36).t() + bias
        return nn.functional.cross_entropy(logits, labels, reduction="sum")

    hessian = torch.func.hessian(loss)(weight.flatten())
    found = fisher_diagonal(model, {"1.weight": weight, "1.bias": bias}, images.double(), ["1.weight"])
    torch.testing.assert_close(found["1.weight"].flatten(), hessian.diagonal(), rtol=1e-10, atol=1e-12)


def test_certain_predictions_keep_their_information() -> None:
    """p = 1 - e^-40 rounds to 1 in any precision, but the information x^2 p (1 - p) does not vanish."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    parameters = {"1.weight": torch.tensor([[20.0], [-20.0]]), "1.bias": torch.zeros(2)}
    found = fisher_diagonal(model, parameters, torch.ones(1, 1, 1, 1), ["1.weight"])["1.weight"]
    torch.testing.assert_close(found, torch.full((2, 1), np.exp(-40.0), dtype=torch.float64), rtol=1e-4, atol=0.0)


def test_an_image_many_times_over_needs_only_some_of_them() -> None:
    model = network("fcn")
    images = pixels(1).expand(50, *SHAPE)
    parameters, names = dict(model.named_parameters()), networks.prunable(model)
    whole = fisher_diagonal(model, parameters, images, names)
    some = fisher_diagonal(model, parameters, images, names, examples=10, generator=torch.Generator())
    for name in names:
        torch.testing.assert_close(some[name], whole[name], rtol=1e-5, atol=1e-9)


def of_a_pixel_each(**drawn: int) -> Tensor:
    """The information of a layer by which all classes are as probable, over 36 images with a pixel of their own."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 4))
    parameters = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    images, generator = torch.eye(36).view(36, *SHAPE), torch.Generator().manual_seed(0)
    return fisher_diagonal(model, parameters, images, ["1.weight"], **drawn, generator=generator)["1.weight"]


def test_images_are_drawn_without_replacement() -> None:
    assert int(of_a_pixel_each(examples=30).all(0).sum()) == 30


def test_each_image_has_random_signs_of_its_own() -> None:
    assert len(of_a_pixel_each(draws=1).unique(dim=1).t()) > 1


@pytest.mark.parametrize("kind", ["fcn", "wrapped fcn"])
def test_random_signs_have_the_exact_diagonal_as_their_mean(kind: str) -> None:
    """3000 draws: a standard error of at most sqrt(2 / 3000), 2.6%, of each entry; five of them are allowed."""
    model, images = network(kind), pixels(3)
    parameters, names = dict(model.named_parameters()), networks.prunable(model)
    exact = fisher_diagonal(model, parameters, images, names)
    generator = torch.Generator().manual_seed(3)
    drawn = fisher_diagonal(model, parameters, images, names, draws=3000, generator=generator)
    one = fisher_diagonal(model, parameters, images, names, draws=1, generator=generator)
    for name in names:
        torch.testing.assert_close(drawn[name], exact[name], rtol=0.13, atol=1e-9)
        assert not torch.allclose(one[name], exact[name], rtol=0.13, atol=1e-9)


def test_the_same_stream_gives_the_same_estimate() -> None:
    model, images = network("cnn"), pixels(20)
    parameters, names = dict(model.named_parameters()), networks.prunable(model)

    def estimate(seed: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return fisher_diagonal(model, parameters, images, names, examples=5, draws=1, generator=generator)

    first, again, other = estimate(0), estimate(0), estimate(1)
    for name in names:
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])


def test_the_scripts_bounds_of_the_full_matrix_hold() -> None:
    """log det(I + std^2 G) / 2 from the derivatives of all logits; all columns give it, fewer bracket it."""
    script = SimpleNamespace(**runpy.run_path(str(script_path("compare_evidence.py"))))
    model, images = networks.fcn(SHAPE, 10, [5]), pixels(12)
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    names = networks.prunable(model)

    def logits_of(weights: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(model, {**parameters, **weights}, (images,))

    jacobians = torch.func.jacrev(logits_of)({name: parameters[name] for name in names})
    jacobian = torch.cat([jacobians[name].flatten(2) for name in names], dim=2).double()
    p = torch.softmax(logits_of({}), dim=1).double()
    middle = torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1)
    full = torch.einsum("nci,ncd,ndj->ij", jacobian, middle, jacobian)
    wanted = torch.linalg.slogdet(torch.eye(len(full)) + 0.8**2 * full).logabsdet.item() / 2

    network = SimpleNamespace(model=model, parameters=parameters, images=images, names=names, prior=Prior(0.0, 0.8))
    lower, upper = script.full_occam(network, 120)
    assert lower == pytest.approx(wanted, rel=1e-5)
    assert upper == pytest.approx(wanted, rel=1e-5)
    lower, upper = script.full_occam(network, 40)
    assert lower < wanted - 0.01
    assert upper > wanted + 0.01


def test_the_script_prints_a_row_for_every_pruning(command: Any, script: Any, tmp_path: Path) -> None:
    settings = ("dataset=mnist_5k", "pruner=none", "epochs=1", "model.hidden=[8]", f"output_dir={tmp_path}", *QUIET)
    assert not command(*settings)[0]
    [folder] = tmp_path.iterdir()
    code, printed = script("compare_evidence.py", folder, "--columns", 50, "--repeats", 2)
    assert not code
    rows = [line.strip("| ").split(" | ") for line in printed.splitlines() if line.startswith(("| magn", "| rand"))]
    assert [row[0] for row in rows[:6]] == [*(f"magnitude {r}" for r in (0.25, 0.5, 0.75, 0.9, 0.99)), "random 0.25"]
    assert len(rows) == 10
    for row in rows:
        removed = float(row[0].split()[1]) * (784 * 8 + 8 * 10)
        assert float(row[4]) == pytest.approx(float(row[3].replace(",", "")) / removed, abs=2e-3)
        gain, paper, occam, evidence = (float(row[i].replace(",", "")) for i in (1, 2, 3, 5))
        assert occam > 0
        assert gain + occam - 1.6 < evidence < paper + occam + 1.6  # all rounded; the prior's mean is 0
    assert any(row[5] != row[6] for row in rows)  # the pruned network has a curvature of its own
    [spread] = [line.split(" | ")[4] for line in printed.splitlines() if line.startswith("| 4000 | 1 |")]
    assert float(spread) > 0  # each repeat draws anew


def test_weights_that_are_zero_already_are_not_removed_again(command: Any, script: Any, tmp_path: Path) -> None:
    settings = ("dataset=mnist_5k", "pruner=gradual", "sparsity=0.9", "epochs=1", "model.hidden=[8]")
    assert not command(*settings, "pruner.schedule_options.end=1", f"output_dir={tmp_path}", *QUIET)[0]
    _, printed = script("compare_evidence.py", *tmp_path.iterdir(), "--columns", 50, "--repeats", 2)
    [row] = [line.strip("| ").split(" | ")[1:] for line in printed.splitlines() if line.startswith("| magnitude 0.25")]
    assert {float(number) for number in (*row[:6], row[7])} == {0.0}


def test_the_scripts_errors_are_one_sentence(script: Any, tmp_path: Path) -> None:
    assert_one_sentence_each(script, "compare_evidence.py", tmp_path)


@pytest.mark.parametrize("name", [".hydra/config.yaml", "weights.safetensors"])
def test_a_damaged_run_is_one_sentence(name: str, folder: Path, script: Any, tmp_path: Path) -> None:
    run = shutil.copytree(next(folder.glob("*none-seed0-*")), tmp_path / "run")
    (run / name).write_text("pruner: [\n")
    code, printed = script("compare_evidence.py", run)
    assert re.fullmatch(rf"{run} is not the folder of a finished run \(.+\)\.", code)
    assert printed == ""


@pytest.mark.parametrize("settings", [{"examples": 0}, {"examples": 1.5}, {"draws": 0}, {"draws": 1.5}])
def test_what_can_not_be_drawn_is_refused_by_name(settings: dict[str, int]) -> None:
    model = network("fcn")
    (field, value), *_ = settings.items()
    with pytest.raises(ConfigError, match=f"^{field}={value} is not accepted: {field} takes a whole number"):
        fisher_diagonal(
            model, dict(model.named_parameters()), pixels(20), ["1.weight"], **settings, generator=torch.Generator()
        )


@pytest.mark.parametrize("drawn", [{"examples": 5}, {"draws": 1}])
def test_what_is_drawn_at_random_takes_a_generator(drawn: dict[str, Any]) -> None:
    model = networks.fcn(SHAPE, 4, [3])
    parameters = dict(model.named_parameters())
    with pytest.raises(ValueError, match="give a generator"):
        fisher_diagonal(model, parameters, pixels(20), networks.prunable(model), **drawn)


def test_the_options_of_the_gate_reach_the_fisher_information() -> None:
    asked = []

    def fisher(examples: int | None, draws: int | None) -> dict[str, Tensor]:
        asked.append((examples, draws))
        return {"weight": torch.ones(2, dtype=torch.float64)}

    network = SimpleNamespace(parameters={"weight": torch.ones(2)}, fisher=fisher)
    candidate = Candidate(network, {"weight": torch.tensor([True, False])}, -1.0, -2.0, Prior(0.0, 1.0))  # type: ignore[arg-type]
    estimate = GATES.declared("laplace_evidence").estimate
    assert estimate is not None
    estimate(candidate, examples=5, draws=2)
    assert estimate(candidate) == pytest.approx(-1 + 1 / 4 + np.log(2) / 2)  # equation 4 by hand
    assert asked == [(5, 2), (None, None)]
