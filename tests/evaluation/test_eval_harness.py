"""Tasks of lm-evaluation-harness: its own numbers without hooks, and a setting's cache and drafter in them."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from harness_tasks import TEXTS, write_tasks
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from setaria.evaluation import EvalConfig, evaluate
from setaria.evaluation.claim import claim
from setaria.evaluation.harness import HarnessTask
from setaria.evaluation.harness_loading import task_manager
from setaria.evaluation.harness_model import HarnessModel
from setaria.evaluation.items import items_file, read_items
from setaria.generation import XQuantCache


TASKS = ("st_generate", "st_rolling", "st_group")
FILTERS = ("strict-match", "flexible-extract")


@pytest.fixture(scope="module")
def include_path(tmp_path_factory):
    return write_tasks(tmp_path_factory.mktemp("harness") / "tasks")


@pytest.fixture(scope="module")
def config(tiny_checkpoint, include_path):
    """Configurations for the tiny model."""

    def build(output, tasks=TASKS, **settings):
        given = {"include_path": include_path, "dtype": "float32", "batch_size": 1}
        return EvalConfig((str(tiny_checkpoint),), dict.fromkeys(tasks), output, **given | settings)

    return build


@pytest.fixture(scope="module")
def plain(config, tmp_path_factory):
    """Results without hooks, and their configuration."""
    done = config(tmp_path_factory.mktemp("harness-plain") / "run")
    return evaluate(done), done


@pytest.fixture(scope="module")
def grid(config, tmp_path_factory):
    """The first documents in 2 caches x 2 drafters."""
    done = config(
        tmp_path_factory.mktemp("harness-grid") / "run", caches=("none", "kivi-2"), drafters=("none", "trie"), limit=2
    )
    return evaluate(done), done


@pytest.fixture(scope="module")
def of_cli(tiny_checkpoint, include_path, tmp_path_factory):
    """What the harness's own command writes: values by (task, metric)."""
    return run_cli(tiny_checkpoint, TASKS, tmp_path_factory.mktemp("harness-cli"), "--include_path", str(include_path))


def run_cli(checkpoint, tasks, output, *flags):
    model = ["--model", "hf", "--model_args", f"pretrained={checkpoint},dtype=float32", "--device", "cpu"]
    command = [sys.executable, "-m", "lm_eval", "run", *model, "--tasks", ",".join(tasks), *flags]
    done = subprocess.run(
        [*command, "--output_path", str(output), "--log_samples"],
        capture_output=True,
        text=True,
        env=os.environ | {"DISABLE_MULTIPROC": "1"},
    )
    assert done.returncode == 0, done.stderr
    [results] = output.rglob("results_*.json")
    return as_values(json.loads(results.read_text())["results"])


def run_in_process(checkpoint, done, **settings):
    """The harness's results and samples of the tasks of a configuration."""
    model = HFLM(pretrained=str(checkpoint), dtype="float32", device="cpu")
    return simple_evaluate(
        model, tasks=list(done.tasks), task_manager=task_manager(done), bootstrap_iters=0, **settings
    )


def as_values(results):
    """Values of the harness's results by (task, metric), without errors and counts."""
    return {
        (task, name): value
        for task, values in results.items()
        for name, value in values.items()
        if "," in name and "_stderr," not in name
    }


def of_ours(results, setting):
    """Values as the harness names them."""
    found = {}
    for score in results.scores:
        if score.setting == setting:
            task, _, metric = score.metric.rpartition("/")
            found[task or score.task, metric] = score.value
    return found


def items(done, setting, task):
    return read_items(items_file(done.output, setting, task)).items


def test_values_without_hooks_are_the_harnesss_own(plain, of_cli, tiny_checkpoint):
    results, _ = plain
    assert of_ours(results, tiny_checkpoint.name) == of_cli
    assert of_cli.keys() == {
        *(("st_generate", f"{one},{how}") for one in ("exact_match", "chrf") for how in FILTERS),
        *(("st_rolling", f"{one},none") for one in ("word_perplexity", "byte_perplexity", "bits_per_byte")),
        *((task, f"{one},none") for task in ("st_group", "st_many", "st_few") for one in ("acc", "acc_norm")),
        ("st_few", "brier_score,none"),
    }


def test_the_values_tell_documents_apart(plain, tiny_checkpoint):
    results, done = plain
    values = of_ours(results, tiny_checkpoint.name)
    for name in (*(("st_generate", f"exact_match,{how}") for how in FILTERS), ("st_group", "acc,none")):
        assert 0 < values[name] < 1
    assert len({item.extra["responses"][0][0] for item in items(done, tiny_checkpoint.name, "st_rolling")}) == 4


