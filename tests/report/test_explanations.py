import shutil

import numpy as np
import pytest
import torch

from tests.helpers.small import write_small
from tests.report.page_reading import Page
from volbench.crossval import make_plan, run
from volbench.evaluation.metrics import area_under_curve, roc_curve
from volbench.interfaces import Aggregator, Encoder
from volbench.leaderboard import load_run
from volbench.leaderboard.statistics.compare import compare_runs
from volbench.report import make_report
from volbench.report.attribution import slice_values
from volbench.report.curves import sensitivities
from volbench.report.drawings import printable
from volbench.report.examples import examples
from volbench.report.gradcam import grad_cam
from volbench.report.images import windowed
from volbench.report.prepared_data import find_prepared
from volbench.report.report_row import report_rows
from volbench.spec import parse
from volbench.training.classifier import Classifier, SliceIndex, build_classifier


class Plain(Encoder):
    """Two maps: the slice itself and its negative; a token is their mean."""

    def __init__(self, *, spatial: bool = True) -> None:
        super().__init__()
        self.num_features = 2
        self.maps = torch.nn.Conv2d(1, 2, 1, bias=False)
        self.maps.weight.data = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)
        self.spatial = spatial

    def forward(self, volume, mask=None):
        slices = volume[0, 0]
        if not self.spatial:
            return torch.stack([slices.mean((1, 2)), -slices.mean((1, 2))], dim=1)[None]
        return self.maps(slices[:, None]).mean((2, 3))[None]


class Mean(Aggregator):
    def __init__(self) -> None:
        super().__init__()
        self.num_features = 2

    def forward(self, tokens, mask=None):
        if mask is None:
            return tokens.mean(1)
        weight = mask[..., None].to(tokens.dtype)
        return (tokens * weight).sum(1) / weight.sum(1)


def plain_network(**kwargs):
    network = Classifier(Plain(**kwargs), Mean(), 2).eval()
    network.head.weight.data = torch.tensor([[1.0, 0.0]])
    return network


def test_grad_cam_is_its_formula():
    volume = torch.randn(1, 1, 3, 4, 4, generator=torch.manual_seed(0))
    # d logit / d map is 1 / (3 slices * 16 places) for the first map and 0 for the second.
    wanted = volume[0, 0].clamp_min(0)
    found = grad_cam(plain_network(), volume, of=1)
    np.testing.assert_allclose(found, wanted / wanted.max(), rtol=1e-5)
    against = (-volume[0, 0]).clamp_min(0)  # of the first class the evidence is the negative
    found = grad_cam(plain_network(), volume, of=0)
    np.testing.assert_allclose(found, against / against.max(), rtol=1e-5)


def test_an_encoder_without_a_map_has_no_grad_cam():
    assert grad_cam(plain_network(spatial=False), torch.randn(1, 1, 3, 4, 4), of=1) is None


@pytest.mark.parametrize("encoder", ["r2d(width=2)", "r3d(width=2)", "r2plus1d(width=2)"])
def test_grad_cam_finds_the_last_map_of_our_encoders(encoder):
    network = build_classifier(
        parse(encoder), parse("average"), in_channels=1, num_classes=3
    ).eval()
    found = grad_cam(network, torch.randn(1, 1, 5, 32, 32), of=2)
    assert found.shape == (5, 2, 2)  # 32 halved by the stem and by three stages
    assert found.min() >= 0
    assert found.max() <= 1
    alone = build_classifier(parse(encoder), None, in_channels=1, num_classes=2).eval()
    index = SliceIndex(torch.tensor([0]), torch.tensor([2]))
    assert grad_cam(alone, torch.randn(1, 1, 5, 32, 32), of=1, slices=index).shape == (5, 2, 2)


