"""Settings of the process that a fold is trained in."""

import os
import subprocess
import sys

import pytest
import torch

# Batches of another size each, as packed slices are; oneDNN says when it makes a layer anew.
CODE = """
import torch
from volbench.training.device_and_precision import Compute
Compute("cpu", "float32", 1).enter()
layer = torch.nn.Conv2d(2, 4, 3)
for turn in range(2):
    for items in range(2, 402):
        layer(torch.ones(items, 2, 8, 8))
"""


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs oneDNN")
@pytest.mark.parametrize(
    ("given", "made"),
    [
        pytest.param({}, 800, id="all are forgotten before they come again"),
        pytest.param(
            {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024"}, 400, id="the user's own value stays"
        ),
    ],
)
def test_layers_compiled_for_other_sizes_are_not_kept_for_ever(given, made):
    inherited = {k: v for k, v in os.environ.items() if k != "ONEDNN_PRIMITIVE_CACHE_CAPACITY"}
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**inherited, "ONEDNN_VERBOSE": "profile_create", **given},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    misses = [line for line in done.stdout.splitlines() if "create:cache_miss" in line]
    assert len([line for line in misses if ",convolution," in line]) == made
