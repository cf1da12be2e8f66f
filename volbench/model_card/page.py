"""Model card page: notice, card in the order of Mitchell et al. (2019), two checklists."""

from collections.abc import Callable

from volbench._utils.machine_paths import short_paths
from volbench.evaluation.statistics.bootstrap import RESAMPLES
from volbench.model_card import score_tables as scores
from volbench.model_card.answers import Answer, data, model, partitions, results
from volbench.model_card.checklist import BOX, answers, checklist_table, said, tally
from volbench.model_card.claim import CLAIM
from volbench.model_card.markdown import counted, safe
from volbench.model_card.run_facts import RunFacts, gather_facts
from volbench.model_card.tripod import TRIPOD_AI
from volbench.predict.results import NOTICE
from volbench.runs.load import LoadedRun

CLAIM_NAME = "CLAIM 2024 Update"
TRIPOD_NAME = "TRIPOD+AI"


def card_markdown(
    run: LoadedRun, *, threshold: str | float = 0.5, resamples: int = RESAMPLES
) -> str:
    """Write the model card and the checklists of a run as Markdown.

    Nothing is said that the run's folder does not say; the rest is marked for the author.

    Args:
        run: From :func:`volbench.leaderboard.load_run`.
        threshold: Where two classes part: a number, or a rule such as ``youden`` that sets it on
            the validation part of each fold.
        resamples: Draws of patients for the intervals.

    Raises:
        StateError: a file of the run is missing or damaged.
        UsageError: the threshold cannot be set so.

    >>> import volbench
    >>> (run,) = volbench.load_runs("trained/mine").loaded
    >>> card_markdown(run).splitlines()[0]
    '# Model card: mine'
    """
    facts = gather_facts(run, threshold=threshold, resamples=resamples)
    claim, tripod = answers(CLAIM, facts), answers(TRIPOD_AI, facts)
    parts = [
        f"# Model card: {safe(run.name)}",
        *_warnings(facts),
        f"{NOTICE} Written by volbench from the files of the run; what they do not say is marked "
        f"“{BOX[:-1]}”.",
        f"- {tally(CLAIM_NAME, claim)}\n- {tally(TRIPOD_NAME, tripod)}",
        *(f"## {title}\n\n{section(facts)}" for title, section in SECTIONS.items()),
        f"## Checklist: {CLAIM_NAME}",
        "Tejani et al., Radiology: Artificial Intelligence 2024;6(4):e240300. Items in our words.",
        checklist_table(claim),
        f"## Checklist: {TRIPOD_NAME}",
        "Collins et al., BMJ 2024;385:e078378. Items in our words.",
        checklist_table(tripod),
    ]
    return short_paths("\n\n".join(parts) + "\n")


def _warnings(facts: RunFacts) -> list[str]:
    """What a reader must see first."""
    run, lines = facts.run, []
    if run.failed:
        lines.append(
            f"**{counted(len(run.failed), 'fold')} of {facts.folds} failed. Scores below are those "
            "of the finished folds and stand for no complete evaluation.**"
        )
        lines += [f"- fold {one.fold}: {safe(one.error)}" for one in run.failed]
    if missing := facts.folds - len(run.predictions) - len(run.failed):
        lines.append(f"**{counted(missing, 'fold')} of {facts.folds} not finished.**")
    return ["\n".join(f"> {line}\n>" for line in lines).removesuffix("\n>")] if lines else []


def _list(*entries: tuple[str, Answer]) -> str:
    return "\n".join(f"- **{name}**: {said(answer)}" for name, answer in entries)


def _details(facts: RunFacts) -> str:
    return _list(
        ("Model", model.description(facts)),
        ("Initialisation", model.initialization(facts)),
        ("Training", model.training(facts)),
        ("Choice of the epoch", model.selection(facts)),
        ("Software and machine", model.software(facts)),
        ("Experiment", model.specification(facts)),
        ("Licence, contact, authors", Answer(left="who answers for the model, and its licence")),
    )


def _use(facts: RunFacts) -> str:
    return _list(
        ("Output", results.output(facts)),
        ("Intended use and users", Answer(left="what it is for, and for whom")),
        ("Uses out of scope", Answer(left="what it must not be used for")),
        ("Input that is refused", model.refusals(facts)),
    )


def _factors(facts: RunFacts) -> str:
    return _list(
        ("Groups", _groups(facts)),
        ("Images", data.acquisition(facts)),
    )


def _groups(facts: RunFacts) -> Answer:
    named = "; ".join(f"{safe(name)}: {shown}" for name, shown in data.strata_values(facts).items())
    return Answer(f"{named}." if named else "", "which groups matter, and which are not recorded")


def _metrics(facts: RunFacts) -> str:
    return _list(
        ("Measures", results.measures(facts)),
        ("Decisions", Answer(f"{results.decision(facts).capitalize()}.")),
        ("Uncertainty", results.uncertainty(facts)),
    )


def _evaluation(facts: RunFacts) -> str:
    return _list(
        ("Data", data.sources(facts)),
        ("Held out", partitions.assignment(facts)),
        ("Disjoint in", partitions.disjoint(facts)),
        ("Preparation", data.preprocessing(facts)),
        ("Labels", data.outcome(facts)),
    )


def _training(facts: RunFacts) -> str:
    return _list(
        ("Data", Answer("The same data set: in each fold, the cases that are not held out.")),
        ("Numbers", partitions.per_analysis(facts)),
        ("Class imbalance", model.imbalance(facts)),
    )


def _ethics(facts: RunFacts) -> str:
    return _list(
        (
            "Approval, consent, privacy",
            Answer(left="committee, consent or waiver, de-identification"),
        ),
        ("Harm", Answer(left="who is harmed by a wrong prediction, and how")),
        ("Fairness", Answer(left="which groups could be treated worse")),
    )


def _caveats(facts: RunFacts) -> str:
    known = "\n".join(f"- {line}" for line in results.caveats(facts))
    return f"{known}\n- {BOX} further limits, and advice to who uses the model"


SECTIONS: dict[str, Callable[[RunFacts], str]] = {
    "Model details": _details,
    "Intended use": _use,
    "Factors": _factors,
    "Metrics": _metrics,
    "Evaluation data": _evaluation,
    "Training data": _training,
    "Quantitative analyses": scores.quantitative,
    "Ethical considerations": _ethics,
    "Caveats and recommendations": _caveats,
}
