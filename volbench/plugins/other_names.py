"""What other libraries and papers call our components: asked for only where a name is unknown.

The nearest spelling is no help for a word that means the same (``mean``, ``ce``) and misleads for
one that does not (``coral`` is not ``corn``).
"""

from collections.abc import Mapping

OTHER_NAMES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "volbench.encoders": {
        "r2d": ("resnet2d", "2d"),
        "r3d": ("resnet3d", "3d", "r3d18"),
        "r2plus1d": ("r(2+1)d", "r21d"),
    },
    "volbench.aggregators": {
        "average": ("mean", "avg", "gap", "meanpool", "avgpool", "mean_pooling"),
        "max": ("maxpool", "max_pooling"),
        "attention": ("abmil", "attn", "attention_mil"),
        "gated_attention": ("gated", "gabmil", "gated_abmil"),
        "transformer": ("mst", "vit", "self_attention"),
    },
    "volbench.losses": {
        "cross_entropy": (
            "ce",
            "bce",
            "nll",
            "xent",
            "softmax",
            "logloss",
            "log_loss",
            "crossentropy",
        ),
        "auc_margin": ("auc", "auroc", "libauc", "auc_m"),
        "logit_adjusted": ("logit_adjustment", "la"),
        "squared_emd": ("emd", "emd2", "wasserstein"),
    },
    "volbench.augmentations": {
        "affine": ("rotate", "rotation", "shift", "scale", "geometric"),
        "flip": ("mirror", "hflip", "vflip"),
    },
    "volbench.datasets": {
        "manifest": ("csv", "folder", "nifti", "dicom", "files", "table"),
    },
}
"""By group of entry points: our name, and what others say."""

WRITTEN: Mapping[str, Mapping[str, str]] = {
    "volbench.augmentations": {
        "mixup": "Mixup is --set regularization.mixup=0.2.",
        "slice_dropout": "It is --set regularization.slice_dropout=0.1.",
    },
    "volbench.losses": {
        "label_smoothing": "Write cross_entropy(label_smoothing=0.1).",
        "weighted": "Write cross_entropy(class_weight='balanced').",
    },
}
"""What is written otherwise altogether."""


def other_name(group: str, name: str) -> str | None:
    """Our name for a component that others call ``name``.

    >>> other_name("volbench.aggregators", "Mean"), other_name("volbench.losses", "mean")
    ('average', None)
    """
    word = name.casefold().replace("-", "_")
    return next((ours for ours, words in OTHER_NAMES.get(group, {}).items() if word in words), None)


def written_otherwise(group: str, name: str) -> str:
    """A sentence for what is no component here; may be empty.

    >>> written_otherwise("volbench.augmentations", "mixup")
    'Mixup is --set regularization.mixup=0.2.'
    """
    if group == "volbench.augmentations" and name[:6] == "Random":
        return f"Random transforms of TorchIO are written torchio.{name}."
    return WRITTEN.get(group, {}).get(name.casefold(), "")
