"""The monitor at work in real training runs: what it measures, when it stops a run, what it keeps and reuses."""

import json
import math

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from PIL import Image
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer

from setaria.models.tiny import byte_tokenizer, tiny_llama
from setaria.recipes.run_folder import MetricsJsonl
from setaria.trainers import OverOptimizationMonitor, SPOConfig, SPOTrainer, over_optimization_monitor
from setaria.trainers.monitor_config import MonitorConfig


NEVER = {"monitor_warn_drift": -1e6, "monitor_stop_drift": -2e6, "monitor_warn_kl": 1e6, "monitor_warn_nll_rise": 1e6}
SMALL = {"monitor_pairs": 5, "monitor_sampled_prompts": 2, "monitor_max_new_tokens": 4}


@pytest.fixture(autouse=True)
def without_png(request, monkeypatch):
    """Drawing takes longer than the rest of a test; the test that looks at the file opts out by name."""
    if "png" not in request.node.name:
        monkeypatch.setattr(over_optimization_monitor, "plot_monitor", lambda *args: None)


def pairs(count=8):
    return Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": f"say {number}"}],
                "chosen": [{"role": "assistant", "content": f"yes {number}"}],
                "rejected": [{"role": "assistant", "content": f"no, not {number}"}],
            }
            for number in range(count)
        ]
    )


def make_trainer(folder, trainer_class=SPOTrainer, config_class=SPOConfig, model=None, peft_config=None, **arguments):
    tokenizer = byte_tokenizer()
    defaults = {
        "use_cpu": True,
        "bf16": False,
        "activation_checkpointing": False,
        "report_to": "none",
        "learning_rate": 1e-2,
        "per_device_train_batch_size": 2,
        "per_device_eval_batch_size": 2,
        "max_steps": 4,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "save_strategy": "no",
        "disable_tqdm": True,
    }
    return trainer_class(
        model or tiny_llama(tokenizer),
        args=config_class(output_dir=str(folder), **{**defaults, **arguments}),
        train_dataset=pairs(),
        eval_dataset=pairs(),
        processing_class=tokenizer,
        peft_config=peft_config,
    )


def monitored(trainer, **config):
    monitor = OverOptimizationMonitor(trainer, MonitorConfig(**{**SMALL, **config}))
    trainer.add_callback(monitor)
    return monitor


def logged(trainer):
    return [entry for entry in trainer.state.log_history if "monitor/state" in entry]


def completion_logps(model, row, side):
    """Independent of the code under test: log-probabilities of a completion's tokens from the model's own logits."""
    ids = torch.tensor([row["prompt_ids"] + row[f"{side}_ids"]])
    with torch.no_grad():
        table = model(ids).logits[0, :-1].double().log_softmax(-1)
    table = table[len(row["prompt_ids"]) - 1 :]
    return table, table.gather(1, torch.tensor(row[f"{side}_ids"])[:, None])[:, 0]


def test_step_zero_is_zero(tmp_path):
    trainer = make_trainer(tmp_path)
    monitor = monitored(trainer)
    trainer.train()
    first = logged(trainer)[0]
    assert first["step"] == 0
    assert first["monitor/chosen_drift"] == first["monitor/rejected_drift"] == first["monitor/kl"] == 0.0
    assert first["monitor/nll_rise"] == first["monitor/entropy_change"] == 0.0
    assert [entry["step"] for entry in logged(trainer)] == [0, 2, 4]
    assert monitor.step_zero.next_token_logps.shape == (5, 2, 4, len(trainer.processing_class))


def test_png(tmp_path):
    trainer = make_trainer(tmp_path)
    monitored(trainer)
    trainer.train()
    with Image.open(tmp_path / "monitor.png") as image:
        assert image.size == (1320, 715)


def test_unchanged_policy_has_no_distance_to_its_cached_half_precision_distributions(tmp_path):
    trainer = make_trainer(tmp_path)
    monitor = monitored(trainer)
    _, distributions = monitor.probes.snapshot()
    again = monitor.probes.compare(distributions)
    assert again.kl.abs().max() < 1e-6


