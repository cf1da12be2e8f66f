"""What a person may have meant by an option or a command that volbench calls otherwise.

Whoever knows another tool types its words: ``--epochs``, ``--backbone``, ``volbench train``. A word
that is only spelt alike (``--epochs``, ``--graphs``) is no help; the one that means the same is.
"""

from collections.abc import Collection, Iterator, Mapping

import click

from volbench._utils.text import nearest

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "--encoder": ("model", "backbone", "network", "net", "arch", "architecture", "e"),
    "--agg": ("aggregator", "aggregation", "pooling", "pool", "head", "mil"),
    "--loss": ("criterion", "objective", "l"),
    "--data": ("dataset", "manifest", "csv", "data-dir", "input", "images", "d"),
    "--recipe": ("config", "cfg", "preset", "c"),
    "--folds": ("cv", "k", "kfold", "kfolds", "k-fold", "k-folds", "n-folds", "num-folds",
                "splits", "n-splits", "split"),
    "--seed": ("random-seed", "random-state", "rng", "s"),
    "--device": ("gpu", "gpus", "cuda", "cpu", "accelerator"),
    "--precision": ("amp", "fp16", "bf16", "half", "mixed-precision", "dtype"),
    "--jobs": ("workers", "num-workers", "n-jobs", "processes", "threads", "parallel", "j"),
    "--out": ("output", "output-dir", "output-folder", "out-dir", "outdir", "o", "save-dir",
              "log-dir", "logdir", "run-dir", "runs", "runs-dir", "results", "results-dir",
              "dir", "folder", "save"),
    "--output": ("out", "o", "outfile", "output-file", "out-file", "save", "file", "to"),
    "--format": ("f", "fmt", "style", "json", "csv", "html", "markdown", "md", "latex"),
    "--name": ("n", "run-name", "experiment", "experiment-name", "exp", "exp-name", "tag"),
    "--track": ("tracker", "trackers", "logger", "wandb", "mlflow", "tensorboard", "tb"),
    "--on": ("executor", "cluster", "slurm", "ray", "backend"),
    "--trials": ("n-trials", "iterations", "budget"),
    "--sort": ("sort-by", "metric", "rank", "order"),
    "--where": ("filter", "only", "select", "query"),
    "--against": ("baseline", "vs", "versus", "reference-run"),
    "--by": ("stratum", "strata", "subgroup", "group", "groups", "group-by", "stratify"),
    "--mask": ("roi", "masks", "segmentation", "seg"),
    "--patient": ("patient-id", "subject", "id"),
    "--label": ("target", "class", "labels", "y"),
    "--image": ("images", "path", "pattern", "files"),
    "--case": ("cases", "name", "subject", "id"),
    "--montage": ("all", "grid"),
    "--salt": ("anonymize", "anonymise", "hash"),
    "--candidates": ("models", "n-candidates"),
    "--from": ("runs", "pilot", "pilots"),
    "--dry-run": ("dry", "plan", "check"),
    "--level": ("mode",),
}  # fmt: skip
"""Words for an option, for commands that have it; of several, the first that a command has."""

