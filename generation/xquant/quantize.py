"""Group-wise asymmetric quantisation with data-free calibration.

A group of elements x becomes codes c of B bits with a scale s and a zero z, M = 2^B - 1:

    z = min x,  s = (max x - z) / M,  c = clamp(round((x - z) / s), 0, M),  x^ = c * s + z

Calibration changes s and z once the codes are taken, at the same storage. The paper's moves both ends of the range
inwards by eta: z + eta * s * M and (1 - 2 * eta) * s. Least squares (ours) takes the s and z of least squared error
given c. A layer that reads another layer's codes fits s and z to its own elements in one of the same ways. All
arithmetic is float32; a constant group has s = 0 and z its value.
"""

from dataclasses import dataclass
from typing import Literal

import torch

from setaria.generation.xquant.config import LayerSettings
from setaria.generation.xquant.layout import KeyLayout, ValueLayout


Fit = Literal["range", "least_squares", "mean"]


@dataclass(frozen=True)
class GroupQuantizer:
    """Quantises float32 groups that lie along one dimension.

    bits: per code.
    dim: the dimension of the groups; scale and zero keep it with size 1.
    fit: `range` is min and max, moved inwards by `eta`; `least_squares`; `mean` is a scale of 0 (no use of the codes).
    weight: 1 for elements and 0 for what fills up a short group, broadcast against the groups; None where all are
        full.
    """

    bits: int
    dim: int
    fit: Fit
    eta: float = 0.0
    weight: torch.Tensor | None = None

    @classmethod
    def of_layer(
        cls, settings: LayerSettings, layout: KeyLayout | ValueLayout, shared: bool, device: torch.device
    ) -> "GroupQuantizer":
        """The quantiser of a layer's keys or values; `shared` says that the codes are another layer's."""
        method = settings.refit if shared else settings.calibration
        fits: dict[str, Fit] = {"least_squares": "least_squares", "zero_bit_mean": "mean"}
        eta = settings.eta.get(layout.bits, 0.0) if settings.calibration == "eta" else 0.0
        return cls(layout.bits, layout.group_dim, fits.get(method, "range"), eta, layout.weight(device))

    def codes(self, x: torch.Tensor) -> torch.Tensor:
        """Nearest codes, uint8, of min-max quantisation."""
        scale, zero = self._range(x)
        return ((x - zero) / torch.where(scale > 0, scale, 1)).round_().clamp_(0, self._levels).to(torch.uint8)

    def scale(self, x: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """The scale; by least squares it may be negative, where the codes of another layer run against x."""
        if self.fit == "range":
            return self._range(x)[0] * (1 - 2 * self.eta)
        if self.fit == "mean":
            return torch.zeros_like(x.narrow(self.dim, 0, 1))
        deviation = codes - self._mean(codes)
        if self.weight is not None:
            deviation = deviation * self.weight
        spread = deviation.square().sum(self.dim, keepdim=True)
        return (deviation * (x - self._mean(x))).sum(self.dim, keepdim=True) / torch.where(spread > 0, spread, 1)

    def zero(self, x: torch.Tensor, codes: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """The zero that goes with `scale` as it is stored."""
        if self.fit == "range":
            own_scale, zero = self._range(x)
            return zero + self.eta * own_scale * self._levels
        return self._mean(x) - scale * self._mean(codes)

    def _range(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        zero, top = x.aminmax(dim=self.dim, keepdim=True)
        return (top - zero) / self._levels, zero

    @property
    def _levels(self) -> int:
        return 2**self.bits - 1

    def _mean(self, x: torch.Tensor) -> torch.Tensor:
        x = x.float()
        if self.weight is None:
            return x.mean(self.dim, keepdim=True)
        return (x * self.weight).sum(self.dim, keepdim=True) / self.weight.sum(self.dim, keepdim=True)


def dequantize(codes: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
    """`codes * scale + zero` in float32, in place where `codes` is float32."""
    return codes.float().mul_(scale).add_(zero)