@pytest.mark.parametrize("kl_tokens", [1, 4, 50])
def test_drift_and_kl_equal_an_independent_computation(tmp_path, kl_tokens):
    trainer = make_trainer(tmp_path)
    monitor = monitored(trainer, monitor_kl_tokens=kl_tokens)
    rows = trainer.eval_dataset.select(range(5))
    sides = ("chosen", "rejected")
    before = [[completion_logps(trainer.model, row, side) for side in sides] for row in rows]
    measured, distributions = monitor.probes.snapshot()
    with torch.no_grad():
        trainer.model.lm_head.weight.mul_(3.0)
    after = [[completion_logps(trainer.model, row, side) for side in sides] for row in rows]
    again = monitor.probes.compare(distributions)

    expected = torch.tensor(
        [[(a[1] - b[1]).mean() for a, b in zip(*pair, strict=True)] for pair in zip(after, before, strict=True)]
    )
    torch.testing.assert_close((again.logps - measured.logps) / again.tokens, expected.float(), atol=1e-4, rtol=0)

    def kl(now, then):
        at = [int((index + 0.5) / kl_tokens * len(now)) for index in range(kl_tokens)]
        return (now.exp() * (now - then))[at].sum(-1).mean()

    expected = torch.tensor(
        [[kl(a[0], b[0]) for a, b in zip(*pair, strict=True)] for pair in zip(after, before, strict=True)]
    )
    assert expected.min() > 1e-3
    torch.testing.assert_close(again.kl, expected.float(), atol=1e-4, rtol=2e-3)
    entropy = torch.tensor([[-(a[0].exp() * a[0]).sum() for a in pair] for pair in after])
    torch.testing.assert_close(again.entropy, entropy.float(), atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("objective", ["spo", "cpo"])
def test_logit_is_the_objectives(tmp_path, objective):
    trainer = make_trainer(tmp_path, objective=objective)
    monitored(trainer)
    trainer.train()
    u = []
    settings = trainer.args.settings
    for row in trainer.eval_dataset.select(range(5)):
        chosen, rejected = (completion_logps(trainer.model, row, side)[1] for side in ("chosen", "rejected"))
        score = torch.mean if settings.length_normalize else torch.sum
        u.append(settings.beta * (score(chosen) - score(rejected)) - settings.gamma)
    assert logged(trainer)[-1]["monitor/u_p50"] == pytest.approx(torch.stack(u).median().item(), abs=1e-3)


def test_trl_dpo_trainer_as_baseline(tmp_path):
    model = tiny_llama(byte_tokenizer())
    model.save_pretrained(tmp_path / "start")
    model = type(model).from_pretrained(tmp_path / "start")
    trainer = make_trainer(tmp_path, DPOTrainer, DPOConfig, model=model)
    monitored(trainer, **NEVER)
    trainer.train()
    first, *_, last = logged(trainer)
    assert first["monitor/u_p50"] == 0.0
    assert last["monitor/u_p50"] > 0
    assert last["monitor/kl"] > 0


def test_lora_from_a_fresh_adapter(tmp_path):
    trainer = make_trainer(tmp_path, peft_config=LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    monitor = monitored(trainer, **NEVER)
    trainer.train()
    assert logged(trainer)[-1]["monitor/kl"] > 0
    with trainer.model.disable_adapter():
        adapter_off = monitor.probes.compare(monitor.step_zero.next_token_logps)
    torch.testing.assert_close(adapter_off.logps, monitor.step_zero.measurement.logps)
    assert adapter_off.kl.abs().max() < 1e-6


def test_vision_pairs(vision_trainer):
    trainer = vision_trainer(per_device_eval_batch_size=2)
    config = MonitorConfig(monitor_pairs=3, monitor_sampled_prompts=2, monitor_max_new_tokens=4)
    monitor = OverOptimizationMonitor(trainer, config, rows=trainer.train_dataset)
    trainer.add_callback(monitor)
    trainer.add_callback(EvaluateAtTwo(trainer))
    trainer.train()
    first, last = logged(trainer)
    assert (first["step"], last["step"]) == (0, 2)
    assert first["monitor/kl"] == 0.0 < last["monitor/kl"]
    assert last["monitor/sample_length"] > 0

    row = dict(trainer.train_dataset[0])
    batch = trainer.data_collator([row])
    mask = batch.pop("completion_mask")[:, 1:].bool()
    trainer.model.eval()
    with torch.no_grad():
        logps = (
            trainer.model(**batch).logits[:, :-1].log_softmax(-1).gather(-1, batch["input_ids"][:, 1:, None])[..., 0]
        )
    measured = monitor.probes.compare(None)
    torch.testing.assert_close(measured.logps[0], (logps * mask).sum(1), atol=1e-3, rtol=1e-4)


def test_monitor_leaves_training_as_it_is(tmp_path):
    weights = []
    for with_monitor in (False, True):
        trainer = make_trainer(
            tmp_path, model=tiny_llama(byte_tokenizer(), attention_dropout=0.3), disable_dropout=False
        )
        if with_monitor:
            monitored(trainer)
        trainer.train()
        assert trainer.model.training is False
        weights.append(trainer.model.lm_head.weight.clone())
    torch.testing.assert_close(weights[0], weights[1], atol=0, rtol=0)


class EvaluateAtTwo(TrainerCallback):
    """Evaluates after step 2 a trainer that was made without an evaluation set."""

    def __init__(self, trainer):
        self.trainer = trainer

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 2:
            self.trainer.evaluate(self.trainer.train_dataset)


class Collapse(TrainerCallback):
    """Stands for over-optimisation: after the given step every completion becomes unlikely."""

    def __init__(self, at):
        self.at = at

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if state.global_step == self.at:
            with torch.no_grad():
                model.lm_head.weight.mul_(-40.0)


def test_stop_ends_training_and_keeps_the_last_good_checkpoint(tmp_path):
    trainer = make_trainer(
        tmp_path, max_steps=12, save_strategy="steps", save_steps=2, save_total_limit=2, learning_rate=1e-6
    )
    monitor = monitored(trainer, monitor_stop_ends_training=True)
    trainer.add_callback(Collapse(at=6))
    trainer.train()
    states = {entry["step"]: entry["monitor/state"] for entry in logged(trainer)}
    assert states == {0: 0.0, 2: 0.0, 4: 0.0, 6: 2.0}
    assert trainer.state.global_step == 6
    assert monitor.last_ok_step == 4
    assert trainer.state.best_model_checkpoint == str(tmp_path / "checkpoint-4")
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-4", "checkpoint-6"]


def test_stop_only_warns_by_default(tmp_path):
    trainer = make_trainer(
        tmp_path, max_steps=8, save_strategy="steps", save_steps=2, save_total_limit=2, learning_rate=1e-6
    )
    monitored(trainer)
    trainer.add_callback(Collapse(at=4))
    trainer.train()
    assert trainer.state.global_step == 8
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-8"]


def test_checkpoint_saved_between_evaluations_is_kept_once_an_evaluation_is_good(tmp_path):
    """Saved at 3, found good at 4, and at 8 the run has collapsed; the last step is evaluated and saved by default."""
    trainer = make_trainer(
        tmp_path, max_steps=8, eval_steps=4, save_strategy="steps", save_steps=3, learning_rate=1e-6
    )
    monitored(trainer)
    trainer.add_callback(Collapse(at=5))
    trainer.train()
    assert trainer.state.best_model_checkpoint == str(tmp_path / "checkpoint-3")


def test_best_model_by_last_ok_step_is_loaded_at_the_end(tmp_path):
    trainer = make_trainer(
        tmp_path,
        max_steps=6,
        save_strategy="steps",
        save_steps=2,
        save_total_limit=1,
        learning_rate=1e-6,
        load_best_model_at_end=True,
        metric_for_best_model="monitor/last_ok_step",
        greater_is_better=True,
    )
    monitored(trainer)
    trainer.add_callback(Collapse(at=6))
    trainer.train()
    assert trainer.state.best_global_step == 4
    assert trainer.model.lm_head.weight.abs().max() < 1  # the weights before the collapse, 40 times smaller


def test_resume_reuses_step_zero(tmp_path):
    arguments = {"save_strategy": "steps", "save_steps": 2}
    whole = make_trainer(tmp_path / "whole", **arguments)
    monitored(whole)
    whole.train()
    (tmp_path / "whole" / "checkpoint-4" / "model.safetensors").unlink()
    before = (tmp_path / "whole" / "monitor_step_zero.safetensors").stat().st_mtime_ns

    resumed = make_trainer(tmp_path / "whole", **arguments)
    monitor = monitored(resumed)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert (tmp_path / "whole" / "monitor_step_zero.safetensors").stat().st_mtime_ns == before
    assert [entry["step"] for entry in logged(resumed)] == [0, 2, 4]
    assert monitor.last_ok_step == 4
    for key in ("monitor/chosen_drift", "monitor/kl", "monitor/u_p50", "monitor/sample_distinct_2"):
        assert logged(resumed)[-1][key] == pytest.approx(logged(whole)[-1][key], abs=1e-6)


def test_resume_refuses_other_probes_and_a_missing_cache(tmp_path):
    trainer = make_trainer(tmp_path, save_strategy="steps", save_steps=2)
    monitored(trainer)
    trainer.train()
    checkpoint = str(tmp_path / "checkpoint-2")

    trainer = make_trainer(tmp_path)
    monitored(trainer, monitor_pairs=4)
    with pytest.raises(ValueError, match="measured on other probes"):
        trainer.train(resume_from_checkpoint=checkpoint)

    (tmp_path / "monitor_step_zero.safetensors").unlink()
    trainer = make_trainer(tmp_path)
    monitored(trainer)
    with pytest.raises(ValueError, match=r"monitor_step_zero\.safetensors is missing"):
        trainer.train(resume_from_checkpoint=checkpoint)


def test_fresh_run_in_a_used_folder_measures_step_zero_again(tmp_path):
    for scale in (1.0, 2.0):
        model = tiny_llama(byte_tokenizer())
        with torch.no_grad():
            model.lm_head.weight.mul_(scale)
        trainer = make_trainer(tmp_path, model=model)
        monitored(trainer)
        trainer.train()
        assert logged(trainer)[0]["monitor/chosen_drift"] == 0.0


def test_metrics_reach_metrics_jsonl(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.add_callback(MetricsJsonl(str(tmp_path)))
    monitored(trainer)
    trainer.train()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    watched = [line for line in lines if "monitor/state" in line]
    assert [line["step"] for line in watched] == [0, 2, 4]
    names = {name.removeprefix("monitor/") for name in watched[-1] if name.startswith("monitor/")}
    assert names == {
        *("state", "chosen_drift", "rejected_drift", "holdout_nll", "nll_rise", "entropy", "entropy_change", "kl"),
        *("u_p05", "u_p50", "u_p95", "u_past_minimum", "u_past_pull_back"),
        *("sample_length", "sample_ended", "sample_distinct_2", "sample_repetition_4"),
    }
    assert all(math.isfinite(watched[-1][f"monitor/{name}"]) for name in names)


def test_without_kl_and_samples(tmp_path):
    trainer = make_trainer(tmp_path)
    monitored(trainer, monitor_kl_tokens=0, monitor_sampled_prompts=0)
    trainer.train()
    assert not any(name.startswith(("monitor/kl", "monitor/sample")) for name in logged(trainer)[-1])


def test_pairs_without_a_whole_completion_are_not_probes(tmp_path):
    trainer = make_trainer(tmp_path)
    complete = dict(trainer.eval_dataset[0])
    rows = [{**complete, "rejected_ids": []}, complete]
    monitor = OverOptimizationMonitor(trainer, MonitorConfig(**SMALL), rows=rows)
    assert len(monitor.probes) == 1
    with pytest.raises(ValueError, match="no probe pair"):
        OverOptimizationMonitor(trainer, MonitorConfig(**SMALL), rows=rows[:1])


def test_needs_an_evaluation_set(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.eval_dataset = None
    with pytest.raises(ValueError, match="needs an eval_dataset"):
        OverOptimizationMonitor(trainer)
