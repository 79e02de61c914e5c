"""A from-scratch tiny encoder with its word-piece tokenizer: a BERT that reads tweets after minutes on a CPU."""

from collections.abc import Iterable

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import WordPieceTrainer
from transformers import BertConfig, BertModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from setaria.models.tagger_inputs import EOS


PAD, UNKNOWN, START, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"


def word_piece_tokenizer(texts: Iterable[str], vocabulary: int = 2000, longest: int = 512) -> PreTrainedTokenizerFast:
    """Cased word pieces trained on `texts`, with `<EOS>` as one token; what it has no pieces for is `[UNK]`.

    Args:
        vocabulary: most pieces.
        longest: most pieces of a text, special tokens included.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = [PAD, UNKNOWN, START, END, EOS]
    tokenizer.train_from_iterator(
        texts, WordPieceTrainer(vocab_size=vocabulary, special_tokens=special, show_progress=False)
    )
    tokenizer.post_processor = processors.BertProcessing((END, special.index(END)), (START, special.index(START)))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=longest,
        pad_token=PAD,
        unk_token=UNKNOWN,
        cls_token=START,
        sep_token=END,
        additional_special_tokens=[EOS],
    )


def tiny_bert(tokenizer: PreTrainedTokenizerBase, seed: int = 0, **overrides) -> BertModel:
    """BERT with seeded random float32 weights, by default 2 layers of width 64, as long as the tokenizer's texts.

    Args:
        overrides: any `BertConfig` field, such as `hidden_size=128`.
    """
    config = BertConfig(
        **{
            "vocab_size": len(tokenizer),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": tokenizer.model_max_length,
            "pad_token_id": tokenizer.pad_token_id,
            **overrides,
        }
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BertModel(config)
