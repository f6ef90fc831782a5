"""Reader of the Yelp Open Dataset."""

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from llmrec.datasets.readers.dump import DumpReader

if TYPE_CHECKING:
    from llmrec.datasets.readers.cleaning import Dump

NAME = "yelp_academic_dataset_{}.json"
ENDS = ("", ".gz")


class Yelp(DumpReader):
    """Reads yelp_academic_dataset_review.json and yelp_academic_dataset_business.json.

    The title of a business is its name and city, as in "Red Kettle, Reno". Times have no zone and are taken as UTC.
    """

    layouts = tuple(
        (NAME.format("review") + one, NAME.format("business") + other) for one, other in product(ENDS, ENDS)
    )

    def expected(self) -> str:
        """Describes the files of the layout, for error messages."""
        return f"{NAME.format('review')} with {NAME.format('business')}, also as .gz"

    def read_dump(self, folder: Path) -> "Dump":
        """Reads reviews as events, and businesses as items."""
        from llmrec.datasets.readers.review_tables import dump_yelp

        (reviews,), (businesses,) = self.layout_files(folder)
        return dump_yelp(reviews, businesses)
