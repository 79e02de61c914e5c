"""The two published layouts of grounded NER on tweets, and their types.

    Twitter-GMNER    txt/<split>.txt         token<TAB>tag               4 types
    Twitter-FMNERG   txt_fine/<split>.txt    token<TAB>coarse<TAB>fine   8 coarse types, 51 fine ones

Both have their boxes in xml/<id>.xml, FMNERG those of GMNER v2.0. Sources: Yu et al., ACL 2023 (GMNER); Wang et al.,
ACM MM 2023 (FMNERG).
"""

from collections.abc import Mapping
from dataclasses import dataclass


SPLITS = ("train", "dev", "test")
XML = "xml"
IMAGES = "images"


@dataclass(frozen=True)
class Layout:
    """One of the two.

    Attributes:
        name: of the data.
        text: folder of the text files.
        types: the fine types of each coarse type; none where the data have no fine types.
    """

    name: str
    text: str
    types: Mapping[str, tuple[str, ...]]

    @property
    def columns(self) -> tuple[str, ...]:
        """What the tag columns hold."""
        return ("coarse", "fine") if self.fine_types else ("coarse",)

    @property
    def fine_types(self) -> tuple[str, ...]:
        """All fine types."""
        return tuple(fine for types in self.types.values() for fine in types)


GMNER = Layout("Twitter-GMNER", "txt", {"PER": (), "LOC": (), "ORG": (), "OTHER": ()})

FMNERG = Layout(
    "Twitter-FMNERG",
    "txt_fine",
    {
        "location": ("city", "country", "state", "continent", "location_other", "park", "road"),
        "building": ("building_other", "cultural_place", "entertainment_place", "sports_facility"),
        "organization": (
            *("company", "educational_institution", "band", "government_agency", "news_agency"),
            *("organization_other", "political_party", "social_organization", "sports_league", "sports_team"),
        ),
        "person": (
            *("politician", "musician", "actor", "artist", "athlete", "author", "businessman", "character", "coach"),
            *("director", "intellectual", "journalist", "person_other"),
        ),
        "other": ("animal", "award", "medical_thing", "website", "ordinance"),
        "art": ("art_other", "film_and_television_works", "magazine", "music", "written_work"),
        "event": ("event_other", "festival", "sports_event"),
        "product": ("brand_name_products", "game", "product_other", "software"),
    },
)
