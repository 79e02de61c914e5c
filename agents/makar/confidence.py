"""How sure a language model is of an entity: the agreement of k answers to one question, sampled at a temperature.

    boundary           answers with just this span / k
    type_confidence    answers that give it the commonest type / answers with this span

An answer that could not be read has no span, so it lowers the first and not the second. Types with fine types are the
same only if both are. The entities that count are those in more than half of the answers that could be read; as
entities of one answer do not overlap, neither do these. The paper has a confidence without a definition; this is ours.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from setaria.agents.makar.candidates import Candidate
from setaria.rewards.grounded_entities import PredictedEntity


@dataclass(frozen=True)
class Said:
    """An entity of one answer, at its tokens."""

    start: int
    end: int
    type: str
    fine: str = ""
    reason: str = ""

    @property
    def place(self) -> tuple[int, int]:
        """Its first token and its end."""
        return self.start, self.end

    @property
    def label(self) -> tuple[str, str]:
        """Coarse and fine type."""
        return self.type, self.fine


def agreed(answers: Sequence[Sequence[Said] | None], tokens: Sequence[str]) -> tuple[Candidate, ...]:
    """Every span of any answer as a candidate, in the order of the tweet.

    Of types that are equally common, that of the earlier answer counts; the reason is the first one for this type.

    Args:
        answers: the k answers, `None` for one that could not be read.
        tokens: of the tweet.
    """
    by_place: dict[tuple[int, int], list[Said]] = {}
    for answer in answers:
        for said in {said.place: said for said in answer or ()}.values():
            by_place.setdefault(said.place, []).append(said)
    candidates = []
    for (start, end), votes in sorted(by_place.items()):
        ((entity_type, fine), count), *_ = Counter(said.label for said in votes).most_common(1)
        reasons = (said.reason for said in votes if said.label == (entity_type, fine) and said.reason)
        candidates.append(
            Candidate(
                start,
                end,
                " ".join(tokens[start:end]),
                entity_type,
                fine,
                next(reasons, ""),
                boundary=len(votes) / len(answers),
                type_confidence=count / len(votes),
            )
        )
    return tuple(candidates)


def majority(candidates: Sequence[Candidate], answers: int, read: int) -> tuple[PredictedEntity, ...]:
    """The candidates in more than half of the answers that could be read.

    Args:
        answers: k.
        read: how many of them could be read.
    """
    return tuple(map(entity, (one for one in candidates if 2 * round(one.boundary * answers) > read)))


def entity(candidate: Candidate) -> PredictedEntity:
    """What a candidate proposes; where it is in the image is not known yet."""
    return PredictedEntity(candidate.start, candidate.end, candidate.text, candidate.type, candidate.fine)


def lowest(candidates: Sequence[Candidate]) -> float:
    """The lowest confidence in any boundary or type; infinite without candidates, of which nothing is in doubt."""
    return min((min(one.boundary, one.type_confidence) for one in candidates), default=float("inf"))
