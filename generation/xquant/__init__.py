"""XQuant (Yang et al., EMNLP 2025): a KV cache below 1.4 equivalent bits, with codes shared between layers."""

from setaria.generation.xquant.attention import use_packed_attention
from setaria.generation.xquant.cache import XQuantCache
from setaria.generation.xquant.config import PRESETS, LayerSettings, XQuantConfig
from setaria.generation.xquant.hook import xquant
from setaria.generation.xquant.memory import CacheMemory
from setaria.generation.xquant.similarity import PairSimilarity, auto_share, similarity_report
from setaria.generation.xquant.teacher_forcing import teacher_forced_logits, teacher_forced_nll


__all__ = [
    "PRESETS",
    "CacheMemory",
    "LayerSettings",
    "PairSimilarity",
    "XQuantCache",
    "XQuantConfig",
    "auto_share",
    "similarity_report",
    "teacher_forced_logits",
    "teacher_forced_nll",
    "use_packed_attention",
    "xquant",
]