WRITTEN: Mapping[str, tuple[str, ...]] = {
    "--encoder 'r2d(width=16)'": ("width",),
    "--encoder \"timm(name='resnet18', pretrained=True)\"": ("pretrained", "imagenet"),
    "--encoder \"timm(name='resnet18', weights='FILE')\"": ("weights", "checkpoint", "ckpt"),
    "--loss 'focal(class_weight=\"balanced\")'": (
        "class-weight", "class-weights", "weighted", "balanced"),
    "--loss 'focal(gamma=2)'": ("gamma",),
    "--loss 'triplet(margin=0.2)'": ("margin",),
    "--folds official": ("test", "test-set", "test-data", "val", "valid", "validation", "train"),
    "--level slice": ("slice", "slices", "2d"),
    "--set training.epochs=N": ("epoch", "num-epochs", "n-epochs", "max-epochs"),
    "--set training.batch_size=N": ("bs", "batch", "b"),
    "--set training.augmentation=SPEC": ("augment", "aug", "augmentations", "transform"),
    "--set training.sampler=balanced": ("oversample", "oversampling", "sampling"),
    "--set training.clip_norm=NORM": ("clip", "grad-clip", "clip-grad", "gradient-clip"),
    "--set optimizer.lr=RATE": ("learning-rate", "rate"),
    "--set optimizer.name=NAME": ("optimizer", "optimiser", "optim", "opt"),
    "--set optimizer.weight_decay=DECAY": ("wd", "decay"),
    "--set schedule.name=NAME": ("scheduler", "schedule", "lr-schedule", "lr-scheduler"),
    "--set selection.patience=EPOCHS": ("patience", "early-stopping", "early-stop"),
    "--set tta.passes=N": ("tta", "test-time-augmentation"),
    "--set preprocessing.size=N": (
        "image-size", "img-size", "input-size", "resize", "resolution", "patch-size"),
    "--set preprocessing.normalize=NAME": ("normalization", "normalisation", "normalise"),
}  # fmt: skip
"""Words for something that is written within another option; ``--set`` also takes key names."""

SAID: Mapping[str, tuple[str, ...]] = {
    "Rerun the same command to resume": ("resume", "continue", "restart"),
    "An existing run is never overwritten: choose another --name or --out": (
        "overwrite", "force", "exist-ok", "clobber"),
    "Progress and notes go to stderr: append 2> /dev/null": ("quiet", "q", "silent", "no-progress"),
}  # fmt: skip
"""Words for what needs no option."""

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "run": ("train", "fit", "cv", "crossval", "cross-validate", "benchmark", "bench", "start",
            "demo", "resume", "experiment"),
    "compare": ("leaderboard", "leaderboards", "results", "result", "table", "rank", "ranking",
                "stats", "statistics", "significance", "board", "diff"),
    "evaluate": ("test", "external", "eval"),
    "predict": ("infer", "inference", "score", "classify", "apply"),
    "export": ("onnx", "export-onnx", "convert", "torchscript"),
    "report": ("html", "plot", "plots", "figures", "figure", "report-html", "roc"),
    "report --card": ("card", "model-card", "modelcard"),
    "site": ("publish", "web", "website", "page", "pages", "serve", "dashboard"),
    "tune": ("search", "sweep", "optimize", "optimise", "hpo", "hyperparameters", "optuna",
             "grid", "gridsearch"),
    "list": ("ls", "components", "encoders", "models", "backbones", "aggregators", "losses",
             "augmentations", "recipes", "plugins"),
    "list datasets": ("datasets",),
    "info standard": ("config", "recipe", "defaults", "settings", "options"),
    "info": ("model-info", "describe-model", "explain", "docs", "doc"),
    "plan": ("power", "sample-size", "samplesize"),
    "features": ("embed", "embeddings", "extract", "encode", "tokens"),
    "status": ("ps", "jobs", "queue", "progress", "watch", "monitor"),
    "logs": ("log", "tail", "errors"),
    "suite run": ("grid-run", "experiments", "batch"),
    "data manifest": ("import", "init", "csv", "spreadsheet"),
    "data check": ("validate", "verify", "qc", "lint"),
    "data describe": ("summary", "summarize", "summarise"),
    "data show": ("view", "look", "preview", "montage", "visualize", "visualise", "display"),
    "data prepare": ("preprocess", "preprocessing", "cache"),
    "data audit": ("shortcuts", "baselines", "baseline"),
    "plugin new": ("create", "scaffold", "template", "new-plugin"),
    "--help": ("help", "man", "usage"),
    "--version": ("version",),
}  # fmt: skip
"""Words for a command."""

WITHIN: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "data": {
        "manifest": ("import", "init", "csv", "create", "write", "make"),
        "check": ("validate", "verify", "qc", "lint", "test"),
        "describe": ("stats", "statistics", "info", "summary", "summarize", "summarise"),
        "show": ("view", "plot", "preview", "montage", "visualize", "visualise", "display"),
        "prepare": ("preprocess", "preprocessing", "cache", "pack"),
        "audit": ("shortcuts", "baselines", "baseline"),
    },
    "suite": {"show": ("table", "tables", "results", "compare"), "run": ("train", "start")},
    "plugin": {"new": ("create", "scaffold", "init", "template"), "check": ("test", "validate")},
}
"""Words for a command of a group, beside those of all."""


