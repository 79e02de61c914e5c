"""MT-Bench: the second turn follows on the first answer, in FastChat's format, and a judge's grades."""

import json
import shutil

import pytest
import torch
from eval_inputs import config
from loopback_judge import judge
from transformers import AutoModelForCausalLM, AutoTokenizer

from setaria.evaluation import chats, evaluate
from setaria.evaluation.items import items_file, read_items


ROWS = [
    {"question_id": 81, "category": "writing", "turns": ["Write.", "Write again."]},
    {
        "question_id": 103,
        "category": "reasoning",
        "turns": ["Why is he there?", "Why?"],
        "reference": ["He works there.", ""],
    },
    {"question_id": 95, "category": "roleplay", "turns": ["Be a fox.", "Now a hen."], "reference": ["Yip.", "Cluck."]},
]


def bench(checkpoint, folder, rows=ROWS, **settings):
    file = folder / "question.jsonl"
    file.write_text(rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows))
    given = {"tasks": {"mt_bench": file}, "max_new_tokens": 6, "batch_size": 2}
    return config(checkpoint, folder, **given | settings)


def answered(done, slug):
    return [json.loads(line) for line in (done.output / "mt_bench" / f"{slug}.jsonl").read_text().splitlines()]


def greedy(checkpoint, prompt):
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    ids = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False).input_ids
    said = model.generate(ids, do_sample=False, max_new_tokens=6)[0, ids.size(1) :]
    return tokenizer.decode(said, skip_special_tokens=True).strip()


def test_fastchat_finds_what_it_reads_and_the_second_turn_follows_on_the_first_answer(tiny_checkpoint, tmp_path):
    done = bench(tiny_checkpoint, tmp_path)
    results = evaluate(done)
    lines = answered(done, "tiny-llama0")
    assert [line["question_id"] for line in lines] == [81, 103, 95]  # as in the file
    for line, row in zip(lines, ROWS, strict=True):
        assert list(line) == ["question_id", "answer_id", "model_id", "choices", "tstamp"]
        [choice] = line["choices"]
        first, second = choice["turns"]
        talk = f"<|im_start|>user\n{row['turns'][0]}<|im_end|>\n<|im_start|>assistant\n"
        assert first == greedy(tiny_checkpoint, talk) != ""
        talk += f"{first}<|im_end|>\n<|im_start|>user\n{row['turns'][1]}<|im_end|>\n<|im_start|>assistant\n"
        assert second == greedy(tiny_checkpoint, talk)
        assert choice["index"] == 0 and line["model_id"] == "tiny-llama0"
        assert len(line["answer_id"]) == 22 and line["tstamp"] > 1.7e9
    assert len({line["answer_id"] for line in lines}) == 3
    assert {score.metric: score.value for score in results.scores} == {"tokens": 12.0}
    assert results.notes == ("tiny-llama0, mt_bench: 3 of 3 items have an answer that max_new_tokens=6 cut short",)
    evaluate(done)
    assert answered(done, "tiny-llama0") == lines  # ids and times too


def test_without_a_chat_template_the_transcript_has_both_turns(tiny_checkpoint, tmp_path, monkeypatch):
    plain = shutil.copytree(tiny_checkpoint, tmp_path / "plain")
    (plain / "chat_template.jinja").unlink()
    done = bench(plain, tmp_path, ROWS[:1])
    results = evaluate(done)
    [line] = answered(done, "plain")
    first, second = line["choices"][0]["turns"]
    talk = "User: Write.\n\nAssistant:"
    assert first == greedy(plain, talk) != ""
    assert second == greedy(plain, f"{talk} {first}\n\nUser: Write again.\n\nAssistant:")
    assert f"{plain}: no chat template; a transcript stands in for it" in results.notes


