"""CLAIM 2024 Update (Tejani et al., Radiology: Artificial Intelligence 2024, e240300): 44 items.

What each item asks for is said in our words. Numbers and contents were checked against the
checklist on the guideline's own site, rsna.github.io/claim.
"""

from volbench.model_card.answers import ChecklistItem, author, data, model, partitions, results

TITLE, INTRODUCTION = "Title and abstract", "Introduction"
DESIGN, DATA, STANDARD = "Methods: design", "Methods: data", "Methods: reference standard"
PARTITIONS, MODEL, TRAINING = "Methods: partitions", "Methods: model", "Methods: training"
EVALUATION = "Methods: evaluation"
RESULTS, DISCUSSION, OTHER = "Results", "Discussion", "Other information"

CLAIM = (
    ChecklistItem(
        "1", TITLE, "Says that this is a study of AI, and of which kind", model.technology
    ),
    ChecklistItem(
        "2", TITLE, "Abstract: design, methods, results, conclusion", author("the abstract")
    ),
    ChecklistItem(
        "3",
        INTRODUCTION,
        "Background; intended use and role of the AI",
        author("the scientific and clinical background, and what the AI is meant for"),
    ),
    ChecklistItem("4", INTRODUCTION, "Aims and hypotheses", model.design),
    ChecklistItem(
        "5",
        DESIGN,
        "Data collected before or after the study was planned",
        author("whether the study is prospective or retrospective"),
    ),
    ChecklistItem(
        "6", DESIGN, "Goal of the study", author("such as feasibility, development, comparison")
    ),
    ChecklistItem("7", DATA, "Where the data are from", data.sources),
    ChecklistItem("8", DATA, "Who was included and excluded", author("criteria, dates, setting")),
    ChecklistItem("9", DATA, "How data were prepared", data.preprocessing),
    ChecklistItem("10", DATA, "Which part of the data was used", data.subsets),
    ChecklistItem("11", DATA, "De-identification", author("how patients were made unrecognisable")),
    ChecklistItem("12", DATA, "What was done about missing data", data.missing),
    ChecklistItem("13", DATA, "How images were acquired", data.acquisition),
    ChecklistItem("14", STANDARD, "How the reference standard was obtained", data.outcome),
    ChecklistItem(
        "15", STANDARD, "Why this reference standard", author("reasons, and its known errors")
    ),
    ChecklistItem(
        "16",
        STANDARD,
        "Who made the annotations",
        author("number, qualification and training of the annotators; their tools"),
    ),
    ChecklistItem("17", STANDARD, "How test cases were annotated", data.test_labels),
    ChecklistItem(
        "18",
        STANDARD,
        "Variability within and between annotators",
        author("agreement of annotators, and how conflicts were settled"),
    ),
    ChecklistItem("19", PARTITIONS, "How cases were assigned to partitions", partitions.assignment),
    ChecklistItem("20", PARTITIONS, "At which level partitions share nothing", partitions.disjoint),
    ChecklistItem("21", PARTITIONS, "Intended size of the test data", data.sample_size),
    ChecklistItem("22", MODEL, "The model in detail", model.description),
    ChecklistItem("23", MODEL, "Software with versions", model.software),
    ChecklistItem("24", MODEL, "How parameters were initialised", model.initialization),
    ChecklistItem("25", TRAINING, "How it was trained", model.training),
    ChecklistItem("26", TRAINING, "How the final model was picked", model.selection),
    ChecklistItem("27", TRAINING, "Ensembles", model.ensembling),
    ChecklistItem("28", EVALUATION, "Metrics", results.measures),
    ChecklistItem("29", EVALUATION, "Significance and uncertainty", results.uncertainty),
    ChecklistItem("30", EVALUATION, "Robustness or sensitivity analysis", results.robustness),
    ChecklistItem(
        "31",
        EVALUATION,
        "How the model is explained",
        author("methods of explanation and how they were checked, or that there were none"),
    ),
    ChecklistItem("32", EVALUATION, "Evaluation on internal data", results.internal),
    ChecklistItem("33", EVALUATION, "Testing on external data", results.external),
    ChecklistItem(
        "34", EVALUATION, "Trial registration", author("register and number, or that there is none")
    ),
    ChecklistItem("35", RESULTS, "Numbers included and excluded", data.included),
    ChecklistItem(
        "36", RESULTS, "Characteristics of the cases in each partition", data.characteristics
    ),
    ChecklistItem("37", RESULTS, "Performance with its uncertainty", results.performance),
    ChecklistItem(
        "38", RESULTS, "Diagnostic performance with its precision", results.accuracy_estimates
    ),
    ChecklistItem("39", RESULTS, "What went wrong in wrong results", results.failures),
    ChecklistItem("40", DISCUSSION, "Limitations", results.limitations),
    ChecklistItem(
        "41",
        DISCUSSION,
        "What follows for practice; intended use or clinical role",
        author("implications, and for whom"),
    ),
    ChecklistItem("42", OTHER, "Protocol or further technical details", model.technical_details),
    ChecklistItem("43", OTHER, "Where software, model and data are", model.availability),
    ChecklistItem(
        "44", OTHER, "Funding and role of funders", author("sources of funding and their role")
    ),
)
