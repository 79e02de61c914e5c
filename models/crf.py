r"""A linear-chain conditional random field over the labels of words.

    p(y | x) = exp(s(x, y)) / sum_y' exp(s(x, y'))
    s(x, y)  = start[y_1] + sum_t emission[t, y_t] + sum_t transition[y_(t-1), y_t] + end[y_T]

Sums over all label sequences are taken forward and backward over the chain, in the log domain; the best sequence is
Viterbi's. Source: Lafferty, McCallum and Pereira, ICML 2001.
"""

import torch
from torch import Tensor, nn


IGNORED = -100  # as torch's cross-entropy has it: a label that stands for none


class LinearChainCRF(nn.Module):
    """Transitions between labels; emissions come from whatever reads the words.

    A batch is `emissions [batch, words, labels]` with at least one word and `mask [batch, words]`, a bool that is True
    for the words of a row, which come first; a row may have none.

    Args:
        labels: how many there are.
        trained: whether transitions are learnt. If not they stay 0, and each word is a softmax of its own.
    """

    start: Tensor
    transitions: Tensor  # [from, to]
    end: Tensor

    def __init__(self, labels: int, trained: bool = True):
        super().__init__()
        shapes = {"start": (labels,), "transitions": (labels, labels), "end": (labels,)}
        for name, shape in shapes.items():
            if trained:
                self.register_parameter(name, nn.Parameter(torch.zeros(shape)))
            else:
                self.register_buffer(name, torch.zeros(shape))

    def log_likelihood(self, emissions: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        """log p(labels), in nats, `[batch]`; 0 for a row without words.

        Args:
            labels: `[batch, words]`; what stands outside the mask is not looked at.
        """
        labels = labels.masked_fill(~mask, 0)
        of_words = emissions.gather(2, labels[..., None])[..., 0]
        of_pairs = self.transitions[labels[:, :-1], labels[:, 1:]]
        last = labels.gather(1, _last(mask)[:, None])[:, 0]
        score = (of_words * mask).sum(1) + (of_pairs * mask[:, 1:]).sum(1) + self.start[labels[:, 0]] + self.end[last]
        partition = torch.logsumexp(self._alphas(emissions, mask)[:, -1] + self.end, 1)
        return (score - partition) * mask.any(1)

    def best_paths(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """The most probable labels, `[batch, words]`, `IGNORED` outside the mask."""
        best = self.start + emissions[:, 0]
        stay = torch.arange(len(self.start), device=emissions.device).expand_as(best)
        sources = []
        for word in range(1, emissions.shape[1]):
            top, source = (best[:, :, None] + self.transitions).max(1)
            real = mask[:, word, None]
            best = torch.where(real, top + emissions[:, word], best)
            sources.append(torch.where(real, source, stay))
        path = [(best + self.end).argmax(1)]
        for source in reversed(sources):
            path.append(source.gather(1, path[-1][:, None])[:, 0])
        return torch.stack(path[::-1], 1).masked_fill(~mask, IGNORED)

    def marginals(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """p(label of a word), `[batch, words, labels]`; 0 outside the mask."""
        probabilities = torch.softmax(self._alphas(emissions, mask) + self._betas(emissions, mask), 2)
        return probabilities * mask[..., None]

    def _alphas(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """log of the sum over all beginnings up to a word with some label; after a row's end its last value."""
        alphas = [self.start + emissions[:, 0]]
        for word in range(1, emissions.shape[1]):
            longer = torch.logsumexp(alphas[-1][:, :, None] + self.transitions, 1) + emissions[:, word]
            alphas.append(torch.where(mask[:, word, None], longer, alphas[-1]))
        return torch.stack(alphas, 1)

    def _betas(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """log of the sum over all that may follow a word with some label."""
        betas = [self.end.expand_as(emissions[:, 0])]
        for word in range(emissions.shape[1] - 1, 0, -1):
            longer = torch.logsumexp(self.transitions + (emissions[:, word] + betas[-1])[:, None], 2)
            betas.append(torch.where(mask[:, word, None], longer, self.end))
        return torch.stack(betas[::-1], 1)


def _last(mask: Tensor) -> Tensor:
    """Position of the last word of each row, `[batch]`; 0 for a row without words."""
    return (mask.sum(1) - 1).clamp(min=0)
