"""JudgmentGRPOTrainer through TRL: the loss it says, gold replies at their rows, images that stay, and learning."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset
from peft import LoraConfig
from PIL import Image
from preference_rows import history, messages
from trl import GRPOConfig, GRPOTrainer

from setaria.models.qwen_vl import image_only_processor
from setaria.models.tiny import byte_tokenizer, tiny_llama, tiny_qwen2_vl
from setaria.rewards.judgment import Attempted, JudgmentRewards
from setaria.trainers import JudgmentGRPOConfig, JudgmentGRPOTrainer


OPTIONS = {
    "bf16": False,
    "disable_tqdm": True,
    "gradient_checkpointing": False,
    "learning_rate": 0.1,
    "logging_steps": 1,
    "max_completion_length": 4,
    "max_steps": 1,
    "num_generations": 2,
    "optim": "sgd",
    "per_device_train_batch_size": 4,
    "report_to": "none",
    "save_strategy": "no",
    "use_cpu": True,
}
RIGHT = Attempted(True, True, 0.0)


def text_rows(count: int = 2) -> Dataset:
    """Gold replies of different lengths, each naming its prompt."""
    return Dataset.from_list(
        [
            {"prompt": messages("user", f"Page {index}?"), "gold_reply": f"go {index}" + "!" * index}
            for index in range(count)
        ]
    )


def image_rows(count: int = 2) -> Dataset:
    """The same with an image of two sizes, the brighter the higher the number."""
    return Dataset.from_list(
        [
            {
                "images": [Image.new("RGB", (32 + 16 * (index % 2), 32), (40 * index,) * 3)],
                "prompt": messages("user", [{"type": "image"}, {"type": "text", "text": f"Page {index}?"}]),
                "gold_reply": f"go {index}" + "!" * index,
            }
            for index in range(count)
        ]
    )


def all_right(replies, rows):
    return [RIGHT for _ in replies]


def by_length(replies, rows):
    """Judgments that differ within most groups of random replies."""
    return [Attempted(len(reply) == 4, len(reply) > 2, ord(reply[0]) % 7 / 7 if reply else None) for reply in replies]


def flat(model) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def sharp(model):
    """The model with attention so sharp that a wrong position shows in the loss."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "q_proj.weight" in name or "k_proj.weight" in name or "embed_tokens" in name:
                parameter.mul_(20)
    return model


@pytest.fixture(scope="module")
def processor():
    tokenizer = byte_tokenizer()
    tokenizer.padding_side = "left"
    return image_only_processor(
        tokenizer, patch_size=4, merge_size=2, size={"shortest_edge": 256, "longest_edge": 4096}
    )


@pytest.fixture
def build(tokenizer, processor, tmp_path):
    """A trainer on a tiny model, with images if `dataset` has some; `options` are JudgmentGRPOConfig fields."""

    def trainer(attempt=all_right, dataset=None, model=None, processing_class=None, passed=None, **options):
        dataset = text_rows() if dataset is None else dataset
        sees = "images" in dataset.column_names
        return JudgmentGRPOTrainer(
            model or (tiny_qwen2_vl(tokenizer) if sees else tiny_llama(tokenizer)),
            JudgmentRewards(attempt).functions,
            JudgmentGRPOConfig(str(tmp_path / "run"), **{**OPTIONS, **options}),
            dataset,
            processing_class=processing_class or (processor if sees else tokenizer),
            **(passed or {}),
        )

    return trainer


def first_batch(trainer) -> list[dict]:
    """The buffered micro-batches of the first rollouts, as the loss gets them."""
    trainer.model.train()
    trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    return trainer._buffered_inputs


