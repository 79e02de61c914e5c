"""Checkpoints are evaluated as they are written, and the training does not notice."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from datasets import Dataset
from eval_inputs import config as eval_config
from eval_inputs import write_inputs
from peft import LoraConfig
from preference_rows import conversational, history
from transformers import TrainerCallback, set_seed
from trl import GRPOConfig, GRPOTrainer

from setaria.evaluation import evaluate
from setaria.evaluation.callback import EvaluateCheckpoints, training_config
from setaria.evaluation.results import Results
from setaria.models.tiny import byte_tokenizer, tiny_llama
from setaria.trainers import SPOConfig, SPOTrainer


ARGS = {
    "bf16": False,
    "disable_tqdm": True,
    "learning_rate": 1e-2,
    "logging_steps": 2,  # so that a checkpoint falls between, with metrics that are not logged yet
    "max_steps": 6,  # three epochs, each of which draws an order
    "report_to": "none",
    "save_steps": 3,
    "use_cpu": True,
}
LORA = {"r": 4, "lora_dropout": 0.5, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}


@pytest.fixture
def spo(tiny_checkpoint, tmp_path):
    """An SPOTrainer on the tiny Llama with dropout, which draws at each step."""

    def build(name: str = "run", lora: bool = False, **options) -> SPOTrainer:
        model_options = {"model_init_kwargs": {"attention_dropout": 0.5, "dtype": "float32"}}
        args = SPOConfig(str(tmp_path / name), **ARGS | {"per_device_train_batch_size": 4} | model_options | options)
        peft = LoraConfig(**LORA) if lora else None
        set_seed(1)  # of the adapter
        return SPOTrainer(str(tiny_checkpoint), args, conversational(), peft_config=peft)

    return build


@pytest.fixture
def asked(tiny_checkpoint, tmp_path):
    """Completions of two prompts, without and with a quantised cache."""
    files = write_inputs(tmp_path)
    tasks = {"tasks": {"completion": files["completion"]}, "limit": 2, "max_new_tokens": 6}
    return eval_config(tiny_checkpoint, tmp_path, caches=("none", "kivi-2"), output=tmp_path / "eval", **tasks)


def lines(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("lora", [False, True])
def test_losses_are_those_of_a_run_that_is_not_watched(spo, asked, lora):
    alone = spo("alone", lora)
    alone.train()
    watched = spo("watched", lora)
    watched.add_callback(EvaluateCheckpoints(watched, asked))
    watched.train()
    assert len(history(alone, "loss")) == 3
    for name in ("loss", "grad_norm", "rewards/margins"):
        assert history(watched, name) == history(alone, name)
    assert watched.model.training
    assert {folder.name for folder in asked.output.iterdir()} == {"checkpoint-3", "checkpoint-6", "metrics.jsonl"}


@pytest.mark.parametrize("lora", [False, True])
def test_values_are_those_of_setaria_eval(spo, asked, lora, tiny_checkpoint, tmp_path):
    trainer = spo(lora=lora)
    trainer.add_callback(EvaluateCheckpoints(trainer, asked))
    trainer.train()
    folder = str(tmp_path / "run" / "checkpoint-6")
    given = {"models": (str(tiny_checkpoint),), "adapters": (folder,)} if lora else {"models": (folder,)}
    again = evaluate(type(asked)(**vars(asked) | given | {"output": tmp_path / "again"}))
    values = {(one.setting, one.metric): one.value for one in again.scores}
    assert values == {
        (one.setting, one.metric): one.value for one in Results.read(asked.output / "checkpoint-6").scores
    }
    found = lines(asked.output)
    assert [(line["step"], line["setting"]) for line in found] == [
        (3, "checkpoint-3"),
        (3, "checkpoint-3 / kivi-2"),
        (6, "checkpoint-6"),
        (6, "checkpoint-6 / kivi-2"),
    ]
    assert found[3] == {
        "step": 6,
        "setting": "checkpoint-6 / kivi-2",
        "cache": "kivi-2",
        "drafter": "none",
        "completion/exact_match": values["checkpoint-6 / kivi-2", "exact_match"],
        "completion/tokens": values["checkpoint-6 / kivi-2", "tokens"],
    }
    logged = [entry for entry in trainer.state.log_history if "eval_completion/tokens" in entry]
    assert [entry["step"] for entry in logged] == [3, 6]
    assert set(logged[1]) == {
        "step",
        "epoch",
        *(f"eval_{cache}completion/{metric}" for cache in ("", "kivi-2/") for metric in ("exact_match", "tokens")),
    }
    assert logged[1]["eval_kivi-2/completion/tokens"] == values["checkpoint-6 / kivi-2", "tokens"]


def test_sampling_goes_on_as_without(tiny_checkpoint, asked, tmp_path):
    """Rollouts of GRPO are drawn at every step."""
    tokenizer = byte_tokenizer()
    losses = []
    for name in ("alone", "watched"):
        options = {"max_completion_length": 6, "num_generations": 2, "per_device_train_batch_size": 2}
        trainer = GRPOTrainer(
            tiny_llama(tokenizer),
            lambda completions, **columns: [float(len(set(one))) for one in completions],
            GRPOConfig(str(tmp_path / name), **ARGS | options | {"max_steps": 4}),
            Dataset.from_list([{"prompt": f"Page {number}?"} for number in range(4)]),
            processing_class=tokenizer,
        )
        if name == "watched":
            trainer.add_callback(EvaluateCheckpoints(trainer, asked))
        trainer.train()
        losses.append([history(trainer, key) for key in ("loss", "reward", "grad_norm", "completions/mean_length")])
    assert losses[0] == losses[1]
    assert [line["step"] for line in lines(asked.output)] == [3, 3, 4, 4]


class Killed(TrainerCallback):
    """The run ends as if it was killed, before a checkpoint's evaluation is written down."""

    def on_save(self, args, state, control, **kwargs):
        if state.global_step == 3:
            raise KeyboardInterrupt


