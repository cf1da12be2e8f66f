"""ONNX files: they compute what PyTorch computes, and say what they need."""

import itertools
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from tests.predict.trained_runs import train, write_volumes
from volbench.aggregators.average import Average
from volbench.augmentations.none import NoAugmentation
from volbench.cli.main import main
from volbench.data.preprocessing.operations import preprocess
from volbench.data.preprocessing.options import from_values
from volbench.data.reading import read_case
from volbench.errors import PluginError, UsageError
from volbench.export import export_onnx
from volbench.export import onnx_file as file
from volbench.export import onnx_graph as graphs
from volbench.export.onnx_graph import BY_FOLD, INPUT, MEAN, Voting, build_graph
from volbench.interfaces import Case, Files
from volbench.plugins.registry import aggregators, encoders
from volbench.predict import Ensemble
from volbench.predict.trained_run import load_trained
from volbench.spec import parse
from volbench.training.classifier import build_classifier, probabilities
from volbench.types import Output

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

BUILT_IN = ("r2d", "r3d", "r2plus1d", "mc2", "mc3", "mc4", "mc5", "rmc2", "rmc3", "rmc4", "rmc5")
POOLINGS = ("average", "max", "attention", "bilinear")
UNTRIED = ("gated_attention", "position_average", "transformer")  # no promise of the manual yet
QUICK = {("r2d", None)}  # beside rmc5 with bilinear, by the command


@pytest.fixture(scope="module", autouse=True)
def _no_shape_checks():
    """Checks of shapes compare symbolic sizes, and would tie a graph to those of the example."""
    import jaxtyping

    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    return write_volumes(tmp_path_factory.mktemp("volumes") / "data")


@pytest.fixture(scope="module")
def run(volumes, tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs"), volumes / "plain.csv", "tta.passes=2")


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """Both folds of the run, by the command."""
    path = tmp_path_factory.mktemp("exported") / "both.onnx"
    return path, CliRunner().invoke(main, ["export", str(run), "--output", str(path)])


def test_the_file_computes_what_the_networks_compute(run, exported, volumes):
    path, done = exported
    assert done.exit_code == 0, done.output
    session = onnxruntime.InferenceSession(path)
    facts = session.get_modelmeta().custom_metadata_map
    options = from_values(json.loads(facts["volbench.preprocessing"]))
    scan = preprocess(read_case(Case("a", "", "", Files((volumes / "03.nii.gz",)))), options)
    mean, by_fold = session.run([MEAN, BY_FOLD], {INPUT: scan.image[None]})
    volume = torch.from_numpy(scan.image[None])
    for place, network in enumerate(Ensemble(run).trained.networks.values()):
        with torch.no_grad():
            wanted = probabilities(network(volume)).numpy()
        np.testing.assert_allclose(by_fold[place], wanted, atol=1e-5)
    np.testing.assert_allclose(mean, by_fold.mean(axis=0), atol=1e-6)
    assert abs(float(by_fold[0, 0, 1]) - float(by_fold[1, 0, 1])) > 1e-5, "two networks, not one"


def test_the_file_says_what_a_volume_must_be_like(run, exported):
    path, done = exported
    model = onnx.load(path)
    onnx.checker.check_model(model)
    facts = {entry.key.removeprefix("volbench."): entry.value for entry in model.metadata_props}
    experiment = json.loads((run / "experiment.json").read_text())
    assert facts["experiment"] == experiment["id"]
    assert facts["data_digest"] == experiment["data_digest"]
    assert json.loads(facts["preprocessing"]) == experiment["recipe"]["preprocessing"]
    assert json.loads(facts["classes"]) == ["T2", "T3"]
    assert json.loads(facts["channels"]) == ["image"]
    assert json.loads(facts["folds"]) == [0, 1]
    assert json.loads(facts["size"]) == 16
    assert json.loads(facts["spacing_mm"])["slice"] == pytest.approx([3.0, 3.0])
    assert json.loads(facts["planes"]) == ["axial"]
    assert json.loads(facts["data"])["licence"].startswith("not stated")
    assert facts["normalize"] == "zscore"
    assert "not for clinical use" in facts["notice"]
    assert "averages over 2 random views of each case" in done.stderr
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in shape] == [1, 1, "slices", 16, 16]


def test_the_file_names_no_path_of_the_machine_that_wrote_it(run, exported):
    content = exported[0].read_bytes()
    for folder in (graphs.__file__.rsplit("/", 1)[0], torch.__file__.rsplit("/", 1)[0], str(run)):
        assert folder.encode() not in content


def test_a_fold_that_is_not_there_is_refused(run, tmp_path):
    with pytest.raises(UsageError, match="--fold 7: not there; done: 0, 1"):
        export_onnx(run, tmp_path / "a.onnx", folds=[7])


def test_a_graph_that_computes_something_else_is_not_written(run, tmp_path, monkeypatch):
    monkeypatch.setattr(file, "build_graph", lambda voting, **options: _constant(0.25))
    with pytest.raises(PluginError, match="with 1 slices the ONNX graph differs from PyTorch by"):
        export_onnx(run, tmp_path / "a.onnx")
    monkeypatch.setattr(file, "build_graph", lambda voting, **options: _constant(float("nan")))
    with pytest.raises(PluginError, match="differs from PyTorch by nan"):
        export_onnx(run, tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def _constant(value):
    """A graph that answers the same to everything."""
    from onnx import TensorProto, helper, numpy_helper

    outputs = {MEAN: np.full((1, 2), value, "f4"), BY_FOLD: np.full((2, 1, 2), value, "f4")}
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array))
        for name, array in outputs.items()
    ]
    given = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [1, 1, "slices", 16, 16])
    made = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape)
        for name, array in outputs.items()
    ]
    return helper.make_model(
        helper.make_graph(nodes, "constant", [given], made),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )


