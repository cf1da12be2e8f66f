"""The network benchmark: the same network twice, and a script that runs where peers are missing."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import candidates
import network
import pytest
import torch
from plain import as_plain

from volbench.encoders import resnet

ROOT = Path(__file__).parents[2]
TOY = ["--toy", "--device", "cpu"]

MISSING = """
import os, runpy, sys

class Missing:
    names = {"SimpleITK", "torchio", "kornia", "optuna", "pydantic", "monai", "torchvision"}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("name", network.ENCODERS)
def test_the_plain_network_gives_the_tokens_of_volbenchs(name):
    torch.manual_seed(0)
    encoder = getattr(resnet, name)(2, width=4).double()
    volume = torch.randn(2, 2, 3, 24, 20, dtype=torch.float64)
    torch.testing.assert_close(as_plain(encoder).double()(volume), encoder(volume))


def test_the_script_prints_its_tables_and_writes_them(capsys, tmp_path):
    file = tmp_path / "network.json"
    arguments = [*TOY, "--part", "same", "lengths", "--precision", "float32", "--json", str(file)]
    assert network.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "forward + backward, rmc5, float32, 1 x 3 slices of 32 x 32" in printed
    assert "the same, 2+3 slices in one batch" in printed
    same, lengths = json.loads(file.read_text())["tables"]
    assert same["reference"] == lengths["reference"] == "volbench"
    assert set(same["candidates"]) == {
        "volbench",
        "volbench, contiguous",
        "volbench, channels last",
        "plain Conv3d, contiguous",
        "plain Conv3d, channels last",
    }
    # Packed, five slices; padded, six. Every layer's work is proportional to them but at the ends
    # of the last stage, whose kernels PyTorch counts as if zeros were work.
    packed, padded = (
        lengths["candidates"][name]["GFLOP"]
        for name in ("volbench", "plain Conv3d, padded, contiguous")
    )
    assert packed / padded == pytest.approx(5 / 6, rel=1e-3)


def test_other_logits_end_the_script_with_status_1(monkeypatch, capsys):
    def wrong(encoder):
        plain = as_plain(encoder)
        torch.nn.init.constant_(plain.blocks[-1].conv2.weight, 0.1)
        return plain

    monkeypatch.setattr(candidates, "as_plain", wrong)
    arguments = [*TOY, "--part", "same", "--precision", "float32"]
    assert network.main(arguments) == 1
    assert "plain Conv3d, contiguous: logits in float32 differ by" in capsys.readouterr().err


def test_on_a_gpu_the_plain_network_is_recorded_too_and_compiled_where_asked_for(monkeypatch):
    class Graph:
        def replay(self):
            replays.append(self)

    replays = []
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph: contextlib.nullcontext())
    volume = torch.randn(1, 1, 2, 16, 16)
    found, failures = candidates.recorded(
        candidates.same_network("r2d", volume, "float32"), limit_s=60
    )
    assert list(found) == ["volbench, recorded", "plain Conv3d, channels last, recorded"]
    assert not failures
    for step in found.values():
        step()
    assert len(set(replays)) == 2
    ragged, lengths = torch.randn(2, 1, 3, 16, 16), [2, 3]
    packed, _ = candidates.recorded(
        candidates.unequal("r2d", ragged, lengths, "float32"), limit_s=60
    )
    assert list(packed) == ["volbench, recorded"]  # the plain one reads its mask from the host
    for kind in (type(resnet.r2d(1)), torch.nn.Module):
        monkeypatch.setattr(kind, "compile", lambda module: None)
    plain = "plain Conv3d, channels last"
    for ours, names in ((True, ["volbench", plain]), (False, [plain])):
        compiled, _ = candidates.compiled(
            candidates.same_network("r2d", volume, "float32"), limit_s=60, ours=ours
        )
        assert list(compiled) == [f"{name}, compiled" for name in names]


def test_a_forced_layout_holds_for_a_volume_of_one_channel():
    seen = []
    encoder = resnet.r2d(1, width=4)
    encoder.blocks[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    for layout in (torch.contiguous_format, torch.channels_last):
        with candidates.packed_as(layout):
            encoder(torch.randn(1, 1, 2, 16, 16))
        assert seen[-1].is_contiguous(memory_format=layout)


def test_tensor_float_32_is_allowed_only_where_it_is_measured():
    before = torch.backends.cudnn.allow_tf32
    for name in network.TOLERANCE:
        with candidates.precision(name):
            assert torch.backends.cudnn.allow_tf32 is (name == "tf32")
            assert torch.backends.cuda.matmul.allow_tf32 is (name == "tf32")
    assert torch.backends.cudnn.allow_tf32 is before


def test_a_node_without_peers_and_readers_runs_the_script_and_is_told_what_is_left_out():
    script = ROOT / "benchmarks" / "performance" / "network.py"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            MISSING,
            str(script),
            *TOY,
            "--precision",
            "float32",
            "--part",
            "context",
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "monai is not installed: left out" in done.stdout
    assert "torchvision is not installed: left out" in done.stdout


@pytest.mark.gpu
def test_the_script_runs_on_a_gpu(capsys):
    assert network.main(["--toy", "--device", "cuda", "--part", "same", "lengths"]) == 0
    assert "peak MiB" in capsys.readouterr().out
