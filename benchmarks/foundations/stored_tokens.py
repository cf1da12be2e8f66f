"""What storing the tokens of a frozen encoder saves, on one fold; and that it changes nothing.

python benchmarks/foundations/stored_tokens.py MANIFEST.CSV lite0.safetensors [EPOCHS]
"""

import sys
import tempfile
import time
from pathlib import Path

from volbench.crossval import make_plan, run

PREPARED = ("crop=box", "box_mm=40", "size=64", "normalize=window", "max_slices=8")


def main(manifest: str, weights: str, epochs: int) -> None:
    plan = make_plan(
        encoder=f"timm(name='tf_efficientnet_lite0', weights={weights!r}, normalize='unit', "
        "freeze=true)",
        aggregator="average",
        loss="focal",
        data=manifest,
        folds="3",
        precision="float32",
        overrides=(
            f"training.epochs={epochs}",
            "training.augmentation=none",
            *(f"preprocessing.{setting}" for setting in PREPARED),
        ),
    )
    with tempfile.TemporaryDirectory() as out:
        seconds, predictions = {}, {}
        for features in ("auto", "off"):
            began = time.perf_counter()
            outcome = run(
                plan,
                out=Path(out),
                name=features,
                folds=[0],
                device="cpu",
                jobs=2,  # as by default: a thread to each fold
                features=features,
            )
            elapsed = time.perf_counter() - began
            seconds[features] = outcome.results[0].seconds
            fold = outcome.path / "folds" / "00"
            predictions[features] = (fold / "predictions.csv").read_bytes()
            print(f"{features:5} {elapsed:8.1f} s with everything, fold {seconds[features]:.1f} s")
            if features == "auto":
                print((outcome.path / "features.json").read_text().replace("\n", " "))
        print("same predictions:", predictions["auto"] == predictions["off"])
        times = seconds["off"] / seconds["auto"]
        print(f"a fold, its share of storing included: {times:.1f} times")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 25)
