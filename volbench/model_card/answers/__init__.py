"""Answers of a run to the items of checklists: about its data, its model, its results."""

from volbench.model_card.answers.answer import (
    Answer,
    Answering,
    ChecklistItem,
    Status,
    author,
    joined,
    with_left,
)

__all__ = ["Answer", "Answering", "ChecklistItem", "Status", "author", "joined", "with_left"]
