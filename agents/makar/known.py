"""Knowledge without asking a model: that of a folder written before, and none, as an ablation has it.

    <folder>/<split>.jsonl            {"tweet", "text"}, and "candidates" and "entities" where an agent wrote them
    <folder>/<split>_entities.jsonl   {"tweet", "entity", "text"}, what is known of single names; may be missing

A text alone, such as the released ones, is read as the answer of a model whose confidence is 1.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from setaria.agents.makar.candidates import Candidate
from setaria.agents.makar.confidence import agreed, entity
from setaria.agents.makar.json_lines import read_lines, texts_of
from setaria.agents.makar.json_records import from_json
from setaria.agents.makar.knowledge import Knowledge, read_answer
from setaria.agents.makar.knowledge_prompts import Unlabelled
from setaria.datasets_builders.mner.layouts import Layout
from setaria.rewards.grounded_entities import PredictedEntity


@dataclass(frozen=True)
class Proposed:
    """What an agent wrote of a tweet beside its text."""

    candidates: tuple[Candidate, ...]
    entities: tuple[PredictedEntity, ...] = ()


class NoKnowledge:
    """Nothing is known about any tweet."""

    def knowledge(self, tweets: Iterable[Unlabelled]) -> Iterator[Knowledge]:
        """Empty knowledge of each tweet, in order."""
        return (Knowledge(tweet.id, (), (), "") for tweet in tweets)


class WrittenKnowledge:
    """The knowledge in a folder.

    Args:
        folder: see above.
        split: train, dev or test.
        layout: of the types in the texts.

    Raises:
        OSError: if there is no file of the split.
        ValueError: naming file and line of what cannot be read.
    """

    def __init__(self, folder: Path, split: str, layout: Layout):
        self._file = folder / f"{split}.jsonl"
        self._layout = layout
        self._lines = {
            texts_of(entry, ("tweet", "text"), where)["tweet"]: (where, entry)
            for where, entry in read_lines(self._file)
        }
        self._names: dict[tuple[str, str], str] = {}
        names = folder / f"{split}_entities.jsonl"
        for where, entry in read_lines(names) if names.is_file() else ():
            texts = texts_of(entry, ("tweet", "entity", "text"), where)
            self._names[texts["tweet"], texts["entity"]] = texts["text"]

    def knowledge(self, tweets: Iterable[Unlabelled]) -> Iterator[Knowledge]:
        """The knowledge of each tweet, in order.

        Raises:
            ValueError: for a tweet that is not in the file, or has other tokens there.
        """
        for tweet in tweets:
            if tweet.id not in self._lines:
                raise ValueError(f"{self._file}: there is no knowledge of tweet {tweet.id}")
            where, entry = self._lines[tweet.id]
            if "candidates" in entry:
                yield self._of_agent(tweet, where, entry)
            else:
                yield self._of_text(tweet, entry["text"])

    def _of_agent(self, tweet: Unlabelled, where: str, entry: dict[str, Any]) -> Knowledge:
        wrote = {name: entry[name] for name in ("candidates", "entities") if name in entry}
        proposed = from_json(Proposed, wrote, where)
        candidates, entities = proposed.candidates, proposed.entities
        places = [(one.start, one.end, one.text) for one in candidates]
        places += [(one.start, one.end, one.text) for one in entities]
        for start, end, text in places:
            if " ".join(tweet.tokens[start:end]) != text:
                raise ValueError(f"{where}: {text!r} is not at tokens {start} to {end} of tweet {tweet.id}")
        old = {(one.start, one.end, one.type, one.fine) for one in candidates}
        decided = tuple(  # by a correction that had not been proposed before
            Candidate(one.start, one.end, one.text, one.type, one.fine)
            for one in entities
            if (one.start, one.end, one.type, one.fine) not in old
        )
        return Knowledge(tweet.id, self._explained(tweet, candidates + decided), entities, entry["text"])

    def _of_text(self, tweet: Unlabelled, text: str) -> Knowledge:
        answer = read_answer(text, tweet.tokens, self._layout)
        candidates = self._explained(tweet, agreed([answer.said], tweet.tokens))
        unread = int(answer.said is None)
        return Knowledge(tweet.id, candidates, tuple(map(entity, candidates)), text, answer.problems, unread)

    def _explained(self, tweet: Unlabelled, candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
        """The candidates with what the second file says of their names."""
        return tuple(replace(one, reason=self._names.get((tweet.id, one.text), one.reason)) for one in candidates)
