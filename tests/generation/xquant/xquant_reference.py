"""XQuant written down from its formulas, token by token and group by group, in NumPy: slow and without any packing.

Nothing here is shared with the code under test.
"""

import numpy as np


def group_values(x, bits, method, eta, half, codes=None):
    """What one group reads as after quantisation, and its codes.

    z = min x, s = (max x - z) / M, c = round((x - z) / s); then the method's s and z, rounded to storage; c * s + z.
    """
    x = x.astype(np.float32)
    levels = np.float32(2**bits - 1)
    zero, scale = x.min(), (x.max() - x.min()) / levels
    if codes is None:
        codes = np.zeros_like(x) if scale == 0 else np.clip(np.round((x - zero) / scale), 0, levels)
    if method == "least_squares":
        deviation = codes - codes.mean()
        spread = (deviation**2).sum()
        scale = stored((deviation * (x - x.mean())).sum() / spread if spread else np.float32(0), half)
        zero = stored(x.mean() - scale * codes.mean(), half)
    elif method == "zero_bit_mean":
        scale, zero = np.float32(0), stored(x.mean(), half)
    else:
        zero, scale = (
            stored(zero + np.float32(eta) * scale * levels, half),
            stored(scale * np.float32(1 - 2 * eta), half),
        )
    return codes * scale + zero, codes


def stored(x, half):
    return np.float32(np.float16(x)) if half else np.float32(x)


class ReferenceSide:
    """Keys or values of one layer: per row a list of tokens `[heads, head_dim]`, of which the first `packed` read as
    quantised."""

    def __init__(self, settings, values, batch_size, below=None):
        self.settings, self.values, self.below = settings, values, below
        self.rows = [[] for _ in range(batch_size)]
        self.codes = [[] for _ in range(batch_size)]
        self.packed = [0] * batch_size

    def append(self, row, token):
        self.rows[row].append(token.astype(np.float32))

    def flush(self):
        for row, tokens in enumerate(self.rows):
            target = self.window_rule(len(tokens))
            group = self.settings.group_size
            if self.values:
                for index in range(self.packed[row], target):
                    self.quantize_value(row, index)
            else:
                for index in range(self.packed[row], target, group):
                    self.quantize_keys(row, index)
            self.packed[row] = max(self.packed[row], target)

    def window_rule(self, tokens):
        length, group = self.settings.residual_length, self.settings.group_size
        if self.settings.window == "sliding":
            return max((tokens - length) // group * group, 0)
        return max(tokens - length, 0) if self.values else tokens // length * length

    def method(self):
        shared = self.below is not None
        method = self.settings.refit if shared else self.settings.calibration
        bits = self.settings.value_bits if self.values else self.settings.key_bits
        eta = self.settings.eta.get(bits, 0) if self.settings.calibration == "eta" else 0
        return bits, method, eta, self.settings.metadata == "float16"

    def quantize_value(self, row, index):
        heads, head_dim = self.rows[row][index].shape
        group = self.settings.group_size
        # A group holds channels of one head, or all channels of as many heads as fit.
        token = self.rows[row][index].reshape(-1, head_dim * max(min(group // head_dim, heads), 1))
        read, codes = np.empty_like(token), np.empty_like(token)
        below = None if self.below is None else self.below.codes[row][index].reshape(token.shape)
        for heads in range(token.shape[0]):
            for start in range(0, token.shape[1], group):
                part = slice(start, start + group)
                given = None if below is None else below[heads, part]
                read[heads, part], codes[heads, part] = group_values(token[heads, part], *self.method(), given)
        self.rows[row][index] = read.reshape(-1, head_dim)
        self.codes[row][index:] = [codes.reshape(-1, head_dim)]

    def quantize_keys(self, row, start):
        tokens = np.stack(self.rows[row][start : start + self.settings.group_size])
        read, codes = np.empty_like(tokens), np.empty_like(tokens)
        for head in range(tokens.shape[1]):
            for channel in range(tokens.shape[2]):
                given = None
                if self.below is not None:
                    stop = start + self.settings.group_size
                    given = np.stack(self.below.codes[row][start:stop])[:, head, channel]
                read[:, head, channel], codes[:, head, channel] = group_values(
                    tokens[:, head, channel], *self.method(), given
                )
        self.rows[row][start : start + len(read)] = list(read)
        self.codes[row][start:] = list(codes)

    def crop_row(self, row, kept):
        self.rows[row] = self.rows[row][:kept]
        step = 1 if self.values else self.settings.group_size
        self.packed[row] = min(self.packed[row], kept // step * step)

    def select(self, index):
        for name in ("rows", "codes"):
            setattr(self, name, [list(getattr(self, name)[row]) for row in index])
        self.packed = [self.packed[row] for row in index]
