import logging
import threading
import time
from pathlib import Path

import huggingface_hub.constants
import huggingface_hub.errors
import pytest
import timm
import torch

from volbench.encoders import hub
from volbench.encoders.timm import Timm
from volbench.errors import SpecError
from volbench.interfaces import Encoder
from volbench.plugins.registry import encoders


@pytest.mark.parametrize(
    ("name", "features"),
    [("resnet18", 512), ("convnext_atto", 320), ("vit_tiny_patch16_224", 192)],
)
def test_a_token_is_what_timm_pools_from_the_slice(name: str, features: int) -> None:
    encoder = encoders.build(f"timm(name={name!r})", Timm, 2).eval()
    assert encoder.num_features == features
    volume, mask = torch.randn(2, 2, 3, 64, 96), torch.tensor([[True, True, False], [True] * 3])
    tokens = encoder(volume, mask)
    for case, number in [(0, 0), (0, 1), (1, 2)]:
        alone = encoder.backbone(volume[case, :, number][None])
        torch.testing.assert_close(tokens[case, number], alone[0], rtol=1e-4, atol=1e-5)
    assert not tokens[0, 2].any()


def test_the_length_of_a_token_is_measured_not_believed() -> None:
    model = timm.create_model("mobilenetv3_small_050", num_classes=0)
    encoder = encoders.build('timm(name="mobilenetv3_small_050")', Encoder, 1)
    assert model.num_features == 288  # timm's own word for another layer
    assert encoder.num_features == 1024 == encoder(torch.randn(1, 1, 2, 40, 40)).shape[2]


def test_planes_a_model_refuses_are_padded_to_a_multiple_of_32() -> None:
    encoder = encoders.build('timm(name="convnext_atto")', Timm, 1).eval()
    volume = torch.randn(1, 1, 1, 17, 40)
    padded = torch.zeros(1, 1, 32, 64)
    padded[0, 0, :17, :40] = volume[0, 0, 0]
    torch.testing.assert_close(encoder(volume)[0], encoder.backbone(padded))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            'timm(name="resnt18")',
            "timm has no model 'resnt18'; did you mean 'resnet18' or 'resnet18d' or 'skresnet18'?",
        ),
        (
            'timm(name="zzz")',
            "timm has no model 'zzz'; timm.list_models() names them all",
        ),
        (
            'timm(name="coat_tiny")',
            "timm model 'coat_tiny' does not take slices of any size (Input height (128) doesn't "
            "match model (224)); give image_size= to build it for one",
        ),
    ],
)
def test_a_model_that_cannot_be_built_is_refused_in_one_line(spec: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        encoders.build(spec, Encoder, 1)
    assert str(caught.value) == message


def test_a_model_of_fixed_size_says_which_size_it_takes() -> None:
    encoder = encoders.build('timm(name="test_vit", image_size=48)', Encoder, 1)
    with pytest.raises(SpecError) as caught:
        encoder(torch.randn(1, 1, 2, 48, 64))
    assert str(caught.value) == (
        "timm model 'test_vit' was built for slices of 48×48, but got 48×64; "
        "change image_size or the size that volumes are prepared at"
    )


def test_weights_out_of_reach_are_one_line_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    before = logging.getLogger("huggingface_hub").level
    with pytest.raises(SpecError) as caught:
        encoders.build('timm(name="test_resnet", pretrained=True)', Encoder, 1)
    message = str(caught.value)
    assert message.startswith("timm model 'test_resnet': pretrained weights cannot be loaded (")
    assert message.endswith("so that they are kept, or leave pretrained=True out")
    assert "\n" not in message
    assert logging.getLogger("huggingface_hub").level == before


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Nothing is kept, and nothing answers; the addresses that were asked for."""
    asked: list[str] = []

    class Nobody:
        def head(self, url: str, **options: object) -> None:
            asked.append(url)
            raise OSError(-2, "Name or service not known")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "get_session", Nobody)
    return asked


def test_a_hub_that_cannot_be_reached_is_said_in_seconds_not_after_ten_tries(
    no_hub: list[str],
) -> None:
    began = time.monotonic()
    with pytest.raises(SpecError) as caught:
        encoders.build('timm(name="test_resnet", pretrained=True)', Encoder, 1)
    assert time.monotonic() - began < 5
    assert no_hub == [huggingface_hub.constants.ENDPOINT]
    assert str(caught.value) == (
        "timm model 'test_resnet': pretrained weights cannot be loaded ("
        "https://huggingface.co cannot be reached: [Errno -2] Name or service not known); name a "
        "file by weights=, connect to the network once so that they are kept, or leave "
        "pretrained=True out"
    )
    assert not huggingface_hub.constants.HF_HUB_OFFLINE


def test_a_hub_that_never_answers_is_given_up(
    no_hub: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()

    class Silent:
        def head(self, url: str, **options: object) -> None:
            ended.wait(60)

    monkeypatch.setattr(hub, "get_session", Silent)
    monkeypatch.setattr(hub, "PATIENCE_S", 0.2)
    with pytest.raises(SpecError, match=r"does not answer within 0\.2 s"):
        encoders.build('timm(name="test_resnet", pretrained=True)', Encoder, 1)
    ended.set()


def test_weights_that_are_kept_are_loaded_without_asking_the_hub(no_hub: list[str]) -> None:
    tries = []

    def load() -> str:
        tries.append(huggingface_hub.constants.HF_HUB_OFFLINE)
        return "weights"

    assert hub.load_from_hub(load) == "weights"
    assert (tries, no_hub) == ([True], [])


def test_who_wants_no_network_has_none_asked(
    no_hub: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)

    def load() -> str:
        raise huggingface_hub.errors.LocalEntryNotFoundError("not kept")

    with pytest.raises(huggingface_hub.errors.LocalEntryNotFoundError):
        hub.load_from_hub(load)
    assert no_hub == []
    assert huggingface_hub.constants.HF_HUB_OFFLINE


@pytest.mark.parametrize(
    "missing",
    [
        huggingface_hub.errors.LocalEntryNotFoundError("not kept"),
        huggingface_hub.errors.OfflineModeIsEnabled("offline"),
    ],
)
def test_a_hub_that_answers_is_downloaded_from(
    missing: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Answers:
        def head(self, url: str, **options: object) -> None:
            pass

    monkeypatch.setattr(hub, "get_session", Answers)
    tries = []

    def load() -> str:
        tries.append(huggingface_hub.constants.HF_HUB_OFFLINE)
        if tries[-1]:
            raise missing
        return "weights"

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    assert hub.load_from_hub(load) == "weights"
    assert tries == [True, False]