def test_groups_weigh_their_tasks(plain, tiny_checkpoint):
    """acc by size, (4 a + 2 b) / 6; acc_norm as if sizes were equal, (a + b) / 2; intervals are around them."""
    results, _ = plain
    scores = {score.metric: score for score in results.scores if score.task == "st_group"}
    many, few = scores["st_many/acc,none"], scores["st_few/acc,none"]
    assert scores["acc,none"].value == pytest.approx((4 * many.value + 2 * few.value) / 6)
    many, few = scores["st_many/acc_norm,none"], scores["st_few/acc_norm,none"]
    assert scores["acc_norm,none"].value == pytest.approx((many.value + few.value) / 2)
    assert [scores[name].items for name in ("acc,none", "st_many/acc,none", "st_few/acc,none")] == [6, 4, 2]
    assert scores["acc,none"].low <= scores["acc,none"].value <= scores["acc,none"].high
    assert scores["st_few/brier_score,none"].low is None
    better = {metric.name: metric.higher_is_better for metric in results.metrics if metric.task == "st_group"}
    assert better["acc,none"] and not better["st_few/brier_score,none"]


def test_items_say_what_was_asked_said_and_wanted(plain, tiny_checkpoint):
    _, done = plain
    first, *_ = items(done, tiny_checkpoint.name, "st_group")
    likelihoods = [responses[0][0] for responses in first.extra["responses"]]
    assert first.id == "st_few/00000" and first.prompt == f"{TEXTS[0]}."
    assert first.prediction == (TEXTS[0][:4].strip(), TEXTS[0][4:16])[likelihoods[1] > likelihoods[0]]
    assert first.target == TEXTS[0][:4].strip()
    first, *_ = items(done, tiny_checkpoint.name, "st_generate")
    assert first.prompt.endswith(f"\n\n{TEXTS[0]}") and first.target == "K"


def test_paths(grid, tiny_checkpoint):
    _, done = grid
    found = {
        (cache, task): {item.path for item in items(done, f"{tiny_checkpoint.name}{cache}{drafter}", task)}
        for cache in ("", " / kivi-2")
        for drafter in ("", " / trie")
        for task in TASKS
    }
    likelihoods = ("st_rolling", "st_group")
    assert found == {
        **{(cache, "st_generate"): {"generation"} for cache in ("", " / kivi-2")},
        **{("", task): {"no_cache"} for task in likelihoods},
        **{(" / kivi-2", task): {"teacher_forced"} for task in likelihoods},
    }


def test_the_trie_changes_nothing(grid, tiny_checkpoint):
    _, done = grid
    for cache in ("", " / kivi-2"):
        for task in TASKS:
            name = f"{tiny_checkpoint.name}{cache}"
            assert items(done, name, task) == items(done, f"{name} / trie", task)


def test_likelihoods_are_read_through_the_cache(grid, tiny_checkpoint):
    _, done = grid
    model = AutoModelForCausalLM.from_pretrained(tiny_checkpoint, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoint)

    def likelihood(context, continuation):
        cache, total = XQuantCache(model.config, "kivi-2"), 0.0
        ids = context + continuation
        for place in range(len(ids) - 1):
            with torch.no_grad():
                logits = model(torch.tensor([ids[place : place + 1]]), past_key_values=cache, use_cache=True).logits
            if place >= len(context) - 1:
                total += float(torch.log_softmax(logits[0, 0], -1)[ids[place + 1]])
        return total

    rolling = items(done, f"{tiny_checkpoint.name} / kivi-2", "st_rolling")[0]
    ids = tokenizer(rolling.prompt).input_ids
    expected = likelihood([tokenizer.eos_token_id], ids)
    assert rolling.extra["responses"] == [[pytest.approx(expected, rel=1e-6)]]
    exact = items(done, tiny_checkpoint.name, "st_rolling")[0].extra["responses"][0][0]
    assert abs(expected - exact) > 1e-3  # the text is longer than what stays exact
    choice = items(done, f"{tiny_checkpoint.name} / kivi-2", "st_group")[0]
    context = tokenizer(choice.prompt).input_ids
    expected = [likelihood(context, tokenizer(" " + one).input_ids) for one in (TEXTS[0][:4], TEXTS[0][4:16])]
    assert [given[0][0] for given in choice.extra["responses"]] == [pytest.approx(one, rel=1e-6) for one in expected]


