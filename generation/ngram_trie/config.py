"""Configuration of n-gram trie speculative decoding."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args


Drafter = Literal["trie", "paper"]
Shape = Literal["tree", "linear"]
Width = Literal["cost", "fixed"]


@dataclass(frozen=True)
class NGramTrieConfig:
    r"""Configuration of [`ngram_trie`]; none of it changes the text, only how fast it comes.

    Parameters:
        drafter (`str`, *optional*, defaults to `"trie"`):
            `trie` is ours: counts of all orders, blended, backing off again at every node of the draft tree. `paper`
            is the paper's: suffixes of 10 tokens of the prompt, under prefixes of at most 3.
        max_order (`int`, *optional*, defaults to 8):
            Longest context, in tokens, whose continuations are counted. For `trie` only.
        budget (`int`, *optional*, defaults to 64):
            Most drafted tokens per row and forward.
        max_depth (`int`, *optional*, defaults to 32):
            Most drafted tokens in a row.
        width (`str`, *optional*, defaults to `"cost"`):
            `cost` verifies as many drafted tokens as give most tokens per second, none included, by the time that
            forwards of each size take on this machine. `fixed` verifies all within `budget`.
        min_probability (`float`, *optional*, defaults to 0.01):
            Drafted tokens less likely to be accepted than this are not verified. For `trie` only.
        shape (`str`, *optional*, defaults to `"tree"`):
            `tree` drafts alternatives, verified together; `linear` a single continuation. Models whose attention
            cannot take a tree's mask get the latter.
        learn_generated (`bool`, *optional*, defaults to `True`):
            Count generated tokens too, not the prompt's only. The paper does not.
    """

    drafter: Drafter = "trie"
    max_order: int = 8
    budget: int = 64
    max_depth: int = 32
    width: Width = "cost"
    min_probability: float = 0.01
    shape: Shape = "tree"
    learn_generated: bool = True

    def __post_init__(self):
        for name, allowed in (("drafter", Drafter), ("width", Width), ("shape", Shape)):
            if getattr(self, name) not in get_args(allowed):
                raise ValueError(f"{name}={getattr(self, name)!r} must be one of {', '.join(get_args(allowed))}")
        for name, low, high in (("max_order", 1, 64), ("budget", 1, 511), ("max_depth", 1, 511)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ValueError(f"{name}={value!r} must be an integer from {low} to {high}")
        if not isinstance(self.min_probability, (int, float)) or not 0 < self.min_probability < 1:
            raise ValueError(f"min_probability={self.min_probability!r} must be above 0 and below 1")
        if not isinstance(self.learn_generated, bool):
            raise ValueError(f"learn_generated={self.learn_generated!r} must be True or False")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
