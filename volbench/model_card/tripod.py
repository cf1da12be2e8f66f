"""TRIPOD+AI (Collins et al., BMJ 2024, e078378): 27 items, 52 with their parts.

What each item asks for is said in our words. Numbers and contents were checked against two copies
of the published checklist that agree in every item.
"""

from volbench.model_card.answers import (
    Item,
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
    Item("1", TITLE, "Title: develops or evaluates a model; population; outcome", model.technology),
    Item("2", TITLE, "Abstract", author("the abstract, by the checklist for abstracts")),
    Item(
        *("3a", INTRODUCTION, "Healthcare context, reasons, existing models"),
        author("diagnosis or prognosis, why a model, which ones there are"),
    ),
    Item(
        *("3b", INTRODUCTION, "Target population, purpose in the care pathway, users"),
        author("for whom, when in their care, used by whom"),
    ),
    Item(
        *("3c", INTRODUCTION, "Known health inequalities between groups"),
        author("what is known of them for this question"),
    ),
    Item("4", INTRODUCTION, "Objectives; development, evaluation or both", model.design),
    Item("5a", METHODS, "Sources of the data, reasons, representativeness", data.sources),
    Item(
        "5b", METHODS, "Dates of the data", author("start and end of inclusion, and of follow-up")
    ),
    Item("6a", METHODS, "Setting and centres", data.settings),
    Item("6b", METHODS, "Eligibility", author("who could be included")),
    Item("6c", METHODS, "Treatments received", author("treatments and how they were handled")),
    Item(
        *("7", METHODS, "Preparation and quality checks, alike for all groups"),
        with_left(data.preprocessing, "quality checks, and whether they were alike for all groups"),
    ),
    Item("8a", METHODS, "The outcome: definition, when and how assessed, why", data.outcome),
    Item("8b", METHODS, "Who assessed the outcome", author("qualification and characteristics")),
    Item("8c", METHODS, "Blinding of that assessment", author("what assessors knew")),
    Item("9a", METHODS, "Choice of predictors", data.predictors),
    Item("9b", METHODS, "Definition and measurement of predictors", data.acquisition),
    Item(
        *("9c", METHODS, "Who assessed predictors that need judgement"),
        author("who drew regions of interest or chose slices, if anyone did"),
    ),
    Item("10", METHODS, "Study size", data.sample_size),
    Item("11", METHODS, "Missing data", data.missing),
    Item("12a", METHODS, "How data were used and divided", partitions.assignment),
    Item("12b", METHODS, "How predictors were handled", model.predictor_handling),
    Item(
        *("12c", METHODS, "Type of model, all steps of building it, internal validation"),
        joined(model.description, model.training, model.selection, partitions.disjoint),
    ),
    Item("12d", METHODS, "Differences between clusters such as hospitals", results.clusters),
    Item("12e", METHODS, "Measures of performance", results.measures),
    Item("12f", METHODS, "Updating of the model", model.no_updating),
    Item("12g", METHODS, "How predictions were computed", model.how_predicted),
    Item("13", METHODS, "Class imbalance", model.imbalance),
    Item(
        "14", METHODS, "Fairness", author("what was done for fairness and why, or that nothing was")
    ),
    Item("15", METHODS, "Output of the model, thresholds", results.output),
    Item("16", METHODS, "Differences between development and evaluation data", results.same_data),
    Item("17", METHODS, "Ethical approval and consent", author("committee, consent or waiver")),
    Item("18a", OPEN, "Funding", author("sources of funding and their role")),
    Item("18b", OPEN, "Conflicts of interest", author("of every author")),
    Item("18c", OPEN, "Protocol", author("where it is, or that there was none")),
    Item("18d", OPEN, "Registration", author("register and number, or that there is none")),
    Item("18e", OPEN, "Availability of the data", data.sharing),
    Item("18f", OPEN, "Availability of the code", model.availability),
    Item("19", PUBLIC, "Involvement of patients and public", author("what it was, or none")),
    Item("20a", RESULTS, "Flow of participants, with and without the outcome", data.included),
    Item("20b", RESULTS, "Characteristics of the participants", data.characteristics),
    Item(
        *("20c", RESULTS, "Development and evaluation data compared"),
        with_left(
            partitions.per_analysis, "distributions of the important characteristics in both"
        ),
    ),
    Item("21", RESULTS, "Participants and events in each analysis", partitions.per_analysis),
    Item("22", RESULTS, "The full model, so that others can use it", model.specification),
    Item(
        *("23a", RESULTS, "Performance with intervals, in subgroups too"),
        joined(results.performance, results.groups),
    ),
    Item("23b", RESULTS, "Differences of performance between clusters", results.clusters),
    Item("24", RESULTS, "Results of updating", model.no_updating),
    Item(
        *("25", DISCUSSION, "Interpretation, fairness, other studies"),
        author("what the results mean"),
    ),
    Item("26", DISCUSSION, "Limitations", results.limitations),
    Item("27a", DISCUSSION, "Poor or missing input when the model is used", model.refusals),
    Item(
        *("27b", DISCUSSION, "What users have to do and to know"),
        author("what interaction and expertise the use takes"),
    ),
    Item("27c", DISCUSSION, "Next steps", author("further research, for which patients")),
)
