"""Checklist answers about the model: architecture, training, selection, software."""

from collections.abc import Mapping
from statistics import median

from volbench._utils.text import short_seconds
from volbench.model_card.answers.answer import Answer
from volbench.model_card.markdown import counted, options, plain, safe, span
from volbench.model_card.run_facts import RunFacts
from volbench.runs.environments import by_fold, devices_of, environment_notes, versions_of
from volbench.spec import parse

SECTIONS = {
    "training": "Training",
    "optimizer": "Optimiser",
    "schedule": "Schedule",
    "tta": "Views at test time",
}
"""Sections of a recipe that say how a network is trained, and their headings."""

UNUSED = dict.fromkeys(("factor", "patience", "stop_rate"), ("name", "plateau"))
"""Options of a schedule that do something only where it is this one."""

RESNETS = {"r2d", "r3d", "r2plus1d", "mc2", "mc3", "mc4", "mc5", "rmc2", "rmc3", "rmc4", "rmc5"}
"""Built-in encoders, whose weights are drawn at random unless a file is given."""


def technology(facts: RunFacts) -> Answer:
    """A neural network, by its parts."""
    kind = "Deep learning" if facts.run.uses_images else "Regression"
    return Answer(
        f"{kind}: {components(facts)}, which predicts one of "
        f"{', '.join(map(safe, facts.classes))}; developed and evaluated in one data set by "
        f"{counted(facts.folds, 'held-out fold')}.",
        "that title and abstract say so, with the population and the outcome",
    )


def components(facts: RunFacts) -> str:
    """Encoder, aggregator and loss in a clause; clinical columns, where there are any."""
    columns = ", ".join(map(safe, facts.run.columns))
    if not facts.run.uses_images:
        return f"logistic regression on the clinical columns {columns}, without any image"
    if columns:
        return (
            f"{_network(facts)}; late fusion of its score with a logistic regression on the "
            f"clinical columns {columns}, weighed by a second one that was fitted on the inner "
            "validation part of each fold"
        )
    return _network(facts)


def _network(facts: RunFacts) -> str:
    experiment = facts.run.experiment
    pooled = experiment["aggregator"]
    head = (
        f"slices pooled by {safe(pooled)}"
        if pooled is not None
        else "each representative slice predicted by itself"
    )
    return f"encoder {safe(experiment['encoder'])}, {head}, trained with {safe(experiment['loss'])}"


def design(facts: RunFacts) -> Answer:
    """Development and evaluation."""
    return Answer(
        "The run develops a model and evaluates it on held-out folds of the same data set.",
        "aims and hypotheses",
    )


def description(facts: RunFacts) -> Answer:
    """Components, size, input and output."""
    if not facts.run.uses_images:
        return Answer(
            f"{_sentence(components(facts))}. Numbers are standardised and words become one column "
            "each (levels of fewer than five training cases are one); L2 penalty, every class "
            f"weighing the same. {_missing(facts)}"
        )
    size = facts.recipe["preprocessing"]["size"]
    channels = len(facts.data["channels"])
    two = len(facts.classes) == 2
    outputs = "one logit (sigmoid)" if two else f"{len(facts.classes)} logits (softmax)"
    parameters = facts.row.cost.parameters
    known = (
        f"{_sentence(components(facts))}. Input: {counted(channels, 'channel')}, any number of "
        f"slices of {plain(size)} by {plain(size)} pixels; output: {outputs}"
    )
    if facts.run.columns:
        known = f"{known}. {_missing(facts)}"[:-1]
    if parameters is None:
        return Answer(f"{known}.", "number of parameters: no fold is finished")
    return Answer(f"{known}; {parameters:,} parameters.")


def _missing(facts: RunFacts) -> str:
    """How many values the clinical columns lack, and what stands in for them."""
    counts = facts.run.missing_values.items()
    listed = ", ".join(f"{safe(name)} {count}" for name, count in counts)
    return (
        f"Missing values by column: {listed}; the median of the training part stands in for a "
        "number, beside a mark that it was missing, and a missing word is a level of its own."
    )


