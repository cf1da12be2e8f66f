"""Model card (Mitchell et al., 2019) and reporting checklists, filled with what a run knows."""

from volbench.model_card.page import card_markdown

__all__ = ["card_markdown"]
