import functools
import json
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from volbench._api.info import describe
from volbench.cli.info import command
from volbench.cli.main import main
from volbench.experiment.recipe import load_recipe
from volbench.experiment.recipe_info import SEARCH
from volbench.experiment.search_space import read_space
from volbench.experiment.setting_differences import recipe_keys
from volbench.interfaces import Encoder
from volbench.plugins.registry import aggregators, encoders
from volbench.profiling.encoder_cost import profile_encoder
from volbench.spec import parse, show_value

# Receptive field in-plane, by hand: 7 for the stem, then (kernel - 1) * stride so far: 4 * 2 * 2,
# 2 * 2 + 3 * 2 * 4, 2 * 4 + 3 * 2 * 8 and 2 * 8 + 3 * 2 * 16 for the stages.
IN_PLANE = 7 + 16 + 28 + 56 + 112


def r2d_flops(plane: int) -> int:
    """Two per multiply-add of every convolution, summed by hand."""
    side = plane // 2
    total = side**2 * 49 * 32
    channels = 32
    for stage in range(4):
        filters = 32 * 2**stage
        if stage:
            side //= 2
            total += side**2 * channels * filters  # shortcut
        total += side**2 * 9 * filters * (channels + 3 * filters)
        channels = filters
    return 2 * total


class Peephole(Encoder):
    """A plugin's encoder, which offers no feature map and squeezes two slices into a token."""

    slice_stride = 2

    def __init__(self, in_channels: int, *, kernel: int = 5) -> None:
        super().__init__()
        self.num_features = 3
        self.frozen = nn.Parameter(torch.zeros(7), requires_grad=False)
        self.conv = nn.Conv3d(
            in_channels, 3, (kernel, 1, 1), stride=(2, 1, 1), padding=(kernel // 2, 0, 0)
        )

    def forward(self, volume: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.conv(volume).mean(dim=(3, 4)).transpose(1, 2)


@pytest.mark.parametrize(("name", "slices"), [("r2d", 1), ("mc2", 3), ("rmc5", 9), ("r3d", 35)])
def test_the_receptive_field_is_that_of_the_layers(name: str, slices: int) -> None:
    profile = profile_encoder(encoders.build(f"{name}(width=4)", Encoder, 1))
    assert profile.receptive_pixels == IN_PLANE
    assert profile.receptive_slices == slices


def test_flops_are_those_of_the_layers() -> None:
    (described,) = describe("r2d")
    assert described.profile is not None
    assert described.profile.plane == 256
    assert described.profile.gflops_per_slice == pytest.approx(r2d_flops(256) / 1e9, rel=1e-12)
    assert described.profile.parameters == 2795744
    assert described.profile.parameters_with_head == 2796001


def test_profiling_leaves_the_encoder_and_the_random_state_alone() -> None:
    encoder = encoders.build("mc2(width=2)", Encoder, 1)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    state = torch.get_rng_state()
    profile_encoder(encoder)
    assert torch.equal(torch.get_rng_state(), state)
    assert encoder.training
    for key, value in encoder.state_dict().items():
        assert torch.equal(value, before[key])
        assert value.dtype == before[key].dtype


def test_the_receptive_field_depends_on_no_weights() -> None:
    for seed in range(12):  # of two channels, some of which may be dead by chance
        torch.manual_seed(seed)
        assert profile_encoder(encoders["r2d"](1, width=2)).receptive_pixels == IN_PLANE


def test_timm_models_are_measured_too() -> None:
    (described,) = describe('timm(name="resnet18")')
    assert described.profile is not None
    # Known for ResNet-18 with max-pooling: 435 pixels; a slice never sees another.
    assert described.profile.receptive_pixels == 435
    assert described.profile.receptive_slices == 1
    (described,) = describe('timm(name="test_vit", image_size=48)')
    assert described.profile is not None
    assert described.profile.plane == 48
    assert described.profile.receptive_pixels == "whole image (up to 48 pixels)"


def test_what_cannot_be_measured_is_unknown() -> None:
    with encoders.adding(peephole=Peephole):
        (described,) = describe("peephole(kernel=7)", in_channels=2)
    assert described.provider == "this process"
    assert described.summary.startswith("A plugin's encoder")
    profile = described.profile
    assert profile is not None
    assert profile.receptive_pixels == "unknown"
    assert profile.receptive_slices == 7
    assert profile.parameters == 3 * (2 * 7 + 1)  # the frozen one is not trained
    # Four tokens of eight slices, three features from two channels and seven slices each.
    assert profile.gflops_per_slice == pytest.approx(2 * 4 * 256**2 * 3 * 2 * 7 / 8 / 1e9)


def test_a_name_of_several_kinds_is_shown_for_each() -> None:
    with aggregators.adding(r2d=lambda num_features, *, power=2: None):
        both = describe("r2d")
        (only,) = describe("r2d(power=3)")
    assert [one.kind for one in both] == ["encoder", "aggregator"]
    assert both[1].signature == "r2d(num_features, *, power=2)"
    assert only.kind == "aggregator"
    assert only.profile is None


@pytest.mark.parametrize("options", ["freeze=true", "adapt=lora(rank=2)"])
def test_what_every_encoder_takes_is_known(options: str) -> None:
    (plain,) = describe("r2d(width=2)")
    (described,) = describe(f"r2d(width=2, {options})")
    assert described.shared_options == "weights=None, inflate=None, freeze=False, adapt=None"
    assert plain.profile is not None
    assert described.profile is not None
    assert plain.profile.frozen_parameters == 0
    assert described.profile.frozen_parameters == plain.profile.parameters
    assert (described.profile.parameters == 0) == (options == "freeze=true")
    shown = CliRunner().invoke(command, [f"r2d(width=2, {options})"]).stdout
    assert f" trained, {plain.profile.parameters:,} frozen\n" in shown
    assert "adapt=None (every encoder does)\n" in shown


def test_what_an_encoder_takes_itself_is_not_said_twice() -> None:
    (described,) = describe("timm(name='test_resnet')")
    assert described.shared_options == "inflate=None, freeze=False, adapt=None"
    (loss,) = describe("focal")
    assert loss.shared_options == ""


def test_it_names_signature_source_and_citation() -> None:
    (described,) = describe("rmc5")
    assert described.provider == "volbench 0.1.0"
    assert described.signature == "rmc5(in_channels: int, *, width: int = 32)"
    assert described.source == "volbench.encoders.resnet:rmc5"
    assert "resnet.py:" in described.file
    assert described.summary.startswith("rMC5, reversed: 2D but for the last stage")
    assert described.citations == (
        "https://arxiv.org/abs/1512.03385",
        "https://arxiv.org/abs/1711.11248",
    )


def test_it_shows_where_its_author_would_search() -> None:
    (described,) = describe("focal")
    assert described.search_space == {"gamma": "uniform(high=5, low=0)"}
    shown = CliRunner().invoke(command, ["triplet"]).stdout
    assert "\nsearch space  margin: uniform(high=1, low=0.05)\n" in shown
    assert "\nsearch space  none proposed\n" in CliRunner().invoke(command, ["max"]).stdout


def test_a_broken_component_of_another_kind_stands_in_nobodys_way() -> None:
    with aggregators.adding(focal=dict):  # which does not say how it is called
        (described,) = describe("focal")
    assert described.kind == "loss"


def test_a_component_without_a_module_of_its_own_is_described_all_the_same() -> None:
    with aggregators.adding(half=functools.partial(Peephole, kernel=3)):
        (described,) = describe("half")
    assert described.provider == "this process"
    assert described.signature == "half(in_channels: int, *, kernel: int = 3)"


def test_piped_output_is_plain_lines() -> None:
    result = CliRunner().invoke(command, ["rmc5(width=2)"])
    assert result.exit_code == 0, result.output
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["encoder"] == "rmc5(width=2)"
    assert lines["GFLOPs"].endswith("per slice at 256×256 (forward; a multiply-add counts as 2)")
    assert "\nsees in-plane  219 pixels\n" in result.stdout
    assert "\nsees across    9 slices\n" in result.stdout
    assert "\x1b" not in result.stdout


def test_json_holds_the_same_figures() -> None:
    result = CliRunner().invoke(command, ["mc2(width=2)", "--json", "--in-channels", "3"])
    assert result.exit_code == 0, result.output
    (entry,) = json.loads(result.stdout)
    assert entry["kind"] == "encoder"
    assert entry["profile"]["receptive_slices"] == 3
    # Three times the 3x7x7 weights of the stem, less than three times the network.
    (one,) = describe("mc2(width=2)")
    assert one.profile is not None
    assert entry["profile"]["parameters"] == one.profile.parameters + 2 * (2 * 3 * 49)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rmc6", "volbench: Unknown component 'rmc6'. Did you mean 'rmc5'?"),
        (
            "qqq",
            "volbench: Unknown component 'qqq'. `volbench list` shows what is installed.",
        ),
        (
            "RMC5",
            "volbench: Unknown component 'RMC5'. Did you mean 'rmc5'?",
        ),
        (
            "rmc5(depth=3)",
            "volbench: rmc5(depth=3): the arguments do not fit; "
            "the signature is rmc5(in_channels: int, *, width: int = 32)",
        ),
        (
            "focal(freeze=true)",
            "volbench: focal(freeze=True): the arguments do not fit; the signature is "
            "focal(problem: volbench.interfaces.Problem, *, gamma: float = 2.0, "
            "alpha: float | tuple[float, ...] | None = None, reduction: str = 'mean', "
            "class_weight: str | tuple[float, ...] | None = None)",
        ),
        (
            "rmc5(",
            "volbench: cannot read spec 'rmc5(' at column 5: '(' was never closed",
        ),
    ],
)
def test_a_wrong_name_is_one_line_and_exit_code_4(
    name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["info", name])
    assert caught.value.code == 4
    assert capsys.readouterr().err == message + "\n"


