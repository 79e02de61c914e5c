"""What cannot be evaluated is named before a model is loaded, where that is possible."""

import json
import shutil

import pytest
from eval_inputs import config
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from setaria.cli.main import main
from setaria.evaluation import evaluate


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"caches": ("xquant-1.5",)}, r"caches='xquant-1.5' is not one of none, .*\(did you mean 'xquant-1.\d+'\?\)"),
        ({"drafters": ("tire",)}, r"drafters='tire' is not one of none, trie \(did you mean 'trie'\?\)"),
        ({"caches": ("none", "none")}, "caches: one of none, none is given twice"),
        ({"dtype": "half"}, "dtype='half' is not one of auto"),
        ({"batch_size": 0}, "batch_size=0: at least 1"),
        ({"tasks": {}}, "tasks: at least one"),
        ({"load_in_4bit": True, "load_in_8bit": True}, "exclude each other"),
        ({"load_in_4bit": True, "merge_adapter": True}, "merge_adapter=True: weights of 4 or 8 bits"),
    ],
)
def test_settings(settings, message, tiny_checkpoint, tmp_path):
    with pytest.raises(ValueError, match=message):
        config(tiny_checkpoint, tmp_path, **settings)


def test_a_task_that_is_not_known(tiny_checkpoint, tmp_path):
    with pytest.raises(ValueError, match=r"tasks='fidelty' .*\(did you mean 'fidelity'\?\)"):
        config(tiny_checkpoint, tmp_path, tasks={"fidelty": tmp_path})


def test_a_folder_without_weights(tiny_checkpoint, tmp_path):
    empty = shutil.copytree(tiny_checkpoint, tmp_path / "empty", ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(ValueError, match="the folder has no weights"):
        evaluate(config(empty, tmp_path))


def test_an_adapter_of_another_model(tiny_checkpoint, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(tiny_checkpoint)
    get_peft_model(model, LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM")).save_pretrained(tmp_path / "a")
    described = json.loads((tmp_path / "a/adapter_config.json").read_text())
    described["target_modules"] = ["query_key_value"]
    (tmp_path / "a/adapter_config.json").write_text(json.dumps(described))
    with pytest.raises(ValueError, match="does not go with"):
        evaluate(config(tiny_checkpoint, tmp_path, adapters=(str(tmp_path / "a"),)))


def test_an_adapter_merged_or_not(tiny_checkpoint, tmp_path):
    """A new adapter changes nothing: scores are those of the model."""
    model = AutoModelForCausalLM.from_pretrained(tiny_checkpoint)
    get_peft_model(model, LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM")).save_pretrained(tmp_path / "a")
    found = []
    for folder, settings in (
        ("plain", {}),
        ("adapted", {"adapters": (str(tmp_path / "a"),)}),
        ("merged", {"adapters": (str(tmp_path / "a"),), "merge_adapter": True}),
    ):
        (tmp_path / folder).mkdir()
        results = evaluate(config(tiny_checkpoint, tmp_path / folder, caches=("safe",), limit=1, **settings))
        found.append([pytest.approx(score.value, abs=1e-6) for score in results.scores])
    assert found[0] == found[1] == found[2]


def test_a_tokenizer_without_padding_or_template(tiny_checkpoint, tmp_path):
    bare = shutil.copytree(tiny_checkpoint, tmp_path / "bare")
    tokenizer = AutoTokenizer.from_pretrained(bare)
    tokenizer.pad_token = None
    tokenizer.chat_template = None
    tokenizer.save_pretrained(bare)
    (bare / "chat_template.jinja").unlink(missing_ok=True)
    results = evaluate(config(bare, tmp_path, limit=2))
    assert [note for note in results.notes if "no padding token" in note]
    with pytest.raises(ValueError, match="has no chat template"):
        evaluate(config(bare, tmp_path, apply_chat_template=True, output=tmp_path / "other"))


def test_an_output_folder_that_cannot_be_written(tiny_checkpoint, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="cannot be written"):
        evaluate(config(tiny_checkpoint, tmp_path, output=tmp_path / "file" / "run"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"prompts.jsonl:2: no JSON"),
        ('{"question": "x"}', r"prompts.jsonl:2: an object with a text in 'prompt'"),
        ('{"prompt": "x", "target": 3}', r"prompts.jsonl:2: target=3: a text is expected"),
    ],
)
def test_rows(line, message, tiny_checkpoint, tmp_path):
    wrong = config(tiny_checkpoint, tmp_path)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "a"}\n' + line + "\n")
    with pytest.raises(ValueError, match=message):
        evaluate(wrong)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--model is needed"),
        (["--model", "m", "--output", "o", "--tasks", "fidelity"], "fidelity needs a file: fidelity=FILE"),
        (["--model", "m", "--output", "o", "--tasks", "fidelity=none.jsonl"], "fidelity: no file none.jsonl"),
        (["compare", "a"], "compare RUN_A RUN_B or report RUN"),
    ],
)
def test_command_line(arguments, message, capsys):
    assert main(["eval", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_recipe_with_a_typo(tmp_path, capsys):
    (tmp_path / "eval.yaml").write_text("modles: [m]\n")
    assert main(["eval", "--config", str(tmp_path / "eval.yaml")]) == 2
    assert "modles is not known; keys are adapters" in capsys.readouterr().err
