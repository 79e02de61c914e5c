"""The decoding method in the form of `generate(custom_generate=...)`."""

import torch
from transformers import GenerationConfig, LogitsProcessorList, PreTrainedModel, StoppingCriteriaList
from transformers.generation import GenerateDecoderOnlyOutput
from transformers.generation.streamers import BaseStreamer

from setaria.generation.ngram_trie.assisted import decode_assisted
from setaria.generation.ngram_trie.call import GenerateCall
from setaria.generation.ngram_trie.config import NGramTrieConfig
from setaria.generation.ngram_trie.cost import VerifyCost
from setaria.generation.ngram_trie.decode import decode
from setaria.generation.ngram_trie.drafter import Drafter
from setaria.generation.ngram_trie.drafting import Drafting
from setaria.generation.ngram_trie.paper_drafter import PaperDrafter
from setaria.generation.ngram_trie.rope import check_lengths
from setaria.generation.ngram_trie.stats import DecodingStats
from setaria.generation.ngram_trie.store import TrieStore
from setaria.generation.ngram_trie.support import check_call, check_linear, takes_trees
from setaria.generation.ngram_trie.trie import NGramTrie, TrieSequence
from setaria.generation.ngram_trie.trie_drafter import TrieDrafter


class NGramTrieGenerate:
    """`model.generate(**inputs, custom_generate=NGramTrieGenerate())`: the text of plain decoding, in fewer forwards.

    `generate` keeps streamers, `stop_strings` and `synced_gpus` from such a method; the context manager `ngram_trie`
    brings them along.

    Attributes:
        stats: of all calls.
        costs: of forwards, by device, dtype and rows, learnt in all calls.
    """

    def __init__(self, config: NGramTrieConfig | None = None, store: TrieStore | None = None):
        self.config = config or NGramTrieConfig()
        self.store = store
        self.stats = DecodingStats()
        self.costs: dict[tuple, VerifyCost] = {}

    def __call__(
        self,
        model: PreTrainedModel,
        input_ids: torch.Tensor,
        logits_processor: LogitsProcessorList,
        stopping_criteria: StoppingCriteriaList,
        generation_config: GenerationConfig,
        inputs_tensor: torch.Tensor | None = None,
        streamer: BaseStreamer | None = None,
        synced_gpus: bool = False,
        **model_kwargs,
    ) -> GenerateDecoderOnlyOutput | torch.Tensor:
        """Called by `generate`, with what it has prepared.

        Raises:
            ValueError: for a generation mode, a model, a cache or an output that does not go with drafts.
        """
        call = GenerateCall(
            input_ids,
            logits_processor,
            stopping_criteria,
            generation_config,
            model_kwargs,
            inputs_tensor,
            streamer,
            synced_gpus,
        )
        check_call(call)
        check_lengths(model.config.get_text_config(decoder=True), input_ids.size(1), generation_config.max_length)
        trees = takes_trees(model, model_kwargs)
        if not trees:
            check_linear(model, model_kwargs["past_key_values"], call.rows)
        self.stats.calls += 1
        linear = self.config.shape == "linear" or not trees
        drafters = self._drafters(_contexts(model, call), linear)
        drafting = Drafting(drafters, self.config, self._cost(model, call.rows))
        return (decode if trees else decode_assisted)(model, call, drafting, self.stats)

    def _cost(self, model: PreTrainedModel, rows: int) -> VerifyCost:
        key = (model.device, model.dtype, rows)
        if key not in self.costs:
            self.costs[key] = VerifyCost(model.device, rows)
        return self.costs[key]

    def _drafters(self, contexts: list[list[int]], linear: bool) -> list[Drafter]:
        config = self.config
        if config.drafter == "paper":
            return [PaperDrafter(context, linear=linear) for context in contexts]
        if self.store is not None:
            self.store.evict()
            prompts = [self.store.prompt(context, config.max_order) for context in contexts]
        else:
            known: dict[tuple[int, ...], TrieSequence] = {}
            for context in contexts:
                if tuple(context) not in known:
                    known[tuple(context)] = NGramTrie(config.max_order).sequence(context)
            prompts = [known[tuple(context)] for context in contexts]
        self.stats.tries = list({id(prompt.trie): prompt.trie for prompt in prompts}.values())
        return [TrieDrafter(prompt, config, linear) for prompt in prompts]


def _contexts(model: PreTrainedModel, call: GenerateCall) -> list[list[int]]:
    """What each row may copy from: its prompt without padding; for encoder-decoder models the encoder's input, too."""
    tokens, source = call.input_ids, call.inputs_tensor
    if model.config.is_encoder_decoder:
        if source is None or source.is_floating_point():  # speech, images
            return tokens.tolist()
        return torch.cat((source.to(tokens.device), tokens), dim=1).tolist()
    mask = call.model_kwargs.get("attention_mask")
    if mask is None or mask.shape != tokens.shape:
        return tokens.tolist()
    return [row[keep].tolist() for row, keep in zip(tokens, mask.bool(), strict=True)]