def test_leaving_a_slice_out_is_the_difference_by_hand():
    means = [0.5, -1.0, 2.0]
    volume = torch.tensor(means).reshape(1, 1, 3, 1, 1).expand(1, 1, 3, 4, 4)
    (found,) = slice_values(plain_network(), volume, of=1)

    def probability(values):
        return 1 / (1 + np.exp(-np.mean(values)))

    wanted = [probability(means) - probability(means[:n] + means[n + 1 :]) for n in range(3)]
    assert found.kind == "leaving out"
    assert found.values == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("aggregator", ["average", "max", "attention", "bilinear"])
def test_every_aggregator_can_be_explained(aggregator):
    network = build_classifier(
        parse("r2d(width=2)"), parse(aggregator), in_channels=1, num_classes=2
    ).eval()
    found = {each.kind: each for each in slice_values(network, torch.randn(1, 1, 4, 16, 16), of=1)}
    assert set(found) == (
        {"leaving out", "weights"} if aggregator == "attention" else {"leaving out"}
    )
    assert all(len(each.values) == 4 for each in found.values())
    if aggregator == "attention":
        assert sum(found["weights"].values) == pytest.approx(1, abs=1e-5)


def test_attention_weights_are_the_mean_softmax_and_skip_padding():
    tokens = torch.tensor([[[0.0, 1.0], [1.0, 0.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, False]])
    attention = build_classifier(
        parse("r2d(width=2)"), parse("attention"), in_channels=1, num_classes=2
    ).aggregator
    weights = attention.slice_weights(tokens, mask)
    assert weights[0].tolist() == pytest.approx([0.5, 0.5, 0.0])


def test_the_area_below_the_drawn_curve_is_the_auc():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 40)
    second = np.round(np.clip(0.4 + 0.2 * labels + random.normal(0, 0.2, 40), 0, 1), 1)
    probabilities = np.stack([1 - second, second], axis=1)
    rates = np.linspace(0, 1, 20001)
    curve = sensitivities(roc_curve(labels, probabilities), rates)
    area = np.trapezoid(curve, rates)
    assert area == pytest.approx(area_under_curve(labels, probabilities), abs=1e-3)


def test_a_stray_voxel_does_not_move_the_window():
    volume = np.random.default_rng(0).uniform(0, 1, (3, 20, 20)).astype(np.float32)
    before = windowed(volume)
    volume[0, 0, 0] = 1e6
    assert np.abs(windowed(volume).astype(int) - before)[1:].max() <= 3


def test_names_too_long_for_a_figure_lose_their_middle():
    assert printable("short", most=52) == "short"
    assert len(printable("x" * 500, most=52)) == 52
    assert printable("a\x00b\n", most=52) == "a�b�"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    data = write_small(folder / "data", cases=16).folder
    plan = make_plan(
        encoder="r2d(width=2)",
        aggregator="attention",
        loss="focal",
        data=str(data),
        folds="2",
        overrides=("training.epochs=1",),
    )
    return data, run(plan, out=folder / "runs", name="one", jobs=1).path


def test_cases_are_explained_where_volumes_and_networks_are(trained):
    data, path = trained
    page = Page(make_report([load_run(path)], data=[data]))
    assert not page.problems
    assert "its surest right and its surest wrong decisions" in page.words
    assert "Weight of each slice" in page.words
    assert any("Grad-CAM" in image["alt"] for image in page.all("img"))
    assert all(image["src"].startswith("data:image/") for image in page.all("img"))


def test_without_volumes_or_networks_a_line_says_why(trained, tmp_path):
    data, path = trained
    copy = shutil.copytree(path, tmp_path / "copy")
    for weights in copy.glob("folds/*/model.safetensors"):
        weights.unlink()
    run_ = load_run(copy)
    (row,) = report_rows(compare_runs([run_]))
    assert find_prepared(run_) is None
    assert "volumes are not on this machine" in examples(row, None, threshold="0.5").reason
    prepared = find_prepared(run_, [data])
    found = examples(row, prepared, threshold="0.5")
    assert found.reason.startswith("the networks cannot be used")
    assert not found.cases