def test_hooks_are_in_place_in_both_turns(tiny_checkpoint, tmp_path, monkeypatch):
    seen = []

    def replies(checkpoint, setting, prompts, max_new_tokens):
        seen.append((setting.cache, setting.drafter, len(prompts)))
        return original(checkpoint, setting, prompts, max_new_tokens)

    original = chats.greedy_replies
    monkeypatch.setattr(chats, "greedy_replies", replies)
    done = bench(tiny_checkpoint, tmp_path, caches=("none", "kivi-2"), drafters=("none", "trie"), limit=2)
    evaluate(done)
    grid = [(cache, drafter) for cache in ("none", "kivi-2") for drafter in ("none", "trie")]
    assert seen == [(cache, drafter, 2) for cache, drafter in grid for _ in range(2)]
    for cache in ("", "-kivi-2"):  # drafts change nothing
        plain, drafted = (answered(done, f"tiny-llama0{cache}{drafter}") for drafter in ("", "-trie"))
        assert [line["choices"] for line in plain] == [line["choices"] for line in drafted]


def grade(prompt):
    """8 for only answers and 5 for last ones, and no verdict on the second answer of the first question."""
    if "Write again." in prompt:
        return "Hm."
    return "[[8]]" if "only answer" in prompt else "[[5]]"


def test_grades_of_a_judge(tiny_checkpoint, tmp_path):
    """turn 1: three times 8; turn 2: twice 5; score: twice 6.5."""
    with judge(grade) as server:
        done = bench(tiny_checkpoint, tmp_path, judge_url=server.url, judge_model="tiny")
        results = evaluate(done)
        assert len(server.prompts) == 7  # one was asked again
        assert evaluate(done).scores == results.scores
        assert len(server.prompts) == 7
    found = {score.metric: (score.value, score.items) for score in results.scores}
    assert found == {"turn 1": (8.0, 3), "turn 2": (5.0, 2), "score": (6.5, 2), "tokens": (12.0, 3)}
    assert (
        "tiny-llama0, mt_bench: 1 of 3 items lack a verdict of the judge; 1: no verdict in its reply" in results.notes
    )


def test_what_the_judge_sees(tiny_checkpoint, tmp_path):
    with judge(grade) as server:
        done = bench(tiny_checkpoint, tmp_path, ROWS[1:], judge_url=server.url, judge_model="tiny")
        evaluate(done)
    asked = {("only answer" in one): one for one in server.prompts if "Why is he there?" in one}
    reasoning, again = asked[True], asked[False]
    assert "> He works there." in reasoning and "> Why?" not in reasoning
    assert "correct answer" not in again  # the second reference is empty
    first, second = read_items(items_file(done.output, "tiny-llama0", "mt_bench")).items[0].extra["turns"]
    for answer in (first, second):
        assert all(line in again for line in answer.splitlines())
    assert first in reasoning
    assert not any("Yip." in one or "Cluck." in one for one in server.prompts)  # roleplay has no right answer


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("[1]", r"question.jsonl:2: an object with question_id, category and turns"),
        ('{"question_id": 1, "category": "math"}', r"question.jsonl:2: turns=\[\]: two texts that are not empty"),
        ('{"question_id": 1, "category": "math", "turns": ["a"]}', r":2: turns=\['a'\]: two texts that are not empty"),
        ('{"question_id": 1, "category": "math", "turns": ["a", 2]}', r":2: turns=\['a', 2\]: a list of two texts"),
        (
            '{"question_id": 1, "category": "math", "turns": ["a", ""]}',
            r":2: turns=\['a', ''\]: two texts that are not empty",
        ),
        ('{"question_id": 1, "category": "math", "turns": ["a", "b", "c"]}', r":2: turns=.* a list of two texts"),
        ('{"question_id": null, "category": "math", "turns": ["a", "b"]}', r":2: question_id=None: a number or"),
        ('{"question_id": true, "category": "math", "turns": ["a", "b"]}', r":2: question_id=True: a number or"),
        ('{"question_id": 1, "turns": ["a", "b"]}', r":2: category=None: a text is expected"),
        ('{"question_id": 1, "category": "x", "turns": ["a", "b"], "reference": "c"}', r":2: reference='c': a list"),
        (
            '{"question_id": 81, "category": "x", "turns": ["a", "b"]}',
            r"question.jsonl: question_id=81 is there twice",
        ),
        ("{", r"question.jsonl:2: no JSON"),
    ],
)
def test_wrong_questions_are_named_before_a_model_is_loaded(row, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        evaluate(bench(tmp_path / "no model", tmp_path, json.dumps(ROWS[0]) + "\n" + row + "\n"))
