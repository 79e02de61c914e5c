"""From-scratch tiny models and tokenizers: seeded random weights, nothing downloaded.

They exist so that every trainer, recipe and hook can be run on a bare CPU machine in seconds through the same
classes as the large models: a byte-level ChatML tokenizer, a Llama, a Qwen2-VL and a Qwen3-VL.
"""

from collections.abc import Iterable

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)


PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
VISION_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
WORDS = r"\d+|[^\W\d_]+|\s|[^\w\s]+|_"

CHATML = (
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{%- if message['content'] is string -%}{{ message['content'] }}{%- else -%}"
    "{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'image' -%}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{%- else -%}{{ part['text'] }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}"
    "{{ '<|im_end|>\\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"
)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Tokenizer with one token per UTF-8 byte (256) and ChatML special tokens; any text round-trips.

    `<|endoftext|>` pads and `<|im_end|>` ends a turn, so that pad differs from EOS.
    """
    vocabulary = {token: index for index, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return chat_tokenizer(tokenizer, extra_special_tokens=list(VISION_TOKENS))


def trained_tokenizer(texts: Iterable[str], vocabulary: int = 1024, pieces: str = WORDS) -> PreTrainedTokenizerFast:
    """Byte-level BPE with ChatML special tokens, trained on `texts`; any text round-trips.

    Args:
        pieces: regular expression of what is never merged with its neighbours; by default words, numbers, single
            spaces and runs of signs, so that a word is the same tokens with and without a space before it.
    """
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(pieces), behavior="isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return chat_tokenizer(tokenizer, extra_special_tokens=list(VISION_TOKENS))


def chat_tokenizer(tokenizer: Tokenizer, extra_special_tokens: list[str] | None = None) -> PreTrainedTokenizerFast:
    """Wrap a `tokenizers.Tokenizer` with the ChatML template and its special tokens."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[START, *(extra_special_tokens or [])],
        chat_template=CHATML,
        clean_up_tokenization_spaces=False,
    )


def tiny_llama(tokenizer: PreTrainedTokenizerBase, seed: int = 0, **overrides) -> LlamaForCausalLM:
    """Llama with seeded random float32 weights, by default 2 layers of width 16, ids taken from `tokenizer`.

    Args:
        overrides: any `LlamaConfig` field, such as `hidden_size=64`.
    """
    config = LlamaConfig(
        **{
            "vocab_size": len(tokenizer),
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 2048,
            "tie_word_embeddings": False,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            **overrides,
        }
    )
    return _seeded(lambda: LlamaForCausalLM(config), seed)


def tiny_qwen2_vl(
    tokenizer: PreTrainedTokenizerBase,
    seed: int = 0,
    text: dict | None = None,
    vision: dict | None = None,
    tied: bool = False,
) -> Qwen2VLForConditionalGeneration:
    """Qwen2-VL with seeded random float32 weights, by default 2 text layers and 1 vision block of width 16.

    Images come from `setaria.models.qwen_vl.image_only_processor`.

    Args:
        text, vision: fields of the text and of the vision configuration that differ.
        tied: whether the output layer is the embedding, with which a small model learns to copy much sooner.
    """
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": 2048,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]},
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            **(text or {}),
        },
        vision_config={
            "depth": 1,
            "embed_dim": 16,
            "hidden_size": 16,
            "num_heads": 2,
            "mlp_ratio": 2,
            "patch_size": 4,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            **(vision or {}),
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
        tie_word_embeddings=tied,
    )
    return _seeded(lambda: Qwen2VLForConditionalGeneration(config), seed)


def tiny_qwen3_vl(
    tokenizer: PreTrainedTokenizerBase, seed: int = 0, text: dict | None = None, vision: dict | None = None
) -> Qwen3VLForConditionalGeneration:
    """Qwen3-VL with seeded random float32 weights, by default 2 text layers and 1 vision block of width 16.

    Images come from `setaria.models.qwen_vl.image_only_processor`, a template for tools from `tool_chat_template`
    there.

    Args:
        text, vision: fields of the text and of the vision configuration that differ.
    """
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 8,
            "max_position_embeddings": 2048,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [2, 1, 1],
                "mrope_interleaved": True,
            },
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            **(text or {}),
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 32,
            "out_hidden_size": 16,
            "num_heads": 2,
            "patch_size": 4,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "deepstack_visual_indexes": [0],
            "num_position_embeddings": 64,
            **(vision or {}),
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    return _seeded(lambda: Qwen3VLForConditionalGeneration(config), seed)


def _seeded(build, seed: int):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()
