"""BM25: how well documents answer a query of words (Robertson and Zaragoza, 2009).

    score(d, q) = sum over words w of q: idf(w) tf(w, d) (k1 + 1) / (tf(w, d) + k1 (1 - b + b |d| / mean |d|))
    idf(w) = ln(1 + (N - n(w) + 1/2) / (n(w) + 1/2))

tf counts w in d, n(w) the documents with w, N all documents. With the 1 in idf, as in Lucene, no word counts against a
document. A word counts once however often the query has it.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence


class BM25:
    """Documents, each a sequence of words.

    Args:
        k1: how much a repeated word adds.
        b: how much long documents are held back, from 0 to 1.
    """

    def __init__(self, documents: Sequence[Sequence[str]], k1: float = 1.5, b: float = 0.75):
        mean = sum(map(len, documents)) / max(1, len(documents))
        self._weights: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for index, words in enumerate(documents):
            for word, count in Counter(words).items():
                length = k1 * (1 - b + b * len(words) / mean)
                self._weights[word].append((index, count * (k1 + 1) / (count + length)))
        for weights in self._weights.values():
            idf = math.log(1 + (len(documents) - len(weights) + 0.5) / (len(weights) + 0.5))
            weights[:] = [(index, idf * weight) for index, weight in weights]

    def best(self, query: Iterable[str], count: int) -> list[tuple[int, float]]:
        """(index, score) of the best documents, best first, at most `count` and only those with a word of `query`.

        Documents of equal score keep their order.
        """
        scores: dict[int, float] = defaultdict(float)
        for word in dict.fromkeys(query):
            for index, weight in self._weights.get(word, ()):
                scores[index] += weight
        return sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:count]
