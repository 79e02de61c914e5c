"""One of two processes that share a sharded model and decode texts of different lengths; writes down what it did.

torchrun --nproc_per_node 2 ngram_worker.py OUTPUT_DIR
"""

import json
import sys
from pathlib import Path

import torch
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from setaria.generation import NGramTrieConfig, ngram_trie
from setaria.models.tiny import byte_tokenizer, tiny_llama


def main(output_dir: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    tokenizer = byte_tokenizer()
    model = tiny_llama(tokenizer).eval()
    inputs = tokenizer(["to be, or not to be", "that is the question"][rank], return_tensors="pt")
    options = {"max_new_tokens": [6, 40][rank], "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    alone = model.generate(**inputs, **options)
    for layer in model.model.layers:
        fully_shard(layer)
    fully_shard(model)
    is_sharded = isinstance(model, FSDPModule) and all(isinstance(part, DTensor) for part in model.parameters())
    with ngram_trie(model, NGramTrieConfig(width="fixed", budget=6)) as stats:
        together = model.generate(**inputs, **options)
    record = {
        "world_size": world_size,
        "is_sharded": is_sharded,
        "identical": torch.equal(alone, together),
        "tokens": stats.tokens,
        "forwards": stats.forwards,
    }
    (Path(output_dir) / f"{rank}.json").write_text(json.dumps(record))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
