"""CLAIM 2024 Update (Tejani et al., Radiology: Artificial Intelligence 2024, e240300): 44 items.

What each item asks for is said in our words. Numbers and contents were checked against the
checklist on the guideline's own site, rsna.github.io/claim.
"""

from volbench.model_card.answers import Item, author, data, model, partitions, results

TITLE, INTRODUCTION = "Title and abstract", "Introduction"
DESIGN, DATA, STANDARD = "Methods: design", "Methods: data", "Methods: reference standard"
PARTITIONS, MODEL, TRAINING = "Methods: partitions", "Methods: model", "Methods: training"
EVALUATION = "Methods: evaluation"
RESULTS, DISCUSSION, OTHER = "Results", "Discussion", "Other information"

CLAIM = (
    Item("1", TITLE, "Says that this is a study of AI, and of which kind", model.technology),
    Item("2", TITLE, "Abstract: design, methods, results, conclusion", author("the abstract")),
    Item(
        *("3", INTRODUCTION, "Background; intended use and role of the AI"),
        author("the scientific and clinical background, and what the AI is meant for"),
    ),
    Item("4", INTRODUCTION, "Aims and hypotheses", model.design),
    Item(
        *("5", DESIGN, "Data collected before or after the study was planned"),
        author("whether the study is prospective or retrospective"),
    ),
    Item("6", DESIGN, "Goal of the study", author("such as feasibility, development, comparison")),
    Item("7", DATA, "Where the data are from", data.sources),
    Item("8", DATA, "Who was included and excluded", author("criteria, dates, setting")),
    Item("9", DATA, "How data were prepared", data.preprocessing),
    Item("10", DATA, "Which part of the data was used", data.subsets),
    Item("11", DATA, "De-identification", author("how patients were made unrecognisable")),
    Item("12", DATA, "What was done about missing data", data.missing),
    Item("13", DATA, "How images were acquired", data.acquisition),
    Item("14", STANDARD, "How the reference standard was obtained", data.outcome),
    Item("15", STANDARD, "Why this reference standard", author("reasons, and its known errors")),
    Item(
        *("16", STANDARD, "Who made the annotations"),
        author("number, qualification and training of the annotators; their tools"),
    ),
    Item("17", STANDARD, "How test cases were annotated", data.test_labels),
    Item(
        *("18", STANDARD, "Variability within and between annotators"),
        author("agreement of annotators, and how conflicts were settled"),
    ),
    Item("19", PARTITIONS, "How cases were assigned to partitions", partitions.assignment),
    Item("20", PARTITIONS, "At which level partitions share nothing", partitions.disjoint),
    Item("21", PARTITIONS, "Intended size of the test data", data.sample_size),
    Item("22", MODEL, "The model in detail", model.description),
    Item("23", MODEL, "Software with versions", model.software),
    Item("24", MODEL, "How parameters were initialised", model.initialization),
    Item("25", TRAINING, "How it was trained", model.training),
    Item("26", TRAINING, "How the final model was picked", model.selection),
    Item("27", TRAINING, "Ensembles", model.ensembling),
    Item("28", EVALUATION, "Metrics", results.measures),
    Item("29", EVALUATION, "Significance and uncertainty", results.uncertainty),
    Item("30", EVALUATION, "Robustness or sensitivity analysis", results.robustness),
    Item(
        *("31", EVALUATION, "How the model is explained"),
        author("methods of explanation and how they were checked, or that there were none"),
    ),
    Item("32", EVALUATION, "Evaluation on internal data", results.internal),
    Item("33", EVALUATION, "Testing on external data", results.external),
    Item(
        "34", EVALUATION, "Trial registration", author("register and number, or that there is none")
    ),
    Item("35", RESULTS, "Numbers included and excluded", data.included),
    Item("36", RESULTS, "Characteristics of the cases in each partition", data.characteristics),
    Item("37", RESULTS, "Performance with its uncertainty", results.performance),
    Item("38", RESULTS, "Diagnostic performance with its precision", results.accuracy_estimates),
    Item("39", RESULTS, "What went wrong in wrong results", results.failures),
    Item("40", DISCUSSION, "Limitations", results.limitations),
    Item(
        *("41", DISCUSSION, "What follows for practice; intended use or clinical role"),
        author("implications, and for whom"),
    ),
    Item("42", OTHER, "Protocol or further technical details", model.technical_details),
    Item("43", OTHER, "Where software, model and data are", model.availability),
    Item("44", OTHER, "Funding and role of funders", author("sources of funding and their role")),
)
