"""Answers to the checklist items: data, model, results."""

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
