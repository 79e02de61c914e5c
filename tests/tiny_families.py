"""Tiny random models of several families, four layers deep, for tests of generation."""

import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)


SHAPE = {
    "vocab_size": 97,
    "hidden_size": 64,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
    "initializer_range": 0.3,  # sharp attention: errors show
}
MIXED_LAYERS = ["full_attention", "full_attention", "sliding_attention", "full_attention"]
FAMILIES = {
    "llama": (LlamaConfig, LlamaForCausalLM, {}),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, {}),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, {}),
    "mistral": (MistralConfig, MistralForCausalLM, {"sliding_window": None}),
    "phi3": (Phi3Config, Phi3ForCausalLM, {}),
    "gemma2": (Gemma2Config, Gemma2ForCausalLM, {"sliding_window": 24, "layer_types": MIXED_LAYERS}),
    "gemma3": (Gemma3TextConfig, Gemma3ForCausalLM, {"sliding_window": 24, "layer_types": MIXED_LAYERS}),
}


def tiny(family: str, **overrides):
    config_class, model_class, special = FAMILIES[family]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return model_class(config_class(**{**SHAPE, **special, **overrides})).eval()


def tiny_qwen3_vl() -> Qwen3VLForConditionalGeneration:
    """Its language model is that of the other families; images are not used."""
    text = {**SHAPE, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}}
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 64}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = Qwen3VLConfig(text_config=text, vision_config={**vision, "deepstack_visual_indexes": [0]})
        return Qwen3VLForConditionalGeneration(config).eval()


def tokens(batch: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(1, SHAPE["vocab_size"], (batch, length), generator=torch.Generator().manual_seed(seed))
