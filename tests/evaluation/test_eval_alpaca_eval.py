"""AlpacaEval: answers in the tool's format, in a chat template or without, and a judge's win rate."""

import json
import shutil

import pytest
import torch
from eval_inputs import config
from loopback_judge import judge
from transformers import AutoModelForCausalLM, AutoTokenizer

from setaria.evaluation import chats, evaluate
from setaria.evaluation.alpaca_eval import AlpacaEval
from setaria.evaluation.items import items_file, read_items
from setaria.evaluation.task_files import read_json_lines


ROWS = [
    {
        "dataset": "helpful_base",
        "instruction": "Name a fox.",
        "output": "Reynard",
        "generator": "ref",
        "datasplit": "eval",
    },
    {"dataset": "koala", "instruction": "Say: “hen” & <b>", "output": "hen", "generator": "ref"},
    {"instruction": "Count.\nTo three.", "output": "1 2 3", "generator": "ref"},
]
TIE = "Neither. [[tie]]"


def alpaca(checkpoint, folder, rows=ROWS, **settings):
    file = folder / "alpaca_eval.json"
    file.write_text(rows if isinstance(rows, str) else json.dumps(rows))
    given = {"tasks": {"alpaca_eval": file}, "max_new_tokens": 6, "batch_size": 2}
    return config(checkpoint, folder, **given | settings)


def outputs(done, slug):
    return json.loads((done.output / "alpaca_eval" / slug / "model_outputs.json").read_text())


def values(results):
    return {(one.setting, one.metric): one.value for one in results.scores}


@pytest.fixture(scope="module")
def plain_checkpoint(tiny_checkpoint, tmp_path_factory):
    """The tiny checkpoint without its chat template."""
    folder = shutil.copytree(tiny_checkpoint, tmp_path_factory.mktemp("plain") / "plain")
    (folder / "chat_template.jinja").unlink()
    assert AutoTokenizer.from_pretrained(folder).chat_template is None
    return folder