def test_drafts_over_a_quantised_cache_are_made_one_by_one(config, tmp_path, monkeypatch):
    sizes = []

    def generate(self, context, **arguments):
        sizes.append(len(context))
        return original(self, context, **arguments)

    original = HarnessModel._model_generate
    monkeypatch.setattr(HarnessModel, "_model_generate", generate)
    evaluate(config(tmp_path, ("st_generate",), caches=("kivi-2",), drafters=("none", "trie"), batch_size=4))
    assert sizes == [4, 1, 1, 1, 1]


def test_chat_template_and_limit_are_the_harnesss(config, tiny_checkpoint, tmp_path):
    """Also a metric that is no mean of numbers (f1), and batches, in which sums are in another order."""
    tasks = ("st_generate", "st_binary")
    done = config(tmp_path, tasks, apply_chat_template=True, limit=3, num_fewshot=2, batch_size=8)
    results = evaluate(done)
    own = run_in_process(tiny_checkpoint, done, apply_chat_template=True, limit=3, num_fewshot=2)
    for task in tasks:
        asked = {sample["doc_id"]: sample["arguments"][0][0] for sample in own["samples"][task]}
        assert [item.prompt for item in items(done, tiny_checkpoint.name, task)] == [asked[id] for id in range(3)]
        assert asked[0].startswith("<|im_start|>user\n") and asked[0].count("<|im_start|>user") == 3
    values = as_values(own["results"])
    assert of_ours(results, tiny_checkpoint.name) == {name: pytest.approx(values[name], rel=1e-5) for name in values}


def test_what_is_finished_is_not_asked_again(config, tiny_checkpoint, tmp_path, monkeypatch):
    done = config(tmp_path, ("st_group",))
    whole = evaluate(done)
    file = items_file(done.output, tiny_checkpoint.name, "st_group")
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:4]))
    asked = []

    def run(self, checkpoint, setting, samples):
        asked.extend(id for id, _ in samples)
        return original(self, checkpoint, setting, samples)

    original = HarnessTask.run
    monkeypatch.setattr(HarnessTask, "run", run)
    assert evaluate(done).scores == whole.scores
    assert asked == ["st_few/00000", "st_few/00001"]


def test_items_of_another_yaml_are_not_taken_for_finished(config, include_path, tmp_path):
    folder = shutil.copytree(include_path, tmp_path / "tasks")
    claim(config(tmp_path, include_path=folder))
    (folder / "st_new.yaml").write_text("task: st_new\n")
    claim(config(tmp_path, include_path=folder))
    (folder / "st_few.jsonl").write_text("{}\n")
    with pytest.raises(ValueError, match=r"another st_few\.jsonl of include_path"):
        claim(config(tmp_path, include_path=folder))


def test_a_pattern_stands_for_its_tasks(config, tmp_path):
    task = HarnessTask("st_[fg]*", config(tmp_path))  # not st_group, which has st_few
    assert [metric.name.split("/")[0] for metric in task.metrics] == [*["st_few"] * 3, *["st_generate"] * 4]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gsm8l", r"tasks='gsm8l' is none of .* \(did you mean 'gsm8k'\?\)"),
        ("fidelty", r"tasks='fidelty' .* \(did you mean 'fidelity'\?\)"),
        ("st_manny", r"\(did you mean 'st_many'\?\)"),
        ("st_x*", r"tasks='st_x\*' is none of"),
        ("st_unsafe", "tasks='st_unsafe': st_unsafe runs code that the model writes"),
        ("st_image", "tasks='st_image': st_image shows images"),
        ("st_missing", "tasks='st_missing' cannot be loaded: FileNotFoundError"),
        ("gsm8k", "tasks='gsm8k' cannot be loaded: ConnectionError"),
    ],
)
def test_tasks_that_cannot_be_used(name, said, config, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=said):
        HarnessTask(name, config(tmp_path))


def test_more_tokens_than_the_model_has_room_for(config, tmp_path):
    with pytest.raises(ValueError, match=r"tasks='st_endless'.*max tokens to generate .4000."):
        evaluate(config(tmp_path, ("st_endless",)))


def test_a_trained_model(data, config, tmp_path):
    checkpoint = data / "models" / "stories260K"
    done = replace(config(tmp_path, ("st_generate", "st_rolling", "st_binary")), models=(str(checkpoint),))
    assert of_ours(evaluate(done), "stories260K") == as_values(run_in_process(checkpoint, done)["results"])