def test_a_resumed_run_finishes_what_was_interrupted_and_nothing_else(spo, asked, tmp_path):
    trainer = spo(logging_steps=1)
    trainer.add_callback(Killed())
    trainer.add_callback(EvaluateCheckpoints(trainer, asked))
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert not (asked.output / "metrics.jsonl").exists()

    resumed = spo(logging_steps=1)
    resumed.add_callback(EvaluateCheckpoints(resumed, asked))
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-3"))
    assert [line["step"] for line in lines(asked.output)] == [3, 3, 6, 6]
    whole = spo("whole", logging_steps=1)
    whole.train()
    assert history(resumed, "loss")[3:] == history(whole, "loss")[3:]

    before = {file: file.stat().st_mtime_ns for file in asked.output.rglob("*.json*")}
    again = spo(max_steps=9, logging_steps=1)
    again.add_callback(EvaluateCheckpoints(again, asked))
    again.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-6"))
    assert [line["step"] for line in lines(asked.output)] == [3, 3, 6, 6, 9, 9]
    for file, changed in before.items():
        assert (file.stat().st_mtime_ns == changed) == (file.name != "metrics.jsonl"), file


def test_the_last_checkpoint_of_a_stopped_run_waits(spo, asked):
    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 4:
                control.should_save = control.should_training_stop = True

    trainer = spo()
    trainer.add_callback(Stop())
    trainer.add_callback(EvaluateCheckpoints(trainer, asked))
    trainer.train()
    assert (Path(trainer.args.output_dir) / "checkpoint-4").is_dir()
    assert {line["step"] for line in lines(asked.output)} == {3}


def test_what_cannot_be_loaded_is_noted_and_training_goes_on(spo, asked):
    """As a sharded state leaves it: no whole weights, only shards in a folder."""

    class Shard(TrainerCallback):
        def on_save(self, args, state, control, **kwargs):
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            (folder / "pytorch_model_fsdp_0").mkdir()
            shutil.move(folder / "model.safetensors", folder / "pytorch_model_fsdp_0" / "__0_0.distcp")

    trainer = spo()
    trainer.add_callback(Shard())
    trainer.add_callback(EvaluateCheckpoints(trainer, asked))
    trainer.train()
    note = "no whole weights (*.safetensors, *.bin), as of a sharded state"
    assert lines(asked.output) == [{"step": 3, "note": note}, {"step": 6, "note": note}]
    assert len(history(trainer, "loss")) == 3


