"""TRIPOD+AI (Collins et al., BMJ 2024, e078378): 27 items, 52 with their parts.

What each item asks for is said in our words. Numbers and contents were checked against two copies
of the published checklist that agree in every item.
"""

from volbench.model_card.answers import (
    ChecklistItem,
    author,
    data,
    joined,
    model,
    partitions,
    results,
    with_left,
)

TITLE, INTRODUCTION, METHODS = "Title and abstract", "Introduction", "Methods"
OPEN, PUBLIC, RESULTS, DISCUSSION = "Open science", "Patients and public", "Results", "Discussion"

TRIPOD_AI = (
    ChecklistItem(
        "1", TITLE, "Title: develops or evaluates a model; population; outcome", model.technology
    ),
    ChecklistItem("2", TITLE, "Abstract", author("the abstract, by the checklist for abstracts")),
    ChecklistItem(
        "3a",
        INTRODUCTION,
        "Healthcare context, reasons, existing models",
        author("diagnosis or prognosis, why a model, which ones there are"),
    ),
    ChecklistItem(
        "3b",
        INTRODUCTION,
        "Target population, purpose in the care pathway, users",
        author("for whom, when in their care, used by whom"),
    ),
    ChecklistItem(
        "3c",
        INTRODUCTION,
        "Known health inequalities between groups",
        author("what is known of them for this question"),
    ),
    ChecklistItem("4", INTRODUCTION, "Objectives; development, evaluation or both", model.design),
    ChecklistItem("5a", METHODS, "Sources of the data, reasons, representativeness", data.sources),
    ChecklistItem(
        "5b", METHODS, "Dates of the data", author("start and end of inclusion, and of follow-up")
    ),
    ChecklistItem("6a", METHODS, "Setting and centres", data.settings),
    ChecklistItem("6b", METHODS, "Eligibility", author("who could be included")),
    ChecklistItem(
        "6c", METHODS, "Treatments received", author("treatments and how they were handled")
    ),
    ChecklistItem(
        "7",
        METHODS,
        "Preparation and quality checks, alike for all groups",
        with_left(data.preprocessing, "quality checks, and whether they were alike for all groups"),
    ),
    ChecklistItem(
        "8a", METHODS, "The outcome: definition, when and how assessed, why", data.outcome
    ),
    ChecklistItem(
        "8b", METHODS, "Who assessed the outcome", author("qualification and characteristics")
    ),
    ChecklistItem("8c", METHODS, "Blinding of that assessment", author("what assessors knew")),
    ChecklistItem("9a", METHODS, "Choice of predictors", data.predictors),
    ChecklistItem("9b", METHODS, "Definition and measurement of predictors", data.acquisition),
    ChecklistItem(
        "9c",
        METHODS,
        "Who assessed predictors that need judgement",
        author("who drew regions of interest or chose slices, if anyone did"),
    ),
    ChecklistItem("10", METHODS, "Study size", data.sample_size),
    ChecklistItem("11", METHODS, "Missing data", data.missing),
    ChecklistItem("12a", METHODS, "How data were used and divided", partitions.assignment),
    ChecklistItem("12b", METHODS, "How predictors were handled", model.predictor_handling),
    ChecklistItem(
        "12c",
        METHODS,
        "Type of model, all steps of building it, internal validation",
        joined(model.description, model.training, model.selection, partitions.disjoint),
    ),
    ChecklistItem(
        "12d", METHODS, "Differences between clusters such as hospitals", results.clusters
    ),
    ChecklistItem("12e", METHODS, "Measures of performance", results.measures),
    ChecklistItem("12f", METHODS, "Updating of the model", model.no_updating),
    ChecklistItem("12g", METHODS, "How predictions were computed", model.how_predicted),
    ChecklistItem("13", METHODS, "Class imbalance", model.imbalance),
    ChecklistItem(
        "14", METHODS, "Fairness", author("what was done for fairness and why, or that nothing was")
    ),
    ChecklistItem("15", METHODS, "Output of the model, thresholds", results.output),
    ChecklistItem(
        "16", METHODS, "Differences between development and evaluation data", results.same_data
    ),
    ChecklistItem(
        "17", METHODS, "Ethical approval and consent", author("committee, consent or waiver")
    ),
    ChecklistItem("18a", OPEN, "Funding", author("sources of funding and their role")),
    ChecklistItem("18b", OPEN, "Conflicts of interest", author("of every author")),
    ChecklistItem("18c", OPEN, "Protocol", author("where it is, or that there was none")),
    ChecklistItem(
        "18d", OPEN, "Registration", author("register and number, or that there is none")
    ),
    ChecklistItem("18e", OPEN, "Availability of the data", data.sharing),
    ChecklistItem("18f", OPEN, "Availability of the code", model.availability),
    ChecklistItem(
        "19", PUBLIC, "Involvement of patients and public", author("what it was, or none")
    ),
    ChecklistItem(
        "20a", RESULTS, "Flow of participants, with and without the outcome", data.included
    ),
    ChecklistItem("20b", RESULTS, "Characteristics of the participants", data.characteristics),
    ChecklistItem(
        "20c",
        RESULTS,
        "Development and evaluation data compared",
        with_left(
            partitions.per_analysis, "distributions of the important characteristics in both"
        ),
    ),
    ChecklistItem(
        "21", RESULTS, "Participants and events in each analysis", partitions.per_analysis
    ),
    ChecklistItem("22", RESULTS, "The full model, so that others can use it", model.specification),
    ChecklistItem(
        "23a",
        RESULTS,
        "Performance with intervals, in subgroups too",
        joined(results.performance, results.groups),
    ),
    ChecklistItem("23b", RESULTS, "Differences of performance between clusters", results.clusters),
    ChecklistItem("24", RESULTS, "Results of updating", model.no_updating),
    ChecklistItem(
        "25",
        DISCUSSION,
        "Interpretation, fairness, other studies",
        author("what the results mean"),
    ),
    ChecklistItem("26", DISCUSSION, "Limitations", results.limitations),
    ChecklistItem(
        "27a", DISCUSSION, "Poor or missing input when the model is used", model.refusals
    ),
    ChecklistItem(
        "27b",
        DISCUSSION,
        "What users have to do and to know",
        author("what interaction and expertise the use takes"),
    ),
    ChecklistItem("27c", DISCUSSION, "Next steps", author("further research, for which patients")),
)
