"""The flagship: which encoder, adapted how, pooled how? Runs what is not finished yet.

    python benchmarks/foundations/grid.py DATA lite0.safetensors --out runs/foundations
    volbench compare runs/foundations

Rows in the order in which they teach most, so that a run that has to be cut off leaves a table:
first every encoder and adaptation with the mean, then the other aggregators.
"""

import argparse
import time
from pathlib import Path

from volbench.crossval import make_plan, run
from volbench.errors import VolbenchError

LITE0 = "timm(name='tf_efficientnet_lite0', normalize='unit'"
AGGREGATORS = ("average", "gated_attention", "transformer")


def encoders(weights: str) -> dict[str, str]:
    """Encoder and adaptation, by name. LoRA adapts convolutions: lite0 has no linear layers."""
    return {
        "scratch-rmc5": "rmc5(width=16)",
        "frozen-lite0": f"{LITE0}, weights={weights!r}, freeze=true)",
        "lora-lite0": f"{LITE0}, weights={weights!r}, adapt=lora(rank=8))",
        "full-lite0": f"{LITE0}, weights={weights!r})",
        "scratch-lite0": f"{LITE0}, in_chans=3)",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("weights")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--folds", default="3")
    parser.add_argument("--only", default="", help="part of the names to run")
    parser.add_argument("--minutes", type=float, default=1e9, help="start no run after so many")
    options = parser.parse_args()
    began = time.monotonic()
    for aggregator in AGGREGATORS:
        for name, encoder in encoders(options.weights).items():
            title = f"{name}-{aggregator}"
            if options.only not in title or time.monotonic() - began > 60 * options.minutes:
                continue
            start = time.monotonic()
            try:
                plan = make_plan(
                    encoder=encoder,
                    aggregator=aggregator,
                    loss="focal",
                    data=options.data,
                    folds=options.folds,
                    precision="float32",
                    overrides=("training.augmentation=none", *options.settings),
                )
                outcome = run(plan, out=options.out, name=title)
            except VolbenchError as error:
                print(title, error, flush=True)
                continue
            seconds = time.monotonic() - start
            failed = [result.error for result in outcome.failed]
            print(f"{title}: {seconds:.0f} s, failed {failed}", flush=True)


if __name__ == "__main__":
    main()
