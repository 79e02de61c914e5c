"""The script of whole episodes on a tiny Qwen3-VL: screens from `reset` and from tools, rewards, refused budgets."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, Qwen3VLConfig
from trl import ModelConfig, TrlParser, get_peft_config

from setaria.agents.backtrack.tool_environment import TOOLS, episode_rows, tool_environment
from setaria.cli.train import accelerate_arguments
from setaria.datasets_builders.gui.mobile3m import read_app_graph
from setaria.datasets_builders.gui.mobile3m_writer import write_app_graph
from setaria.datasets_builders.gui.tasks import Task, read_split, write_tasks
from setaria.datasets_builders.worlds.apps import generate_app
from setaria.models.qwen_vl import image_only_processor, tool_chat_template
from setaria.models.tiny import byte_tokenizer, tiny_qwen3_vl, trained_tokenizer
from setaria.recipes.backtrack.episode_arguments import EpisodeArguments
from setaria.recipes.backtrack.episode_budget import EpisodeBudget, clip_text, episode_budget, limit_pixels
from setaria.recipes.backtrack.rl_tools import check_values, main
from setaria.rewards.gui.actions import Click
from setaria.trainers import JudgmentGRPOConfig, JudgmentGRPOTrainer


FOLDER = Path(__file__).parents[2] / "recipes" / "backtrack"
TINY, LARGE = FOLDER / "tiny_rl_tools.yaml", FOLDER / "rl_tools_qwen3_vl_8b.yaml"
CALLS = [("click", {"ref": "Get Premium"}), ("go_back", {}), ("click", {"ref": "Get Premium"})]
PIXELS = {"shortest_edge": 4096, "longest_edge": 96 * 160}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """One app, and two tasks that the click on its advertisement does."""
    folder = tmp_path_factory.mktemp("world")
    graph = read_app_graph(write_app_graph(generate_app(0), folder, port=8100))
    home = graph.page(graph.root)
    click = next(action for action in home.actions if isinstance(action, Click) and action.text == "Get Premium")
    goal = graph.outcome(graph.root, graph.action_id(home, click))
    write_tasks(
        [Task(f"t{n}", graph.app, f"Look {n}.", graph.root, goal, ()) for n in range(2)], folder / "tasks.jsonl"
    )
    return folder


@pytest.fixture(scope="module")
def app(world):
    graphs, tasks = read_split(world)
    return tool_environment(graphs, tasks, max_steps=len(CALLS))()


@pytest.fixture(scope="module")
def tools(app):
    return [getattr(app, name) for name in TOOLS]


@pytest.fixture(scope="module")
def episodes(world, app):
    """Per task the messages of a rollout that makes `CALLS` and says that it is done."""
    found = []
    for row in episode_rows(read_split(world)[1]):
        asked = {"type": "text", "text": row["prompt"][0]["content"]}
        messages = [{"role": "user", "content": [asked, *app.reset(**row)]}]
        for name, arguments in CALLS:
            call = {"type": "function", "function": {"name": name, "arguments": arguments}}
            messages.append({"role": "assistant", "content": [], "tool_calls": [call]})
            messages.append({"role": "tool", "name": name, "content": getattr(app, name)(**arguments)})
        found.append([*messages, {"role": "assistant", "content": [{"type": "text", "text": "Done."}]}])
    return found


@pytest.fixture(scope="module")
def processor(tools, episodes):
    """A token for most words and quoted names, images of at most 15 tokens."""
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = tool_chat_template()
    texts = [tokenizer.apply_chat_template(episode, tools=tools, tokenize=False) for episode in episodes]
    tokenizer = trained_tokenizer(texts * 4, vocabulary=1000, pieces=r'"[^"]*"|\s|[^\s"]+')
    tokenizer.chat_template = tool_chat_template()
    tokenizer.padding_side = "left"
    return image_only_processor(tokenizer, patch_size=16, merge_size=2, size=PIXELS)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, tools, episodes, processor):
    """A model that has learned the episodes by heart."""
    folder = tmp_path_factory.mktemp("tiny-qwen3-vl")
    model = tiny_qwen3_vl(processor.tokenizer, text={"initializer_range": 0.2}, vision={"patch_size": 16})
    options = {"tools": tools, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
    asked = [episode[:1] for episode in episodes]
    asked = processor.apply_chat_template(asked, add_generation_prompt=True, **options)["input_ids"].size(1)
    inputs = processor.apply_chat_template(episodes, **options)
    labels = inputs["input_ids"].masked_fill(inputs["mm_token_type_ids"] > 0, -100)
    labels[:, :asked] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(200):
        loss = model(**inputs, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss < 0.015:
            break
    assert loss < 0.015
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture
def run(checkpoint, world, tmp_path):
    """Run the script in this process; returns the output folder."""

    def train(*flags: str) -> Path:
        names = ["--model_name_or_path", str(checkpoint), "--world", str(world), "--disable_tqdm", "true"]
        main(["--config", str(TINY), *names, "--output_dir", str(tmp_path / "out"), *flags])
        return tmp_path / "out"

    return train


@pytest.fixture
def batches(monkeypatch):
    """The batches that the trainer is given, after its check of their images."""
    found, check = [], JudgmentGRPOTrainer._check_images

    def checked(trainer, batch):
        check(trainer, batch)
        found.append(batch)

    monkeypatch.setattr(JudgmentGRPOTrainer, "_check_images", checked)
    return found


def logged(output_dir: Path) -> list[dict]:
    events = [json.loads(line) for line in (output_dir / "metrics.jsonl").read_text().splitlines()]
    return [event for event in events if "reward" in event]


def test_episodes_with_screens_from_reset_and_from_tools(run, batches):
    """Without chance the model does as it learned: three calls, each with a screen, and the goal."""
    events = logged(run("--temperature", "0.05", "--max_steps", "2"))
    assert [event["step"] for event in events] == [1, 2]
    for event in events:
        assert event["reward"] == event["rewards/GuiTools/mean"] == 1
        assert event["tools/call_frequency"] == 3
        assert event["tools/failure_frequency"] == 0
    assert len(batches) == 2
    for batch in batches:
        assert batch["num_images"] == [1 + len(CALLS)] * 4
        assert batch["image_grid_thw"].tolist() == [[1, 10, 4]] * 16  # 360 x 640 becomes 64 x 160
        assert batch["pixel_values"].size(0) == 16 * 40
        assert (batch["tool_mask"] == 0).any() and (batch["tool_mask"] == 1).any()


def test_what_differs_between_episodes_trains(run, batches, checkpoint):
    """With chance some calls are none or fail; the images stay, and rewards move the weights."""
    output_dir = run()
    events = logged(output_dir)
    assert any(event["reward_std"] > 0 for event in events)
    assert all(-0.1 <= event["reward"] <= 1 for event in events)
    assert len(batches) == 3
    for batch in batches:
        assert min(batch["num_images"]) >= 1
        assert batch["pixel_values"].size(0) == sum(batch["num_images"]) * 40
    before, after = (load_file(folder / "model.safetensors") for folder in (checkpoint, output_dir))
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert accelerate_arguments("backtrack-rl-tools", ["--config", str(output_dir / "run" / "config.yaml")])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--max_completion_length", "128"], "max_completion_length=128: an episode takes up to 3 steps x (24 for"),
        (["--max_completion_length", "2000"], "the model takes 2048 tokens, not the "),
        (["--image_pixels", "4000"], "image_pixels=4000: this processor shows no image with less than 4096"),
    ],
)
def test_a_budget_too_small_is_refused_before_the_model_is_loaded(run, capsys, monkeypatch, flags, message):
    monkeypatch.setattr(JudgmentGRPOTrainer, "__init__", None)
    with pytest.raises(SystemExit) as stop:
        run(*flags)
    assert stop.value.code == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("setaria: ")]
    assert message in line


def test_budget_by_hand():
    """4 (5 + 6 + 7 + 8) + 5 = 109 of the completion, 20 + 6 + 7 = 33 of the prompt."""
    budget = EpisodeBudget(steps=4, reply=5, image=6, text=7, around=8, asked=20)
    assert (budget.completion, budget.prompt) == (109, 33)
    budget.check(109, 143)
    with pytest.raises(
        ValueError, match=r"4 steps x \(5 .* 6 .* 7 .* 8 .*\) \+ 5 .* = 109 .*max_completion_length: 109"
    ):
        budget.check(108, 1000)
    with pytest.raises(ValueError, match=r"takes 142 tokens, not the 33 .* max_completion_length=109"):
        budget.check(109, 142)


def test_no_screen_takes_more_than_its_budget(processor, tools, world):
    """An outcome and a prompt, against what the processor makes of the largest image and the longest text."""
    arguments = EpisodeArguments(episode_steps=3, text_tokens=40, reply_tokens=24)
    prompts = episode_rows(read_split(world)[1])["prompt"]
    budget = episode_budget(processor, prompts, tools, arguments)
    assert budget.image == 15  # 96 x 160 in squares of 32
    text = clip_text("Look, 日本 and more. " * 40, processor.tokenizer, 40)
    assert len(text) > 20 and len(processor.tokenizer(text)["input_ids"]) <= 40
    screen = [{"type": "image", "image": Image.new("RGB", (96, 160))}, {"type": "text", "text": text}]
    call = {"type": "function", "function": {"name": "click", "arguments": {}}}
    begun = [{"role": "user", "content": screen}, {"role": "assistant", "content": [], "tool_calls": [call]}]

    def tokens(messages, **options):
        return len(processor.apply_chat_template(messages, tokenize=True, return_dict=True, **options)["input_ids"][0])

    outcome = tokens([*begun, {"role": "tool", "content": screen}], add_generation_prompt=True) - tokens(begun)
    assert budget.image + budget.text <= outcome <= budget.image + budget.text + budget.around
    first = [{"role": "user", "content": [{"type": "text", "text": prompts[0][0]["content"]}, *screen]}]
    assert tokens(first, tools=tools, add_generation_prompt=True) <= budget.prompt


def test_pixels_are_limited(processor):
    limited = image_only_processor(processor.tokenizer, patch_size=16, merge_size=2, size=PIXELS)
    limit_pixels(limited, 64 * 64)
    image = limited.image_processor(Image.new("RGB", (96, 160)), return_tensors="pt")
    assert image["image_grid_thw"].prod() * 16 * 16 <= 64 * 64
    assert processor.image_processor.size["longest_edge"] == 96 * 160


@pytest.mark.parametrize("recipe", [TINY, LARGE], ids=lambda recipe: recipe.stem)
def test_recipes(recipe, tmp_path):
    """They parse strictly, can be launched, and an episode with 40 tokens around an outcome fits into them."""
    names = ["--world", "WORLD", *(["--model_name_or_path", "MODEL"] if recipe == TINY else [])]
    flags = ["--config", str(recipe), "--use_cpu", "true", "--output_dir", str(tmp_path), *names]
    parser = TrlParser((EpisodeArguments, JudgmentGRPOConfig, ModelConfig))
    script_args, training_args, model_args = parser.parse_args_and_config(flags)
    command = accelerate_arguments("backtrack-rl-tools", ["--config", str(recipe), *names])
    assert command[:2] == ["--module", "setaria.recipes.backtrack.rl_tools"]
    budget = EpisodeBudget(
        steps=script_args.episode_steps,
        reply=script_args.reply_tokens,
        image=script_args.image_pixels // 32**2,
        text=script_args.text_tokens,
        around=40,  # 15 with Qwen's tokenizer
        asked=700,
    )
    budget.check(training_args.max_completion_length, training_args.vllm_max_model_length or 2048)
    if model_args.use_peft:
        from peft import get_peft_model

        config = Qwen3VLConfig(
            text_config={"num_hidden_layers": 2}, vision_config={"depth": 2, "deepstack_visual_indexes": [0]}
        )
        with torch.device("meta"):
            model = get_peft_model(AutoModelForImageTextToText.from_config(config), get_peft_config(model_args))
        adapted = [name for name, _ in model.named_modules() if name.endswith("lora_A")]
        assert len(adapted) == 2 * 7 and not any("visual" in name for name in adapted)


def test_values_that_do_not_go_together():
    given = yaml.safe_load(TINY.read_text()) | {"model_name_or_path": "m", "world": "w"}
    check_values(given)
    for name in ("model_name_or_path", "world", "ce_coef", "judger_weight"):
        with pytest.raises(ValueError, match=name):
            check_values({key: value for key, value in given.items() if key != name})
    with pytest.raises(ValueError, match="episode_steps=0"):
        EpisodeArguments(episode_steps=0)