def cross_entropy_by_hand(model, tokenizer, processor, dataset, temperature: float = 1.0) -> torch.Tensor:
    """Mean over rows of the mean over tokens, from plain logits and the rendered conversation cut after its EOS."""
    losses = []
    for row in dataset:
        reply = messages("assistant", [{"type": "text", "text": row["gold_reply"]}])
        prompt, images = row["prompt"], row.get("images")
        if images:
            prompt = messages("user", [{"type": "image", "image": images[0]}, *row["prompt"][0]["content"][1:]])
        renderer = processor if images else tokenizer
        asked, answered = (
            renderer.apply_chat_template(
                [conversation], add_generation_prompt=asks, tokenize=True, return_dict=True, return_tensors="pt"
            )
            for conversation, asks in ((prompt, True), (prompt + reply, False))
        )
        start = asked["input_ids"].size(1)
        end = start + answered["input_ids"][0, start:].tolist().index(tokenizer.eos_token_id) + 1
        logps = F.log_softmax(model(**answered).logits[0] / temperature, dim=-1)
        losses.append(-logps[start - 1 : end - 1].gather(1, answered["input_ids"][0, start:end, None]).mean())
    return torch.stack(losses).mean()


@pytest.mark.parametrize(
    ("rows", "temperature"), [(text_rows, 1.0), (text_rows, 0.5), (image_rows, 1.0)], ids=["text", "cold", "images"]
)
def test_loss_and_gradient_of_the_gold_replies(rows, temperature, tokenizer, processor, build):
    # Equal rewards have no advantage: what is left is ce_coef * L_CE.
    model = sharp((tiny_qwen2_vl if rows is image_rows else tiny_llama)(tokenizer))
    expected = cross_entropy_by_hand(model, tokenizer, processor, rows(), temperature)
    expected.backward()
    norm = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()
    model.zero_grad()

    trainer = build(dataset=rows(), model=model, ce_coef=0.5, temperature=temperature)
    trainer.train()
    assert history(trainer, "ce_loss")[0] == pytest.approx(expected.item(), abs=1e-5)
    assert history(trainer, "loss")[0] == pytest.approx(0.5 * expected.item(), abs=1e-5)
    assert history(trainer, "grad_norm")[0] == pytest.approx(0.5 * norm.item(), rel=1e-4)


@pytest.mark.parametrize("rows", [text_rows, image_rows])
def test_without_gold_it_is_grpo(rows, tokenizer, processor, build, tmp_path):
    ours = build(by_length, rows(), ce_coef=0.0, max_steps=3)
    ours.train()
    theirs = GRPOTrainer(
        (tiny_qwen2_vl if rows is image_rows else tiny_llama)(tokenizer),
        JudgmentRewards(by_length).functions,
        GRPOConfig(
            str(tmp_path),
            **{**OPTIONS, "max_steps": 3, "reward_weights": [1.0, 0.1, 0.1], "scale_rewards": "none"},
        ),
        rows(),
        processing_class=processor if rows is image_rows else tokenizer,
    )
    theirs.train()
    assert history(ours, "loss") == history(theirs, "loss")
    assert history(ours, "grad_norm") == history(theirs, "grad_norm")
    assert max(history(ours, "grad_norm")) > 0
    assert not history(ours, "ce_loss")


def test_the_loss_is_grpo_plus_cross_entropy(build):
    runs = {}
    for coefficient in (0.0, 1.0, 2.0):
        trainer = build(by_length, ce_coef=coefficient)
        trainer.train()
        runs[coefficient] = history(trainer, "loss")[0], (history(trainer, "ce_loss") or [None])[0]
    assert runs[1.0][0] == pytest.approx(runs[0.0][0] + runs[1.0][1], abs=1e-5)
    assert runs[2.0][0] == pytest.approx(runs[0.0][0] + 2 * runs[1.0][1], abs=1e-5)


