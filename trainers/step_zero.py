"""Step 0 of a run: what the untrained policy made of the probes, kept in the run folder as one safetensors file.

Every later measurement is compared with it, so a resumed run reads it and never takes it from a trained policy.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from setaria.trainers.probes import Measurement


@dataclass
class StepZero:
    """The measurement at step 0 and its next-token log-probabilities `[pairs, 2, kl_tokens, vocabulary]`, or None."""

    measurement: Measurement
    next_token_logps: torch.Tensor | None

    def save(self, path: Path, fingerprint: str) -> None:
        """Write the file in one move; `fingerprint` names the probes."""
        tensors = {name: value for name, value in vars(self.measurement).items() if value is not None}
        if self.next_token_logps is not None:
            tensors["next_token_logps"] = self.next_token_logps
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        save_file({name: value.contiguous() for name, value in tensors.items()}, partial, {"probes": fingerprint})
        os.replace(partial, path)

    @classmethod
    def load(cls, path: Path, fingerprint: str) -> "StepZero":
        """Read the file.

        Raises:
            ValueError: if it is missing, or holds other probes.
        """
        remedy = "resume with the data and monitor settings of the first run, or without the monitor"
        if not path.exists():
            raise ValueError(f"{path} is missing, and step 0 cannot be measured on a trained policy: {remedy}")
        with safe_open(path, framework="pt") as file:
            if file.metadata()["probes"] != fingerprint:
                raise ValueError(f"{path} was measured on other probes than this run's: {remedy}")
        tensors: dict[str, Any] = load_file(path)
        next_token_logps = tensors.pop("next_token_logps", None)
        return cls(Measurement(**{"kl": None, **tensors}), next_token_logps)