def test_a_base_model_that_was_made_in_memory_is_noted(asked, tmp_path):
    tokenizer = byte_tokenizer()
    args = SPOConfig(str(tmp_path / "run"), **ARGS | {"max_steps": 1})
    trainer = SPOTrainer(
        tiny_llama(tokenizer), args, conversational(), processing_class=tokenizer, peft_config=LoraConfig(**LORA)
    )
    trainer.add_callback(EvaluateCheckpoints(trainer, asked))
    trainer.train()
    assert lines(asked.output)[0]["note"] == "the adapter does not name its base model, which was made in memory"


def test_a_checkpoint_that_was_written_again_is_noted(spo, asked, tmp_path):
    trainer = spo(max_steps=3)
    trainer.add_callback(EvaluateCheckpoints(trainer, asked))
    trainer.train()
    shutil.rmtree(tmp_path / "run")
    again = spo(max_steps=3)
    again.add_callback(EvaluateCheckpoints(again, asked))
    again.train()
    (line,) = lines(asked.output)
    assert "holds items that were made with another checkpoint checkpoint-3" in line["note"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("tasks: {completion: PROMPTS}\nmodels: [a]", "models: the run's own checkpoints are evaluated, leave it out"),
        ("caches: [none]", "tasks is needed"),
        ("tasks: {completion: PROMPTS}\ncaches: kivi", "caches='kivi' is not one of .* mean 'kivi-"),
        ("tasks: [completion", "no YAML"),
        ("taks: {}", "taks is not known; keys are"),
    ],
)
def test_bad_files_are_named(text, named, tmp_path):
    prompts = write_inputs(tmp_path)["completion"]
    file = tmp_path / "eval.yaml"
    file.write_text(text.replace("PROMPTS", str(prompts)))
    with pytest.raises(ValueError, match=f"{file}: .*{named}"):
        training_config(file, "out")


def test_a_damaged_file_of_metrics_is_named(spo, asked):
    asked.output.mkdir()
    (asked.output / "metrics.jsonl").write_text('{"step": 1}\n[]\n')
    with pytest.raises(ValueError, match=r"metrics.jsonl:2: no line of an evaluation"):
        EvaluateCheckpoints(spo(), asked)


def test_the_spo_script_takes_it(tiny_checkpoint, pairs_file, tmp_path, capsys):
    from setaria.recipes.spo.train import main

    tasks = {"completion": str(write_inputs(tmp_path)["completion"])}
    (tmp_path / "eval.yaml").write_text(yaml.safe_dump({"tasks": tasks, "limit": 1, "max_new_tokens": 4}))
    tiny = str(Path(__file__).parents[2] / "recipes" / "spo" / "tiny.yaml")
    flags = ["--config", tiny, "--model_name_or_path", str(tiny_checkpoint), "--dataset_name", str(pairs_file)]
    flags += ["--output_dir", str(tmp_path / "out"), "--disable_tqdm", "true", "--max_steps", "2", "--save_steps", "1"]
    main([*flags, "--eval_config", str(tmp_path / "eval.yaml")])
    assert [line["step"] for line in lines(tmp_path / "out" / "eval")] == [1, 2]
    events = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert [event["step"] for event in events if "eval_completion/tokens" in event] == [1, 2]
    for bad, named in (
        (["--eval_config", "nowhere.yaml"], "eval_config=nowhere.yaml: there is no such file"),
        (["--eval_config", tiny, "--save_strategy", "no"], "eval_config evaluates checkpoints: set save_strategy"),
    ):
        with pytest.raises(SystemExit):
            main([*flags, *bad])
        assert named in capsys.readouterr().err