def test_advantages_by_hand(build):
    # r = g - .1 (1 - p_v) - .1 P(p_j = 0): 1, -.05, -.1 (Judger not asked), -.1; their mean is .1875.
    outcomes = [RIGHT, Attempted(False, True, 0.5), Attempted(False, False, None), Attempted(False, True, 1.0)]
    trainer = build(lambda replies, rows: outcomes, text_rows(1), num_generations=4)
    (batch,) = first_batch(trainer)
    assert sorted(batch["advantages"].tolist()) == pytest.approx([-0.2875, -0.2875, -0.2375, 0.8125])
    assert trainer._metrics["train"]["rewards/judger/mean"] == [pytest.approx(-0.5)]  # of the three that it saw
    assert trainer._metrics["train"]["frac_reward_zero_std"] == [0.0]


@pytest.mark.parametrize("rows", [text_rows, image_rows])
def test_accumulation_does_not_change_the_run(rows, build):
    runs = []
    for size, accumulation in ((4, 1), (2, 2), (1, 4)):
        trainer = build(
            by_length, rows(), per_device_train_batch_size=size, gradient_accumulation_steps=accumulation, max_steps=2
        )
        trainer.train()
        runs.append((flat(trainer.model), history(trainer, "loss")))
    for parameters, losses in runs[1:]:
        assert torch.allclose(parameters, runs[0][0], atol=1e-6)
        assert losses == pytest.approx(runs[0][1], abs=1e-5)


def test_gradient_checkpointing_does_not_change_the_run(build):
    runs = []
    for checkpointing in (False, True):
        trainer = build(by_length, gradient_checkpointing=checkpointing, max_steps=2)
        trainer.train()
        runs.append(history(trainer, "grad_norm"))
    assert runs[0] == pytest.approx(runs[1], rel=1e-5)


def test_the_letter_of_the_paper_trains_the_cross_entropy_alone(build):
    # Penalties by hand: .1 * (0 + 0 + 1 + 0) / 4 + .1 * (0 + .5 + 0 + 1) / 4 = .0625
    outcomes = [RIGHT, Attempted(False, True, 0.5), Attempted(False, False, None), Attempted(False, True, 1.0)]
    options = {"max_steps": 2, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    literal = build(lambda replies, rows: outcomes, paper_literal=True, **options)
    literal.train()
    alone = build(all_right, **options)
    alone.train()
    assert torch.equal(flat(literal.model), flat(alone.model))
    assert history(literal, "penalty") == pytest.approx([0.0625, 0.0625])
    for loss, cross_entropy in zip(history(literal, "loss"), history(literal, "ce_loss"), strict=True):
        assert loss == pytest.approx(cross_entropy + 0.0625, abs=1e-5)
    assert not history(alone, "penalty")


@pytest.mark.parametrize("rows", [text_rows, image_rows])
def test_gold_replies_stay_with_their_prompts(rows, tokenizer, build):
    trainer = build(by_length, rows(6), gradient_accumulation_steps=3)
    batches = first_batch(trainer)
    numbers = []
    for batch in batches:
        pixels = iter(
            batch["pixel_values"].split(batch["image_grid_thw"].prod(-1).tolist()) if rows is image_rows else []
        )
        for prompt, gold, mask in zip(batch["prompt_ids"], batch["gold_ids"], batch["gold_mask"], strict=True):
            asked = tokenizer.decode(prompt, skip_special_tokens=True)
            number = int(asked[asked.index("Page ") + 5])
            assert tokenizer.decode(gold[mask.bool()]) == f"go {number}" + "!" * number + "<|im_end|>"
            numbers.append((number, next(pixels).mean().item() if rows is image_rows else number))
    assert sorted(number for number, _ in numbers) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert [number for number, _ in numbers[::2]] != [number for number, _ in numbers[1::2]]  # they were shuffled
    brightness = dict(numbers)
    assert all(brightness[number] == pytest.approx(value) for number, value in numbers)
    assert sorted(brightness, key=brightness.get) == [0, 1, 2, 3, 4, 5]


def test_rows_without_gold_have_no_cross_entropy(tokenizer, processor, build):
    rows = text_rows(2)
    expected = cross_entropy_by_hand(tiny_llama(tokenizer), tokenizer, processor, rows.select([1]))
    mixed = [
        {"prompt": row["prompt"], "gold_reply": row["gold_reply"] if index else None} for index, row in enumerate(rows)
    ]
    trainer = build(dataset=Dataset.from_list(mixed))
    trainer.train()
    assert history(trainer, "loss")[0] == pytest.approx(expected.item() / 2, abs=1e-5)
    assert history(trainer, "ce_loss")[0] == pytest.approx(expected.item(), abs=1e-5)

    trainer = build(dataset=Dataset.from_list([{**row, "gold_reply": None} for row in rows]))
    trainer.train()
    assert history(trainer, "grad_norm") == [0.0]
    assert not history(trainer, "ce_loss")


def test_a_missing_column_is_named(build):
    with pytest.raises(ValueError, match="needs a column gold_reply, and the rows have prompt: add it"):
        build(dataset=text_rows().remove_columns("gold_reply")).train()


def ends_a_turn_with_another_token():
    """The tokenizer's EOS is not what ends a turn, as with Gemma; the model's generation configuration names both."""
    tokenizer = byte_tokenizer()
    model = tiny_llama(tokenizer)
    tokenizer.eos_token = "<|endoftext|>"
    return tokenizer, model, text_rows(1), "go 0<|im_end|>"


def has_no_conversations():
    tokenizer = byte_tokenizer()
    return (
        tokenizer,
        tiny_llama(tokenizer),
        Dataset.from_list([{"prompt": "Page?", "gold_reply": "go"}]),
        "go<|im_end|>",
    )


def has_thought_of_nothing():
    """A template that writes an empty thought before each reply, as Qwen3's does: generation would write it too."""
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "message['role'] + '\\n'",
        "message['role'] + ('\\n<think></think>' if message['role'] == 'assistant' else '\\n')",
    )
    return tokenizer, tiny_llama(tokenizer), text_rows(1), "<think></think>go 0<|im_end|>"


