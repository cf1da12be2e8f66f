"""Pseudonyms for the cases and patients of a page, so that it can be published."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace

from volbench.errors import UsageError
from volbench.report.examples import Example
from volbench.report.images import SliceImage
from volbench.report.misclassified import MisclassifiedCase
from volbench.report.section import ReportSection

DIGITS = 12
WITHHELD = "the reason is left out, as it may name a case"


@dataclass(frozen=True)
class Pseudonyms:
    """Keyed hashes of names (HMAC-SHA-256): equal for equal names, unknown without the salt.

    Args:
        salt: Any text; whoever knows it and guesses a name can check the guess.

    Raises:
        UsageError: the salt is empty.

    >>> Pseudonyms("s").of("case", "anna") == Pseudonyms("s").of("case", "anna")
    True
    >>> Pseudonyms("s").of("case", "anna") == Pseudonyms("t").of("case", "anna")
    False
    """

    salt: str

    def __post_init__(self) -> None:
        if not self.salt:
            raise UsageError("--salt must not be empty; give any text that you keep to yourself")

    def of(self, kind: str, name: str) -> str:
        """The pseudonym of a ``case`` or a ``patient``."""
        digest = hmac.new(self.salt.encode(), f"{kind}\0{name}".encode(), hashlib.sha256)
        return f"{kind}-{digest.hexdigest()[:DIGITS]}"

    def in_section(self, section: ReportSection) -> ReportSection:
        """The same section without a name of a case or patient, nor texts that may hold one.

        Only what is shown is changed: numbers are those of the section with names.
        """
        wrong, examples = section.wrong, section.examples
        if examples is not None:
            examples = replace(examples, cases=tuple(map(self._example, examples.cases)))
        return replace(
            section,
            wrong=wrong and replace(wrong, cases=tuple(map(self._wrong, wrong.cases))),
            examples=examples
            and replace(examples, cases=tuple(map(self._example, examples.cases))),
            origins=[
                replace(each, failures=tuple(_fold_only(failure) for failure in each.failures))
                for each in section.origins
            ],
        )

    def _wrong(self, found: MisclassifiedCase) -> MisclassifiedCase:
        case, patient = self.of("case", found.case), self.of("patient", found.patient)
        images = self._images(found.images, found.case)
        return replace(found, case=case, patient=patient, images=images)

    def _example(self, found: Example) -> Example:
        views = tuple(
            (self._image(plain, found.case), drawn and self._image(drawn, found.case))
            for plain, drawn in found.views
        )
        case, patient = self.of("case", found.case), self.of("patient", found.patient)
        return replace(found, case=case, patient=patient, views=views)

    def _images(self, images: Sequence[SliceImage], case: str) -> tuple[SliceImage, ...]:
        return tuple(self._image(image, case) for image in images)

    def _image(self, image: SliceImage, case: str) -> SliceImage:
        """Its text begins with the name of the case."""
        return replace(image, text=self.of("case", case) + image.text.removeprefix(case))


def _fold_only(failure: str) -> str:
    """Which fold failed; why is told by whoever has the run."""
    return f"{failure.partition(':')[0]}: {WITHHELD}"
