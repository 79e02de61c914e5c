"""SPOTrainer through TRL: every kind of model and data, no reference model, and the loss it says."""

import copy
import dataclasses
import inspect
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from preference_rows import LAYOUTS, conversational, history
from transformers import BitsAndBytesConfig, MixtralConfig, MixtralForCausalLM
from trl import DPOConfig, DPOTrainer
from trl.trainer import dpo_trainer

from setaria.models.tiny import tiny_llama
from setaria.trainers import SPOConfig, SPOTrainer
from setaria.trainers.objective_settings import OBJECTIVES
from setaria.trainers.objectives import LOSSES


LORA = {"r": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}


@pytest.fixture
def checkpoint(tokenizer, tmp_path):
    """A saved tiny Llama."""
    folder = tmp_path / "policy"
    tiny_llama(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def loads(monkeypatch):
    """The models TRL loads, by path."""
    paths = []
    create = dpo_trainer.create_model_from_path
    monkeypatch.setattr(
        dpo_trainer, "create_model_from_path", lambda path, **kwargs: (paths.append(path), create(path, **kwargs))[1]
    )
    return paths


def scores_by_hand(model, tokenizer, row) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Per-token log-probabilities of both completions of a row from plain logits, chosen first."""
    prompt = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=False)
    result = []
    for side in ("chosen", "rejected"):
        ids = tokenizer.apply_chat_template(row["prompt"] + row[side], return_dict=False)
        logps = F.log_softmax(model(torch.tensor([ids])).logits[0, :-1], dim=-1)
        result.append(logps.gather(1, torch.tensor(ids[1:])[:, None])[len(prompt) - 1 :, 0])
    return result


@pytest.mark.parametrize("objective", LOSSES)
def test_first_loss_and_gradient_are_the_formula(objective, tokenizer, spo_trainer):
    model = tiny_llama(tokenizer)
    rows = list(conversational())[:4]
    trainer = spo_trainer(objective=objective, dataset=conversational().select(range(4)), max_steps=1)
    settings = trainer.args.settings
    losses = []
    for row in rows:
        chosen, rejected = scores_by_hand(model, tokenizer, row)
        score = (lambda logps: logps.mean()) if settings.length_normalize else (lambda logps: logps.sum())
        pair = LOSSES[objective](score(chosen)[None], score(rejected)[None], settings.beta, settings.gamma)
        losses.append(pair[0] - settings.sft_weight * chosen.mean())
    torch.stack(losses).mean().backward()
    expected_norm = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()

    trainer.train()
    assert history(trainer, "loss")[0] == pytest.approx(torch.stack(losses).mean().item(), abs=1e-5)
    assert history(trainer, "grad_norm")[0] == pytest.approx(expected_norm.item(), rel=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_trains_every_parameter_on_every_layout(layout, tokenizer, spo_trainer):
    model = tiny_llama(tokenizer)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    trainer = spo_trainer(model, LAYOUTS[layout]())
    trainer.train()
    assert trainer.ref_model is None
    assert all(not torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())


def test_conversational_layouts_train_alike(spo_trainer):
    runs = []
    for layout in ("conversational", "implicit_prompt", "ultrafeedback"):
        trainer = spo_trainer(dataset=LAYOUTS[layout]())
        trainer.train()
        runs.append(history(trainer, "loss"))
    assert runs[0] == pytest.approx(runs[1], abs=1e-6)
    assert runs[0] == pytest.approx(runs[2], abs=1e-6)


def test_evaluates_raw_rows(spo_trainer):
    trainer = spo_trainer(eval_strategy="steps", eval_steps=3, passed={"eval_dataset": LAYOUTS["ultrafeedback"]()})
    trainer.train()
    during = history(trainer, "eval_loss")[-1]
    after = trainer.evaluate(LAYOUTS["conversational"]())
    assert after["eval_loss"] == pytest.approx(during, abs=1e-6)
    assert "eval_rewards/accuracies" in after


@pytest.mark.parametrize("wrap", ["full", "lora"])
def test_loads_the_policy_and_nothing_else(wrap, checkpoint, loads, spo_trainer):
    passed = {"peft_config": LoraConfig(**LORA)} if wrap == "lora" else {}
    patched = dpo_trainer.create_model_from_path
    trainer = spo_trainer(checkpoint, passed=passed)
    assert loads == [checkpoint]
    assert trainer.ref_model is None
    assert dpo_trainer.create_model_from_path is patched


def test_a_failing_constructor_leaves_no_trace(spo_trainer):
    before = dpo_trainer.create_model_from_path
    with pytest.raises(TypeError):
        spo_trainer(dataset=[1, 2])
    assert dpo_trainer.create_model_from_path is before


def test_a_reference_model_is_refused(tokenizer, spo_trainer):
    with pytest.raises(ValueError, match="ref_model was given, but objective='spo' has no reference model"):
        spo_trainer(passed={"ref_model": tiny_llama(tokenizer)})


def test_dpo_is_trl_own(tokenizer, config, checkpoint, spo_trainer, tmp_path):
    ours = spo_trainer(checkpoint, objective="dpo", loss_type=["ipo"])
    ours.train()
    theirs = DPOTrainer(
        checkpoint,
        args=DPOConfig(**{**shared_options(ours.args), "loss_type": ["ipo"]}),
        train_dataset=conversational(),
        processing_class=tokenizer,
    )
    theirs.train()
    assert ours.ref_model is not None
    assert history(ours, "loss") == history(theirs, "loss")


def shared_options(args: SPOConfig) -> dict:
    names = ("output_dir", "bf16", "disable_tqdm", "learning_rate", "logging_steps", "max_steps", "use_cpu")
    names += ("per_device_train_batch_size", "report_to", "save_strategy")
    return {name: getattr(args, name) for name in names}


def test_lora_moves_only_the_adapter(tokenizer, spo_trainer):
    trainer = spo_trainer(passed={"peft_config": LoraConfig(**LORA)})
    before = {name: p.clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    moved = {name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if "lora_" in name}


def test_a_wrapped_peft_model_keeps_its_one_adapter(tokenizer, spo_trainer):
    model = get_peft_model(tiny_llama(tokenizer), LoraConfig(**LORA))
    trainer = spo_trainer(model)
    trainer.train()
    assert list(trainer.model.peft_config) == ["default"]
    assert not any(".ref." in name for name, _ in trainer.model.named_parameters())
    assert any(p.abs().max() > 0 for name, p in model.named_parameters() if "lora_B" in name)


def test_prompt_tuning(spo_trainer):
    trainer = spo_trainer(passed={"peft_config": PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)})
    before = trainer.model.prompt_encoder["default"].embedding.weight.clone()
    trainer.train()
    assert not torch.equal(trainer.model.prompt_encoder["default"].embedding.weight, before)


def test_qlora_trains_on_4_bit_weights(checkpoint, spo_trainer):
    bitsandbytes = pytest.importorskip(
        "bitsandbytes", reason="QLoRA needs bitsandbytes: pip install 'setaria[bitsandbytes]'"
    )
    trainer = spo_trainer(
        checkpoint,
        passed={
            "quantization_config": BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32
            ),
            "peft_config": LoraConfig(**LORA),
        },
    )
    layers = [m for m in trainer.model.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
    trainer.train()
    assert len(layers) == 14  # 7 projections in 2 layers
    assert trainer.ref_model is None
    assert history(trainer, "loss")[-1] < history(trainer, "loss")[0]


def test_vision_language_model(vision_trainer):
    trainer = vision_trainer()
    before = {name: p.clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    moved = {name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])}
    assert any("visual" in name for name in moved)
    assert any("language_model" in name for name in moved)
    assert trainer.ref_model is None


def test_mixture_of_experts_adds_the_router_loss(tokenizer, spo_trainer):
    config = MixtralConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        num_local_experts=4,
        router_aux_loss_coef=0.5,
    )
    model = MixtralForCausalLM(config)
    losses = {}
    for coefficient in (0.5, 0.0):
        trainer = spo_trainer(copy.deepcopy(model), router_aux_loss_coef=coefficient, max_steps=1)
        trainer.train()
        losses[coefficient] = history(trainer, "loss")[0]
        router_loss = history(trainer, "aux_loss")
        assert len(router_loss) == (coefficient > 0)
        losses["router"] = (router_loss or [losses.get("router")])[0]
    assert losses[0.5] == pytest.approx(losses[0.0] + 0.5 * losses["router"], abs=1e-5)
    with pytest.raises(ValueError, match="set router_aux_loss_coef: 0"):
        spo_trainer(copy.deepcopy(model), share_prompt=True)


def test_an_empty_dataset_is_named(spo_trainer):
    with pytest.raises(ValueError, match="the dataset is empty"):
        spo_trainer(dataset=conversational().select([]))


def test_accumulation_does_not_change_the_run(spo_trainer):
    runs = []
    for size, accumulation in ((4, 1), (2, 2), (1, 4)):
        trainer = spo_trainer(
            per_device_train_batch_size=size, gradient_accumulation_steps=accumulation, optim="sgd", learning_rate=0.1
        )
        trainer.train()
        runs.append(torch.cat([p.flatten() for p in trainer.model.parameters()]))
    assert torch.allclose(runs[0], runs[1], atol=1e-6)
    assert torch.allclose(runs[0], runs[2], atol=1e-6)


def test_gradient_checkpointing_does_not_change_the_run(spo_trainer):
    runs = []
    for checkpointing in (False, True):
        trainer = spo_trainer(gradient_checkpointing=checkpointing)
        trainer.train()
        runs.append(history(trainer, "grad_norm"))
    assert runs[0] == pytest.approx(runs[1], rel=1e-5)


def test_resumed_run_equals_the_uninterrupted(tokenizer, spo_trainer, tmp_path):
    whole = spo_trainer(max_steps=4, save_strategy="steps", save_steps=2, output_dir=str(tmp_path / "whole"))
    whole.train()
    resumed = spo_trainer(tiny_llama(tokenizer, seed=1), max_steps=4, output_dir=str(tmp_path / "resumed"))
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    for name, parameter in whole.model.named_parameters():
        assert torch.equal(parameter, resumed.model.get_parameter(name)), name
    assert history(whole, "loss") == history(resumed, "loss")


def test_model_card_names_the_paper(spo_trainer, tmp_path):
    trainer = spo_trainer(max_steps=1, save_strategy="steps", save_steps=1)
    trainer.train()
    card = Path(trainer.args.output_dir, "README.md").read_text()
    assert "trained with SPO" in card
    assert "10.18653/v1/2025.findings-emnlp.300" in card


def test_metrics_have_trl_names(tokenizer, config, checkpoint, spo_trainer):
    ours = spo_trainer(max_steps=1)
    ours.train()
    theirs = spo_trainer(checkpoint, objective="dpo", max_steps=1)
    theirs.train()
    assert set(theirs.state.log_history[0]) <= set(ours.state.log_history[0])
    for key in ("logps/chosen", "logps/rejected", "entropy", "num_tokens", "logits/chosen", "mean_token_accuracy"):
        assert ours.state.log_history[0][key] == pytest.approx(theirs.state.log_history[0][key], rel=1e-5), key


def test_pair_without_a_completion_does_not_count(tokenizer, spo_trainer):
    # 30 tokens cut both completions of the third pair away: the other pairs' losses, over three, remain.
    trainer = spo_trainer()
    full = trainer.data_collator([trainer.train_dataset[index] for index in range(3)])
    empty = {key: value.clone() for key, value in full.items()}
    empty["completion_mask"][[2, 5]] = 0
    two = trainer.data_collator([trainer.train_dataset[index] for index in range(2)])
    trainer.model.eval()
    with torch.no_grad():
        loss = trainer.compute_loss(trainer.model, empty)
        expected = trainer.compute_loss(trainer.model, two) * 2 / 3
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)
    assert trainer._metrics["eval"]["pairs/incomplete"] == [pytest.approx(1 / 3), 0.0]


def test_bf16_weights_below_their_rounding_are_refused(tokenizer, spo_trainer):
    with pytest.raises(ValueError, match="learning_rate=5e-07 rounds away on weights in"):
        spo_trainer(tiny_llama(tokenizer).bfloat16(), learning_rate=5e-7)
    spo_trainer(tiny_llama(tokenizer).bfloat16(), learning_rate=1e-4)
    spo_trainer(tiny_llama(tokenizer).bfloat16(), learning_rate=5e-7, passed={"peft_config": LoraConfig(**LORA)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "spoo"}, "objective='spoo' is not one of"),
        ({"gamma": 1.0, "gamma_beta_ratio": 0.5}, "two ways"),
        ({"sync_ref_model": True}, "sync_ref_model=True needs a reference model"),
        ({"precompute_ref_log_probs": True}, "precompute_ref_log_probs=True needs a reference model"),
        ({"loss_type": ["ipo"]}, "set objective='dpo'"),
        ({"objective": "dpo", "gamma": 1.0}, "gamma: not used by objective='dpo'"),
        ({"objective": "dpo", "share_prompt": True}, "share_prompt: not used by objective='dpo'"),
    ],
)
def test_bad_configurations_are_named(options, message, config):
    with pytest.raises(ValueError, match=message):
        config(**options)


def test_defaults_are_the_documented_ones(config):
    by_objective = {name: config(objective=name).settings for name in LOSSES}
    assert [(s.beta, s.gamma, s.length_normalize, s.sft_weight) for s in by_objective.values()] == [
        (2.0, 1.0, True, 0.0),
        (2.0, 1.0, True, 0.0),
        (0.1, 0.0, False, 1.0),
        (1.0, 0.4, True, 0.0),
    ]
    assert config(objective="dpo").beta == 0.1


def test_choices_are_the_objectives():
    (objective,) = (field for field in dataclasses.fields(SPOConfig) if field.name == "objective")
    assert tuple(objective.metadata["choices"]) == OBJECTIVES


def test_config_survives_its_own_serialisation(config):
    # A resumed or relaunched run rebuilds the config from its dictionary.
    original = config(gamma=0.7)
    rebuilt = SPOConfig(**{**json.loads(original.to_json_string()), "output_dir": original.output_dir})
    assert rebuilt.settings == original.settings


def test_overrides_only_what_the_docstring_names():
    own = {name for name, member in vars(SPOTrainer).items() if inspect.isfunction(member)}
    assert own & set(dir(DPOTrainer)) == {"__init__", "_prepare_dataset", "_compute_loss"}
    for name in ("_prepare_dataset", "_compute_loss"):
        assert name in SPOTrainer.__doc__
