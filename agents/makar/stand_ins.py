"""Stand-ins for the grounding agent, for ablations and floors: gold places, none at all, the whole image.

They have its `ground`, and ask no model.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from setaria.agents.makar.grounding import Grounding, GroundingTask
from setaria.datasets_builders.mner.grounding_prompts import read_image
from setaria.rewards.boxes import Box
from setaria.rewards.grounded_entities import GoldEntity, PredictedEntity


@dataclass(frozen=True)
class GoldPlaces:
    """Knows where names are: the first gold box of an entity with the same words, else None.

    Attributes:
        gold: entities of each tweet, by its id.
    """

    gold: Mapping[str, Sequence[GoldEntity]]

    def ground(self, tasks: Iterable[GroundingTask]) -> list[list[Grounding]]:
        """The answers for the entities of each task, in order."""
        return [_answers(task, self._boxes(task.tweet.id)) for task in tasks]

    def _boxes(self, tweet: str) -> dict[str, Box]:
        return {one.text: one.boxes[0] for one in self.gold[tweet] if one.boxes}


class NeverSeen:
    """Says None of every entity."""

    def ground(self, tasks: Iterable[GroundingTask]) -> list[list[Grounding]]:
        """The answers for the entities of each task, in order."""
        return [_answers(task, {}) for task in tasks]


class WholeImage:
    """Says of every entity that it fills the image; of one whose image cannot be read, nothing readable."""

    def ground(self, tasks: Iterable[GroundingTask]) -> list[list[Grounding]]:
        """The answers for the entities of each task, in order."""
        return [self._of_tweet(task) for task in tasks]

    def _of_tweet(self, task: GroundingTask) -> list[Grounding]:
        try:
            width, height = read_image(task.tweet.image).size
        except ValueError as error:
            unread = (replace(one, box=None, readable=False) for one in task.entities)
            return [Grounding(one, "", str(error)) for one in unread]
        return _answers(task, {one.text: (0, 0, width, height) for one in task.entities})


def _answers(task: GroundingTask, boxes: Mapping[str, Box]) -> list[Grounding]:
    return [Grounding(_placed(one, boxes.get(one.text)), "") for one in task.entities]


def _placed(entity: PredictedEntity, box: Box | None) -> PredictedEntity:
    return replace(entity, box=box, readable=True)
