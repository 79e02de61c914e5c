"""The tagger as a source of candidates: entities of tweets, with confidences from the marginals of their words.

    boundary          mean of p(B) at the first word, p(I) at each further word and 1 - p(I) at the word after the span
    type_confidence   mean over the span's words of p(type) / p(any entity)

p(B) and p(I) are summed over types, p(type) over B and I. They are marginals of the CRF, by forward and backward sums,
or softmax probabilities without it. The paper's abstract has a confidence and no definition; this one is our choice.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from setaria.agents.makar.candidates import Candidate
from setaria.datasets_builders.mner.bio import TAG
from setaria.datasets_builders.mner.tagger_rows import TaggerRow, entities_of, tagger_rows
from setaria.datasets_builders.mner.tweets import Tweet
from setaria.models.tagger import Tagger
from setaria.models.tagger_inputs import encode_tweet, pad_tweets


class CandidateTagger:
    """A trained tagger that is asked about tweets.

    Args:
        model: in the mode for evaluation, on its device.
        tokenizer: the one that the model was trained with.
        batch: tweets per forward.

    Raises:
        ValueError: for a model whose labels are no BIO tags, and a batch below 1.
    """

    def __init__(self, model: Tagger, tokenizer: PreTrainedTokenizerBase, batch: int = 32):
        if batch < 1:
            raise ValueError(f"batch={batch}: at least 1 tweet is expected")
        if wrong := [label for label in model.labels if not TAG.fullmatch(label)]:
            raise ValueError(f"no tagger: the model's label {wrong[0]!r} is none of O, B-<type>, I-<type>")
        self.model = model
        self.tokenizer = tokenizer
        self.batch = batch
        self._prefixes = np.array([label[:2] for label in model.labels])
        self._types = np.array([label[2:] for label in model.labels])

    @classmethod
    def load(cls, folder: Path | str, batch: int = 32, device: str = "cpu") -> "CandidateTagger":
        """The tagger that `setaria train makar-tagger` saved in `folder`."""
        model = Tagger.from_pretrained(folder).to(device).eval()
        return cls(model, AutoTokenizer.from_pretrained(folder), batch)

    def candidates(
        self, tweets: Sequence[Tweet], knowledge: Mapping[str, str] | None = None
    ) -> list[tuple[Candidate, ...]]:
        """The entities of each tweet, in order; gold is not looked at.

        A tweet that is longer than the tokenizer's `model_max_length` has no candidate in its unread end, which a
        warning names.

        Args:
            knowledge: text of each tweet, by id, as in training.

        Raises:
            ValueError: naming a tweet without knowledge, if there is any knowledge.
        """
        rows = tagger_rows(tweets, knowledge)
        found: list[tuple[Candidate, ...]] = []
        for start in range(0, len(rows), self.batch):
            found += self._candidates_of(rows[start : start + self.batch])
        return found

    @torch.no_grad()
    def _candidates_of(self, rows: list[TaggerRow]) -> list[tuple[Candidate, ...]]:
        encoded = [encode_tweet(self.tokenizer, row["words"], row["knowledge"]) for row in rows]
        for row, tweet in zip(rows, encoded, strict=True):
            if tweet.unread:
                warnings.warn(f"tweet {row['id']}: its last {tweet.unread} tokens are not read", stacklevel=3)
        batch = pad_tweets(encoded, None, self.tokenizer)
        output = self.model(**{name: tensor.to(self.model.device) for name, tensor in batch.items()})
        paths, marginals = output.paths.tolist(), output.marginals.double().cpu().numpy()
        return [
            self._of_path(row["words"], path[: len(tweet.first_pieces)], marginal)
            for row, tweet, path, marginal in zip(rows, encoded, paths, marginals, strict=True)
        ]

    def _of_path(self, words: list[str], path: list[int], marginals: np.ndarray) -> tuple[Candidate, ...]:
        """Candidates of a tweet from the labels of its words and their probabilities, `[words, labels]`."""
        tags = [self.model.labels[number] for number in path]
        marginals = marginals[: len(path)]
        begins, goes_on = (marginals[:, self._prefixes == prefix].sum(1) for prefix in ("B-", "I-"))
        found = []
        for entity in entities_of(words, tags):
            start, end = entity.start, entity.end
            edges = [begins[start], *goes_on[start + 1 : end], *(1 - goes_on[end : end + 1])]
            entity_share = begins[start:end] + goes_on[start:end]
            of_type = marginals[start:end, self._types == tags[start][2:]].sum(1)
            shares = np.divide(of_type, entity_share, out=np.zeros(end - start), where=entity_share > 0)
            found.append(
                Candidate(
                    start,
                    end,
                    entity.text,
                    entity.type,
                    entity.fine,
                    boundary=float(np.clip(np.mean(edges), 0, 1)),
                    type_confidence=float(np.clip(shares.mean(), 0, 1)),
                )
            )
        return tuple(found)