def option_hint(name: str, context: click.Context) -> str:
    """A sentence that says what to write for an option that the command lacks; may be empty."""
    known = sorted(
        {
            option
            for parameter in context.command.get_params(context)
            if isinstance(parameter, click.Option) and not parameter.hidden
            for option in parameter.opts
            if option.startswith("--")
        }
    )
    word = name.lstrip("-").replace("_", "-").casefold()
    if f"--{word}" in known:
        return f" Did you mean '--{word}'?"
    if said := _said(word, known):
        return said
    if "--set" in known and (key := _key(word)):
        return f" Write --set {key}=VALUE; volbench info standard explains every key."
    if len(word) > 2 and (near := nearest(word, [option[2:] for option in known])):
        return f" Did you mean '--{near}'?"
    return _elsewhere(f"--{word}", context)


def _said(word: str, known: Collection[str]) -> str:
    for option, words in OPTIONS.items():
        if option in known and word in words:
            return f" Did you mean '{option}'?"
    for text, words in WRITTEN.items():
        if word in words and text.split()[0] in known:
            return f" Write {text}."
    for text, words in SAID.items():
        if word in words:
            return f" {text}."
    return ""


def _key(word: str) -> str | None:
    """The key of a recipe whose last part is the word, or whose whole name it is."""
    from volbench.experiment.setting_differences import recipe_keys

    flat = word.replace("-", "_")
    return next((key for key in recipe_keys() if flat in (key, key.partition(".")[2])), None)


def _elsewhere(option: str, context: click.Context) -> str:
    """Commands that have the option, where the one at hand does not."""
    names = [
        name
        for name, command in _all_commands(context.find_root())
        if any(option in parameter.opts for parameter in command.params)
    ]
    if not names:
        return ""
    return f" It is an option of {', '.join(f'volbench {name}' for name in names[:4])}."


def command_hint(name: str, context: click.Context) -> str:
    """A sentence that says which command does what is asked for; may be empty.

    A word of the group at hand comes first, then the same name in another group, then a word of
    other tools, then what is spelt nearly alike.
    """
    word = name.replace("_", "-").casefold()
    group = context.command
    assert isinstance(group, click.Group)
    here = group.list_commands(context)
    if word in here:
        return f" Did you mean '{word}'?"
    for found, words in WITHIN.get(group.name or "", {}).items():
        if word in words:
            return f" Did you mean '{found}'?"
    root = context.find_root()
    same = [path for path, _ in _all_commands(root) if path.split()[-1] == word]
    if same:
        named = " or ".join(f"'{root.command_path} {path}'" for path in same)
        return f" Did you mean {named}?"
    near = nearest(word, here)
    if near and _is_slip(word, near):
        return f" Did you mean '{near}'?"
    for found, words in COMMANDS.items():
        if word in words:
            return f" Did you mean '{root.command_path} {found}'?"
    return f" Did you mean '{near}'?" if near else ""


def _is_slip(word: str, near: str) -> bool:
    """Whether a word is no word of its own but another one mistyped: as long, give or take one."""
    return word[0] == near[0] and abs(len(word) - len(near)) <= 1


def _all_commands(root: click.Context) -> Iterator[tuple[str, click.Command]]:
    """Every command by its path below ``volbench``, groups left out."""
    group = root.command
    assert isinstance(group, click.Group)
    for name in group.list_commands(root):
        command = group.get_command(root, name)
        if isinstance(command, click.Group):
            for inner in command.list_commands(root):
                if (found := command.get_command(root, inner)) is not None:
                    yield f"{name} {inner}", found
        elif command is not None:
            yield name, command


def example(context: click.Context) -> str:
    """The first example on the help page of a command; empty if it has none."""
    start = f"{context.command_path} "
    lines = [line.strip() for line in (context.command.help or "").splitlines()]
    return next((line for line in lines if line.startswith(start)), "")