def software(facts: RunFacts) -> Answer:
    """Versions and the machine."""
    commit = facts.run.environment.get("commit")
    parts = [safe(by_fold(versions_of(facts.run)))]
    parts += [f"volbench commit {safe(commit)}"] if commit else []
    notes = [hardware(facts), *map(safe, environment_notes(facts.run))]
    return Answer(f"{', '.join(parts)}. {' '.join(filter(None, notes))}")


def hardware(facts: RunFacts) -> str:
    """Machine, precision, time."""
    cost = facts.row.cost
    words = [f"device {safe(by_fold(devices_of(facts.run)))}"]
    if cost.seconds is not None:
        words.append(f"{short_seconds(cost.seconds)} s per fold")
    return f"Run on: {', '.join(words)}."


def initialization(facts: RunFacts) -> Answer:
    """Random or pretrained, as far as the encoder's spec says it."""
    if not facts.run.uses_images:
        return Answer("Logistic regression: the minimum is the same from any start.")
    spec = parse(facts.run.experiment["encoder"])
    seed = f"every random number follows from seed {facts.run.experiment['seed']}"
    given = dict(spec.arguments)
    if (weights := given.get("weights")) is not None:
        return Answer(
            f"Encoder: {_from_file(weights, given)}; the rest at random, anew for each fold; "
            f"{seed}.",
            "which data these weights were trained on",
        )
    if spec.name in RESNETS:
        return Answer(
            "Random, anew for each fold: Kaiming normal (fan-out) for convolutions of the encoder; "
            f"{seed}."
        )
    if spec.name == "timm" and given.get("pretrained", False):
        return Answer(
            f"Encoder: the pretrained weights that timm gives for {safe(given.get('name'))}; "
            f"the rest at random, anew for each fold; {seed}.",
            "which data these weights were trained on",
        )
    if spec.name == "timm":
        return Answer(f"Random, anew for each fold, as timm does it; {seed}.")
    return Answer(f"{_sentence(seed)}.", f"how the encoder {safe(spec.name)} is initialised")


def _from_file(weights: object, given: Mapping[str, object]) -> str:
    """Which weights an encoder starts from, and which of them are trained."""
    name, _, digest = str(weights).rpartition("#")
    said = [f"the weights of the file {safe(name or digest)}"]
    if name:
        said.append(f"whose SHA-256 begins with {safe(digest)}")
    if given.get("inflate") is not None:
        said.append(f"2D kernels inflated to 3D ({safe(given['inflate'])})")
    freeze, adapt = given.get("freeze", False), given.get("adapt")
    if adapt is not None:
        said.append(f"frozen, and adapted by {safe(adapt)}")
    elif freeze is not False:
        said.append("frozen" if freeze is True else f"frozen up to {safe(freeze)}")
    else:
        said.append("all of them trained further")
    return ", ".join(said)


def training(facts: RunFacts) -> Answer:
    """The recipe, key by key."""
    if not facts.run.uses_images:
        return Answer("Fitted to the minimum of the penalised log loss; nothing was chosen.")
    sections = [
        f"{heading}: {options(facts.recipe[section], unused=UNUSED)}."
        for section, heading in SECTIONS.items()
        if facts.recipe.get(section)
    ]
    return Answer(
        f"Loss {safe(facts.run.experiment['loss'])}. {' '.join(sections)} Seed "
        f"{facts.run.experiment['seed']}."
    )


def selection(facts: RunFacts) -> Answer:
    """Which epoch is scored."""
    if not facts.run.uses_images:
        return Answer("One model per fold; nothing was selected.")
    chosen = facts.recipe["selection"]
    share = plain(chosen["validation_fraction"])
    rules = {
        "validation": f"the epoch with the best {safe(chosen['metric'])} on the inner validation "
        f"part ({share} of the training patients)",
        "training_loss": "the epoch with the lowest training loss",
        "last": "the last epoch",
    }
    known = f"In each fold {rules[chosen['checkpoint']]}, never by the held-out cases"
    epochs = [r.selected_epoch for r in facts.run.results.values() if r.selected_epoch is not None]
    if epochs:
        known += f"; epochs chosen {span(epochs)}, median {median(epochs):g}"
    return Answer(
        f"{known}.",
        "how many other settings were tried, on which cases, and whether this one was picked by "
        "the scores shown here",
    )