@pytest.mark.parametrize("case", [ends_a_turn_with_another_token, has_no_conversations, has_thought_of_nothing])
def test_gold_ends_where_generation_would(case, build):
    tokenizer, model, rows, expected = case()
    (batch,) = first_batch(build(dataset=rows, model=model, processing_class=tokenizer, num_generations=4))
    for ids, mask in zip(batch["gold_ids"], batch["gold_mask"], strict=True):
        assert tokenizer.decode(ids[mask.bool()]) == expected


def test_a_template_that_asks_otherwise_than_it_answers_is_named(build):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = tokenizer.chat_template.replace("assistant\\n", "assistant\\n<think>")
    with pytest.raises(ValueError, match="a gold reply cannot follow its generation prompt"):
        build(processing_class=tokenizer).train()


def test_padding_that_trl_would_misplace_is_named(tokenizer, build):
    with pytest.raises(ValueError, match="padding_side='right': TRL pads prompts on the left"):
        build(dataset=image_rows(), processing_class=image_only_processor(tokenizer)).train()


def test_dropped_images_stop_the_run(monkeypatch, build):
    def drops_images(self, inputs):
        output = rollouts(self, inputs)
        return {key: value for key, value in output.items() if key not in ("pixel_values", "image_grid_thw")}

    rollouts = GRPOTrainer._generate_and_score_completions
    monkeypatch.setattr(GRPOTrainer, "_generate_and_score_completions", drops_images)
    with pytest.raises(RuntimeError, match=r"dropped all images .* \(max_completion_length=4, longest_edge=4096\)"):
        build(dataset=image_rows()).train()