def test_help_imports_no_torch() -> None:
    code = (
        "import sys, volbench.cli.info; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'timm', 'pandas', 'rich')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


FREE = ("training.augmentation", "tta.augmentation", "optimizer.encoder_lr_scale")
"""Keys that take a spec, or no value."""


def test_a_recipe_shows_every_key_with_its_default_and_meaning():
    result = CliRunner().invoke(command, ["standard", "--format", "json"])
    keys = {each["key"]: each for each in json.loads(result.stdout)["keys"]}
    assert list(keys) == recipe_keys()
    recipe = load_recipe("standard")
    for key, each in keys.items():
        section, _, name = key.partition(".")
        default = getattr(getattr(recipe, section), name)
        assert each["default"] == (list(default) if isinstance(default, tuple) else default)
        assert each["meaning"], key
        assert each["allowed"] or key in FREE, key
    shown = CliRunner().invoke(command, ["standard"], env={"COLUMNS": "80"}).stdout
    assert "training.epochs" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_every_proposed_search_space_is_one_and_holds_values_that_are_allowed():
    for key, text in SEARCH.items():
        space = read_space(parse(text))
        load_recipe("standard", (f"{key}={show_value(space.middle)}",))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["info", "resnet50"], 'are written timm(name="resnet50")'),
        (["comare"], "No such command 'comare'. Did you mean 'compare'?"),
        (["data", "audti"], "No such command 'audti'. Did you mean 'audit'?"),
        (["run", "--encoder", "resnet50"], 'are written timm(name="resnet50")'),
        (["run", "--encoder", "r2d", "--set", "training.epoch=3"], "mean 'training.epochs'?"),
        (["run", "--encoder", "r2d", "--set", "trainig.epochs=3"], "Did you mean 'training'?"),
    ],
)
def test_a_slip_is_told_what_was_meant(arguments, said, capsys):
    more = ["--agg", "average", "--loss", "focal", "--dry-run"] if arguments[0] == "run" else []
    done = CliRunner().invoke(main, [*arguments, *more])
    assert done.exit_code != 0
    assert said in done.stderr