def ensembling(facts: RunFacts) -> Answer:
    """One network per held-out case."""
    passes = facts.recipe.get("tta", {}).get("passes", 0)
    views = (
        f"mean probability over {passes} random views of each case"
        if passes
        else "no averaging over views"
    )
    return Answer(
        "None in the scores shown: each case is predicted by the one network that did not train on "
        f"it, {views}. The mean of all folds' networks, which volbench predict gives, is not "
        "scored here."
    )


def predictor_handling(facts: RunFacts) -> Answer:
    """Normalisation."""
    chosen = facts.recipe["preprocessing"]
    return Answer(
        "Intensities are normalised per volume and channel "
        f"({safe(chosen['normalize'])}), resized in-plane to {plain(chosen['size'])} pixels; "
        f"augmentation in training: {safe(facts.recipe['training']['augmentation'])}."
    )


def imbalance(facts: RunFacts) -> Answer:
    """The sampler."""
    sampler = str(facts.recipe["training"]["sampler"])
    rules = {
        "balanced": "batches hold equally many cases of every class",
        "weighted": "cases are drawn with the inverse frequency of their class",
        "weighted_slices": "cases are drawn with the inverse frequency of their class among "
        "representative slices",
        "natural": "each case is seen once per epoch, whatever its class",
    }
    said = rules.get(sampler, safe(sampler))
    return Answer(
        f"Sampler {safe(sampler)}: {said}. Loss {safe(facts.run.experiment['loss'])}. "
        "Probabilities are not recalibrated afterwards.",
        "why",
    )


def no_updating(facts: RunFacts) -> Answer:
    """Nothing is recalibrated."""
    return Answer(
        "None: probabilities are scored as the networks give them, without recalibration."
    )


def how_predicted(facts: RunFacts) -> Answer:
    """With which code and weights."""
    if not facts.run.predictions:
        return Answer(left="no fold is finished, so nothing is predicted yet")
    version = facts.run.environment.get("packages", {}).get("volbench")
    if facts.run.columns:
        return Answer(
            f"By volbench {safe(version or '(version not known)')}, fold by fold, as volbench run "
            "--tabular does; what was fitted is in folds/NN/fusion.json. volbench predict takes "
            "images only."
        )
    return Answer(
        f"By volbench {safe(version or '(version not known)')}, from the weights "
        f"folds/NN/model.safetensors of {counted(len(facts.run.predictions), 'finished fold')}; "
        "volbench predict and volbench export use the same ones."
    )


def specification(facts: RunFacts) -> Answer:
    """All that it takes to build the model again."""
    identity = safe(facts.run.experiment.get("id", "not known"))
    return Answer(
        f"experiment.json, id {identity}: components, recipe, folds and seed; the weights of each "
        "fold with their SHA-256 in result.json.",
        "where model and code can be had, and on which terms",
    )


def availability(facts: RunFacts) -> Answer:
    """Version, commit, weights."""
    environment = facts.run.environment
    version = environment.get("packages", {}).get("volbench") or "not known"
    commit = environment.get("commit")
    licence = facts.data.get("licence")
    parts = [f"volbench {safe(version)} (Apache-2.0)"]
    parts += [f"commit {safe(commit)}"] if commit else []
    parts += [f"licence of the data: {safe(licence)}"] if licence else []
    return Answer("; ".join(parts) + ".", "where code, trained model and data can be had")


def technical_details(facts: RunFacts) -> Answer:
    """The experiment's id."""
    return Answer(
        f"The whole experiment is in experiment.json, id "
        f"{safe(facts.run.experiment.get('id', 'not known'))}.",
        "study protocol, or that there was none",
    )


def refusals(facts: RunFacts) -> Answer:
    """What predict refuses."""
    return Answer(
        "volbench predict refuses damaged volumes and those with other channels, another plane or "
        "another spacing than the training cases.",
        "what a user should do with such a volume",
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
