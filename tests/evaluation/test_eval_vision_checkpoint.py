"""A vision-language checkpoint: its texts like any other's, its processor for images, and its adapters."""

import pytest
import torch
from eval_inputs import TEXT, config
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForImageTextToText, AutoTokenizer

from setaria.evaluation import evaluate
from setaria.evaluation.items import items_file, read_items
from setaria.evaluation.loading import load
from setaria.evaluation.scores import Setting
from setaria.evaluation.vision_chat import family, vision_chat
from setaria.models.qwen_vl import image_only_processor
from setaria.models.tiny import byte_tokenizer, tiny_qwen2_vl, tiny_qwen3_vl


CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=[tiny_qwen2_vl, tiny_qwen3_vl])
def checkpoint(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param.__name__)
    tokenizer = byte_tokenizer()
    size = {"shortest_edge": 256, "longest_edge": 4096}
    image_only_processor(tokenizer, patch_size=4, merge_size=2, size=size).save_pretrained(folder)
    request.param(tokenizer).save_pretrained(folder)
    return folder


def test_texts_are_evaluated_as_ever(checkpoint, tmp_path):
    done = config(checkpoint, tmp_path, caches=("none", "kivi-2"), drafters=("none", "trie"), limit=1)
    results = evaluate(done)
    values = {(one.setting, one.metric): one.value for one in results.scores}
    model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    ids = tokenizer(TEXT, return_tensors="pt").input_ids
    with torch.no_grad():
        logps = model(ids).logits[0, :-1].double().log_softmax(-1)
    nll = -logps.gather(1, ids[0, 1:, None]).mean().item()
    name = checkpoint.name
    assert values[name, "nats_per_token"] == pytest.approx(nll, abs=1e-5)
    assert values[f"{name} / kivi-2", "kl"] > 1e-9
    said = {}
    for setting in (name, f"{name} / trie", f"{name} / kivi-2", f"{name} / kivi-2 / trie"):
        (item,) = read_items(items_file(done.output, setting, "completion")).items
        said[setting] = item.prediction
    inputs = tokenizer(item.prompt, return_tensors="pt", return_token_type_ids=False)
    reply = model.generate(**inputs, do_sample=False, max_new_tokens=24)[0, inputs.input_ids.size(1) :]
    assert said[name] == said[f"{name} / trie"] == tokenizer.decode(reply, skip_special_tokens=True)
    assert said[f"{name} / kivi-2"] == said[f"{name} / kivi-2 / trie"]


def test_an_adapter_answers_the_agents(checkpoint, tmp_path):
    adapted = get_peft_model(
        AutoModelForImageTextToText.from_pretrained(checkpoint), LoraConfig(r=2, target_modules=["q_proj"])
    )
    torch.nn.init.normal_(next(p for name, p in adapted.named_parameters() if "lora_B" in name), std=10)
    adapted.save_pretrained(tmp_path / "adapter")
    asked = [[{"role": "user", "content": [{"type": "text", "text": "Is it?"}]}]]
    chances = {}
    for adapter, merge in ((None, False), (str(tmp_path / "adapter"), False), (str(tmp_path / "adapter"), True)):
        loaded = load(str(checkpoint), adapter, config(checkpoint, tmp_path, merge_adapter=merge), CPU)
        chat = vision_chat(loaded, Setting("a", "a"), 4, batch=3)
        chances[adapter, merge] = chat.yes_probability(asked)[0]
        assert chat.batch == 3
    plain, with_adapter, merged = chances.values()
    assert with_adapter == pytest.approx(merged, abs=1e-6) and abs(plain - with_adapter) > 1e-5


def test_drafts_over_a_quantised_cache_are_made_one_by_one(checkpoint, tmp_path):
    loaded = load(str(checkpoint), None, config(checkpoint, tmp_path), CPU)
    assert vision_chat(loaded, Setting("a", "a", cache="kivi-2", drafter="trie"), 4, batch=3).batch == 1


def test_its_family_and_processor(checkpoint, tmp_path):
    loaded = load(str(checkpoint), None, config(checkpoint, tmp_path), CPU)
    assert family(loaded) == checkpoint.name.removeprefix("tiny_")[: len("qwen2_vl")]
    assert loaded.processor.tokenizer.padding_side == "left"
    loaded.model.config.model_type = "llava"
    with pytest.raises(ValueError, match=f"{checkpoint}: boxes of qwen2_vl, .* are known, not of llava"):
        family(loaded)


def test_a_text_model_has_no_processor(tiny_checkpoint, tmp_path):
    loaded = load(str(tiny_checkpoint), None, config(tiny_checkpoint, tmp_path), CPU)
    with pytest.raises(ValueError, match=f"{tiny_checkpoint}: a llama takes no images"):
        _ = loaded.processor
