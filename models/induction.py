"""An induction circuit written into a new model's weights, since its formation by chance takes longer than all else.

A head of layer 0 copies the token before; a head of layer 1 looks for what was copied and passes on what stands there:
what followed a token earlier is read off where the token comes again. Everything may be trained afterwards.
"""

import torch
from torch import nn


SHARPNESS = 4.0  # of attention, in models that normalise queries and keys


def add_induction(
    embedding: nn.Embedding,
    layers: nn.ModuleList,
    rope_theta: float,
    output_scale: float,
    generator: torch.Generator | None = None,
    circuit_scale: float | None = None,
) -> None:
    """Write the circuit into the first key head of layers 0 and 1, and scale down what all layers add.

    Layer 0: the key is one vector for all tokens, and the queries of its heads are that vector rotated by one position
    backwards: each token attends to the one before, and copies what is read there to directions `copied`. Layer 1:
    keys are read from `copied`, queries from what was copied, in the slowly rotating channels, which hardly depend on
    the distance: a token attends to where it stood before, one place on, and passes on what stands there.

    Args:
        embedding: of a width of at least three heads.
        layers: with `self_attn` and `mlp` as Llama, Qwen2 and Qwen3 have them, rotary positions in halves.
        rope_theta: of the rotary positions; 1e6 leaves enough slow channels.
        output_scale: factor of all output projections.
        generator: of the directions; by default torch's own.
        circuit_scale: factor of the output projections of the two heads; by default `output_scale`.
    """
    circuit_scale = output_scale if circuit_scale is None else circuit_scale
    first, second = (layers[index].self_attn for index in (0, 1))
    width, size, half = embedding.embedding_dim, first.head_dim, first.head_dim // 2
    frequencies = rope_theta ** (-torch.arange(half) / half)
    random = torch.randn(width, 3 * size, generator=generator)
    read, copied, passed = torch.linalg.qr(random)[0].T.split(size)
    fast = (frequencies > 1e-2).float()
    backwards = torch.cat((fast * frequencies.cos(), -fast * frequencies.sin()))
    slow = 2.0 * (torch.cat((frequencies, frequencies)) < 3e-3)[:, None]
    with torch.no_grad():
        for layer in layers:
            layer.self_attn.o_proj.weight.mul_(output_scale)
            layer.mlp.down_proj.weight.mul_(output_scale)
        embedding.weight[:, 0] = 0.5  # the same in all tokens
        first.k_proj.weight[:size, 0] = torch.cat((fast, torch.zeros(half)))
        for head in range(first.num_key_value_groups):
            first.q_proj.weight[size * head : size * (head + 1), 0] = backwards
        first.v_proj.weight[:size] = read
        first.o_proj.weight[:, :size] = circuit_scale * copied.T
        second.q_proj.weight[:size], second.k_proj.weight[:size] = slow * read, slow * copied
        second.v_proj.weight[:size] = passed
        second.o_proj.weight[:, :size] = circuit_scale * passed.T
        for attention in (first, second):
            if hasattr(attention, "q_norm"):  # which makes all queries equally large
                attention.q_norm.weight.fill_(SHARPNESS)