def test_image_tokens_without_features_stop_the_run(tokenizer, build):
    # A model that samples nothing but image tokens, where TRL is told not to suppress them.
    model = tiny_qwen2_vl(tokenizer)
    with torch.no_grad():
        model.lm_head.weight.zero_()
        model.lm_head.bias = torch.nn.Parameter(torch.zeros(len(tokenizer)))
        model.lm_head.bias[model.config.image_token_id] = 100
    with pytest.raises(RuntimeError, match=r"completion_ids: \[20, 20, 28, 28\] .* for \[16, 16, 24, 24\] image"):
        build(dataset=image_rows(), model=model, generation_kwargs={"suppress_tokens": []}).train()

    rows = [{**row, "gold_reply": "<|image_pad|>"} for row in image_rows()]
    with pytest.raises(RuntimeError, match="gold_ids: "):
        build(dataset=Dataset.from_list(rows)).train()


@pytest.mark.parametrize("rows", [text_rows, image_rows])
def test_trains_every_parameter(rows, build):
    trainer = build(by_length, rows(), max_steps=2)
    before = {name: parameter.clone() for name, parameter in trainer.model.named_parameters()}
    trainer.train()
    assert all(not torch.equal(parameter, before[name]) for name, parameter in trainer.model.named_parameters())


@pytest.mark.parametrize("rows", [text_rows, image_rows])
def test_lora_moves_only_the_adapter(rows, build):
    lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    trainer = build(by_length, rows(), max_steps=2, optim="adamw_torch", passed={"peft_config": lora})
    before = {name: p.clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    moved = {name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if "lora_" in name}


def test_evaluates_with_the_gold_replies(tokenizer, processor, build):
    trainer = build(per_device_eval_batch_size=4)
    expected = cross_entropy_by_hand(tiny_llama(tokenizer), tokenizer, processor, text_rows())
    metrics = trainer.evaluate(text_rows())
    assert metrics["eval_loss"] == pytest.approx(expected.item(), abs=1e-5)
    assert history(trainer, "eval_ce_loss") == [pytest.approx(expected.item(), abs=1e-5)]


LEARNING = {
    "learning_rate": 2e-2,
    "lr_scheduler_type": "constant",
    "max_steps": 20,
    "num_generations": 4,
    "optim": "adamw_torch",
    "per_device_train_batch_size": 8,
}


def test_the_right_action_is_learnt(tokenizer, build):
    rows = [{"prompt": messages("user", word), "gold_reply": reply} for word, reply in (("up?", "a"), ("down", "b"))]

    def attempt(replies, rows):
        right = [reply == row["gold_reply"] for reply, row in zip(replies, rows, strict=True)]
        return [Attempted(is_right, is_right, 0.0 if is_right else None) for is_right in right]

    trainer = build(attempt, Dataset.from_list(rows), tiny_llama(tokenizer, hidden_size=64), **LEARNING)
    trainer.train()
    learnt = history(trainer, "rewards/gold_match/mean")
    assert sum(learnt[:3]) / 3 < 0.1
    assert sum(learnt[-3:]) / 3 > 0.8
    assert history(trainer, "ce_loss")[-1] < 0.1 * history(trainer, "ce_loss")[0]


def test_the_judger_alone_turns_a_wavering_generator(tokenizer, build):
    rows = Dataset.from_list([{"prompt": messages("user", "?"), "gold_reply": reply} for reply in ("a", "b")])

    def likes_b(replies, rows):
        return [Attempted(False, True, float(reply != "b")) for reply in replies]

    wavering = build(all_right, rows, tiny_llama(tokenizer, hidden_size=64), **LEARNING)
    wavering.train()
    trainer = build(likes_b, rows, wavering.model, ce_coef=0.0, **{**LEARNING, "learning_rate": 5e-3})
    trainer.train()
    disliked = history(trainer, "rewards/judger/mean")
    assert disliked[0] < -0.3
    assert sum(disliked[-3:]) / 3 > -0.05


def test_model_card_names_the_paper(build):
    trainer = build(save_strategy="steps", save_steps=1)
    trainer.train()
    card = Path(trainer.args.output_dir, "README.md").read_text()
    assert "trained with JudgmentGRPO" in card
    assert "10.18653/v1/2025.emnlp-main.212" in card
    assert "2505.20660" in card
