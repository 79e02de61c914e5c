"""What the tagger reads: the words of a tweet, `<EOS>`, the words of its knowledge, cut at the tokenizer's length.

    [CLS] w_1 ... w_n <EOS> k_1 ... k_m [SEP]

A word is labelled at its first piece. Knowledge goes first when there is too much; which words of the tweet are left
is said with every encoding. `<EOS>` is text, as in the released files, unless the tokenizer has such a token.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from setaria.models.crf import IGNORED


EOS = "<EOS>"
NO_WORD = -1


@dataclass(frozen=True)
class EncodedTweet:
    """A tweet and its knowledge in pieces.

    Attributes:
        input_ids: with the tokenizer's special tokens.
        first_pieces: place in `input_ids` of the first piece of each word of the tweet that was read, in order.
        unread: words of the tweet that did not fit.
        unread_knowledge: words of the knowledge that did not fit.
    """

    input_ids: list[int]
    first_pieces: list[int]
    unread: int
    unread_knowledge: int


def encode_tweet(
    tokenizer: PreTrainedTokenizerBase, words: Sequence[str], knowledge: Sequence[str] = ()
) -> EncodedTweet:
    """The pieces of a tweet; every word has at least one, if need be the unknown one, so that none is lost.

    Args:
        tokenizer: a fast one; its `model_max_length` is the longest encoding.
        words: of the tweet; there may be none.
        knowledge: words that follow it; without any there is no `<EOS>` either.
    """
    parts = [*words, EOS, *knowledge] if knowledge else list(words)
    whole = tokenizer(parts, is_split_into_words=True, truncation=False, verbose=False)
    if len(set(whole.word_ids()) - {None}) < len(parts):
        present = set(whole.word_ids())
        parts = [part if place in present else tokenizer.unk_token for place, part in enumerate(parts)]
    encoding = tokenizer(parts, is_split_into_words=True, truncation=True)
    first: dict[int, int] = {}
    for place, word in enumerate(encoding.word_ids()):
        if word is not None:
            first.setdefault(word, place)
    read = sum(word < len(words) for word in first)
    return EncodedTweet(
        input_ids=encoding["input_ids"],
        first_pieces=[first[word] for word in range(read)],
        unread=len(words) - read,
        unread_knowledge=len(knowledge) - sum(word > len(words) for word in first),
    )


def pad_tweets(
    encoded: Sequence[EncodedTweet], labels: Sequence[Sequence[int]] | None, tokenizer: PreTrainedTokenizerBase
) -> dict[str, Tensor]:
    """A batch for `Tagger`, padded on the right: `input_ids`, `attention_mask`, `first_pieces`, and `labels` if given.

    Args:
        labels: of the words that were read.
    """
    ids = _padded([tweet.input_ids for tweet in encoded], tokenizer.pad_token_id)
    first = _padded([tweet.first_pieces for tweet in encoded], NO_WORD)
    lengths = torch.tensor([len(tweet.input_ids) for tweet in encoded])
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    batch = {"input_ids": ids, "attention_mask": mask, "first_pieces": first}
    return batch if labels is None else {**batch, "labels": _padded(labels, IGNORED)}


def _padded(rows: Sequence[Sequence[int]], padding: int) -> Tensor:
    """`[rows, longest]`, at least one wide."""
    longest = max(1, *map(len, rows))
    return torch.tensor([[*row, *[padding] * (longest - len(row))] for row in rows])