def greedy(checkpoint, prompt):
    """What plain `generate` adds to a prompt, and how many tokens that are."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    ids = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False).input_ids
    said = model.generate(ids, do_sample=False, max_new_tokens=6)[0, ids.size(1) :]
    return tokenizer.decode(said, skip_special_tokens=True).strip(), len(said)


def test_the_tool_finds_what_it_reads(tiny_checkpoint, tmp_path):
    done = alpaca(tiny_checkpoint, tmp_path, caches=("none", "kivi-2"))
    results = evaluate(done)
    expected = [
        {
            "instruction": row["instruction"],
            "output": greedy(
                tiny_checkpoint, f"<|im_start|>user\n{row['instruction']}<|im_end|>\n<|im_start|>assistant\n"
            )[0],
            "generator": tiny_checkpoint.name,
            "dataset": row.get("dataset", ""),
        }
        for row in ROWS
    ]
    assert outputs(done, "tiny-llama0") == expected
    assert {row["generator"] for row in outputs(done, "tiny-llama0-kivi-2")} == {"tiny-llama0 / kivi-2"}
    assert not list(done.output.rglob("*.tmp"))
    assert {score.metric for score in results.scores} == {"tokens"}  # nobody judged
    assert values(results)["tiny-llama0", "tokens"] == pytest.approx(6.0)
    note = "all settings, alpaca_eval: 3 of 3 items have an answer that max_new_tokens=6 cut short"
    assert results.notes == (note,)


def test_without_a_chat_template_it_is_a_transcript(plain_checkpoint, tmp_path):
    done = alpaca(plain_checkpoint, tmp_path)
    results = evaluate(done)
    said = [greedy(plain_checkpoint, f"User: {row['instruction']}\n\nAssistant:")[0] for row in ROWS]
    assert [row["output"] for row in outputs(done, "plain")] == said
    note = f"{plain_checkpoint}: no chat template; a transcript stands in for it"
    assert results.notes.count(note) == 1
    assert note in evaluate(done).notes  # where all is there already


def test_an_answer_ends_where_the_model_goes_on_for_the_user(plain_checkpoint, tmp_path, monkeypatch):
    def replies(checkpoint, setting, prompts, max_new_tokens):
        return [chats.Reply(" A fox.\n\nUser: more", [5] * max_new_tokens, 0.1) for _ in prompts]

    monkeypatch.setattr(chats, "greedy_replies", replies)
    done = alpaca(plain_checkpoint, tmp_path)
    results = evaluate(done)
    assert {row["output"] for row in outputs(done, "plain")} == {"A fox."}
    assert not any("cut short" in note for note in results.notes)


def test_hooks_are_in_place(tiny_checkpoint, tmp_path, monkeypatch):
    seen = []

    def replies(checkpoint, setting, prompts, max_new_tokens):
        seen.append((setting.cache, setting.drafter))
        return original(checkpoint, setting, prompts, max_new_tokens)

    original = chats.greedy_replies
    monkeypatch.setattr(chats, "greedy_replies", replies)
    done = alpaca(tiny_checkpoint, tmp_path, caches=("none", "kivi-2"), drafters=("none", "trie"))
    evaluate(done)
    assert seen == [(cache, drafter) for cache in ("none", "kivi-2") for drafter in ("none", "trie") for _ in range(2)]
    for cache in ("", "-kivi-2"):  # drafts change nothing
        plain, drafted = (outputs(done, f"tiny-llama0{cache}{drafter}") for drafter in ("", "-trie"))
        assert [row["output"] for row in plain] == [row["output"] for row in drafted]


def likes(reference):
    """Of the first pair the answer wins in both orders, of the second the first place, of the third the reference."""

    def says(prompt):
        first_is_reference = f"Answer A:\n> {reference(prompt)}\n\nAnswer B:" in prompt
        if "Name a fox." in prompt:
            return "[[B]]" if first_is_reference else "[[A]]"
        if "“hen”" in prompt:
            return "[[A]]"
        return "[[A]]" if first_is_reference else "[[B]]"

    return says


def reference(prompt):
    return next(row["output"] for row in ROWS if row["instruction"].splitlines()[0].split("&")[0] in prompt)


def test_the_win_rate_is_a_mean_over_both_orders(tiny_checkpoint, tmp_path):
    """1, 0.5 and 0: a judge that prefers a place gives half a win."""
    with judge(likes(reference)) as server:
        done = alpaca(tiny_checkpoint, tmp_path, judge_url=server.url, judge_model="tiny")
        results = evaluate(done)
    assert len(server.prompts) == 6
    [score] = [one for one in results.scores if one.metric == "win_rate"]
    assert (score.value, score.items, score.path) == (0.5, 3, "generation")
    verdicts = read_items(done.output / "judged" / "tiny-llama0" / "alpaca_eval.jsonl").items
    assert [item.scores["verdict"] for item in verdicts] == [1.0, 0.0, 1.0, 1.0, 0.0, 1.0]  # A and B of each
    assert [item.id.rpartition(" ")[0] for item in verdicts] == [
        f"0000{n} {place}" for n in range(3) for place in "AB"
    ]


def test_a_judge_may_come_later_and_is_asked_once(tiny_checkpoint, tmp_path, monkeypatch):
    evaluate(alpaca(tiny_checkpoint, tmp_path))
    monkeypatch.setattr(AlpacaEval, "run", None)  # answers are there
    with judge(lambda prompt: TIE) as server:
        for _ in range(2):
            results = evaluate(alpaca(tiny_checkpoint, tmp_path, judge_url=server.url, judge_model="tiny"))
            assert values(results)["tiny-llama0", "win_rate"] == 0.5
    assert len(server.prompts) == 6


def test_results_are_written_without_the_judge(tiny_checkpoint, tmp_path):
    with judge(lambda prompt: 401) as server:
        done = alpaca(tiny_checkpoint, tmp_path, judge_url=server.url, judge_model="tiny")
        results = evaluate(done)
    assert {score.metric for score in results.scores} == {"tokens"}
    assert (
        "tiny-llama0, alpaca_eval: 3 of 3 items lack a verdict of the judge; "
        f"3: {server.url}/chat/completions: status 401, 'no'"
    ) in results.notes
    assert len(outputs(done, "tiny-llama0")) == 3 and (done.output / "report.html").exists()


def test_an_item_with_one_order_only_has_no_score(tiny_checkpoint, tmp_path):
    def says(prompt):
        return "Hm." if "Answer B:\n> Reynard" in prompt else TIE

    with judge(says) as server:
        results = evaluate(alpaca(tiny_checkpoint, tmp_path, judge_url=server.url, judge_model="tiny"))
    assert len(server.prompts) == 7
    [score] = [one for one in results.scores if one.metric == "win_rate"]
    assert (score.value, score.items) == (0.5, 2)
    assert (
        "tiny-llama0, alpaca_eval: 1 of 3 items lack a verdict of the judge; 1: no verdict in its reply"
    ) in results.notes


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('["a"]', r"alpaca_eval.json\[0\]: an object with a text in 'instruction' is expected"),
        ('[{"instruction": "a"}, {"output": "b"}]', r"alpaca_eval.json\[1\]: an object with a text in 'instruction'"),
        ('[{"instruction": "a", "output": 3}]', r"alpaca_eval.json\[0\]: output=3: a text is expected"),
        ('[{"instruction": "a"}', r"alpaca_eval.json: no JSON"),
        ('{"instruction": "a"}\n{"instruction": ""}', r"alpaca_eval.json:2: an object with a text in 'instruction'"),
        ('"a"', r"alpaca_eval.json:1: an object with a text in 'instruction' is expected"),
        ("[]", r"alpaca_eval.json: empty"),
        (" ", r"alpaca_eval.json: empty"),
        ("[" * 100_000, r"alpaca_eval.json: no JSON"),
    ],
)
def test_wrong_files_are_named_before_a_model_is_loaded(rows, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        evaluate(alpaca(tmp_path / "no model", tmp_path, rows=rows))


def test_what_is_no_text_is_named(tmp_path):
    (tmp_path / "latin.jsonl").write_bytes('{"instruction": "é"}'.encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin.jsonl: no UTF-8"):
        read_json_lines(tmp_path / "latin.jsonl", "instruction")


def test_a_judge_needs_references(tmp_path):
    rows = [{"instruction": "a", "output": "b"}, {"instruction": "c"}]
    done = alpaca(tmp_path / "no model", tmp_path, rows, judge_url="http://localhost:1/v1", judge_model="tiny")
    with pytest.raises(ValueError, match=r"alpaca_eval.json: 1 of 2 instructions have no 'output' that a judge could"):
        evaluate(done)


def test_json_lines_do_as_well(tiny_checkpoint, tmp_path):
    done = alpaca(tiny_checkpoint, tmp_path, "\n".join(map(json.dumps, ROWS)), limit=2)
    evaluate(done)
    assert [row["instruction"] for row in outputs(done, "tiny-llama0")] == ["Name a fox.", "Say: “hen” & <b>"]
    [first, _] = read_items(items_file(done.output, "tiny-llama0", "alpaca_eval")).items
    assert (first.target, first.extra["cut"]) == ("Reynard", True)