def test_without_the_extra_the_way_to_install_it_is_said(run, monkeypatch):
    monkeypatch.setattr(graphs, "find_spec", lambda name: None if name == "onnx" else True)
    done = CliRunner().invoke(main, ["export", str(run)])
    assert done.exit_code == 2
    assert done.stderr == (
        "volbench: export needs onnx; install it: pip install 'volbench[export]'\n"
    )


def test_networks_that_no_file_can_hold_are_refused(monkeypatch):
    monkeypatch.setattr(graphs, "LARGEST_BYTES", 1000)
    with pytest.raises(UsageError, match="export them one by one with --fold"):
        exported_graph("r2d", "average")


class OfOneLength(Average):
    """Looks at the number of slices as a plain number, which ties the graph to it."""

    def forward(self, tokens, mask=None):
        return super().forward(tokens * float(tokens.shape[1]), mask)


def test_a_component_that_cannot_be_exported_is_named():
    with (
        aggregators.adding(stubborn=OfOneLength),
        pytest.raises(PluginError, match="aggregator stubborn cannot be exported to ONNX"),
    ):
        exported_graph("r2d", "stubborn")


def network(encoder, aggregator):
    torch.manual_seed(0)
    made = build_classifier(
        parse(f"{encoder}(width=2)"),
        None if aggregator is None else parse(aggregator),
        in_channels=1,
        num_classes=2,
    )
    torch.nn.init.normal_(made.head.weight)  # else every probability is about one half
    return made.eval()


def exported_graph(encoder, aggregator, size=16):
    return build_graph(
        Voting([network(encoder, aggregator)], NoAugmentation()).eval(),
        in_channels=1,
        size=size,
        encoder=encoder,
        aggregator=aggregator,
    )


@pytest.mark.parametrize(
    ("encoder", "aggregator"),
    [
        pytest.param(*pair, marks=[] if pair in QUICK else pytest.mark.slow)
        for pair in itertools.product(BUILT_IN, (*POOLINGS, None))
    ],
)
def test_every_network_computes_in_onnx_what_it_computes_here(encoder, aggregator):
    session = onnxruntime.InferenceSession(exported_graph(encoder, aggregator).SerializeToString())
    for slices in (1, 2, 3, 7, 20):
        volume = torch.randn(1, 1, slices, 16, 16, generator=torch.Generator().manual_seed(slices))
        (found,) = session.run([MEAN], {INPUT: volume.numpy()})
        assert found.shape == (slices if aggregator is None else 1, 2)
        with torch.no_grad():
            wanted = probabilities(as_trained(network(encoder, aggregator), volume))
        np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("encoder", "size"),
    [
        pytest.param(
            encoder, size, marks=[] if (encoder, size) == ("rmc5", 64) else pytest.mark.slow
        )
        for encoder, size in itertools.product(BUILT_IN, (32, 64, 256))
    ],
)
def test_every_encoder_exports_at_the_sizes_of_the_demo_and_of_manifests(encoder, size):
    """From 64 pixels on a CPU convolves in 3D, which a graph for any number of slices does not."""
    proto = exported_graph(encoder, "bilinear", size)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    model = network(encoder, "bilinear")
    for slices in (1, 2, 3, 7, 13):
        seed = torch.Generator().manual_seed(slices)
        volume = torch.randn(1, 1, slices, size, size, generator=seed)
        (found,) = session.run([MEAN], {INPUT: volume.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(found, probabilities(model(volume)).numpy(), atol=1e-5)


def as_trained(model, volume):
    """The forward pass of training; at slice level every slice is asked for."""
    if model.aggregator is not None:
        return model(volume)
    tokens = model.encoder(volume)[0]
    return Output(model.head(tokens), tokens)


def test_the_encoders_and_aggregators_above_are_all_there_are():
    own = {
        name
        for kind in (encoders, aggregators)
        for name, origins in kind.origins.items()
        if origins[0].distribution == "volbench"
    }
    assert own == {*BUILT_IN, *POOLINGS, *UNTRIED, "timm"}


@pytest.mark.slow
def test_a_timm_backbone_computes_in_onnx_what_it_computes_here():
    torch.manual_seed(0)
    model = build_classifier(
        parse("timm(name='resnet18')"), parse("max"), in_channels=1, num_classes=3
    ).eval()
    proto = build_graph(
        Voting([model], NoAugmentation()), in_channels=1, size=32, encoder="timm", aggregator="max"
    )
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    volume = torch.randn(1, 1, 4, 32, 32)
    (found,) = session.run([MEAN], {INPUT: volume.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, probabilities(model(volume)).numpy(), atol=1e-5)


@pytest.mark.parametrize("encoder", ["timm(name='test_vit'", "r2d(width=2"])
def test_a_run_that_was_adapted_is_exported_merged(encoder, volumes, tmp_path):
    run = train(
        tmp_path / "runs",
        volumes / "plain.csv",
        encoder=f"{encoder}, adapt=lora(rank=2))",
        aggregator="max",
    )
    done = export_onnx(run, tmp_path / "lora.onnx", folds=[0])
    session = onnxruntime.InferenceSession(done.path)
    names = {tensor.name for tensor in onnx.load(done.path).graph.initializer}
    assert not [name for name in names if "parametrizations" in name]
    trained = load_trained(run, folds=[0]).networks[0]  # adapted, not merged
    adapters = [one for name, one in trained.named_parameters() if name.endswith(".up")]
    assert adapters
    assert all(one.abs().sum() > 0 for one in adapters)
    volume = torch.randn(1, 1, 5, 16, 16)
    (found,) = session.run([MEAN], {INPUT: volume.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, probabilities(trained(volume)).numpy(), atol=1e-5)
