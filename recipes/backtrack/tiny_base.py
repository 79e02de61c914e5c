"""Pretrains the lab's Judger, which `tiny_model` writes untrained: it learns to see what is on a screen, as the large
models that judgers are trained from can.

    python -m setaria.recipes.backtrack.tiny_model --world WORLD/train --output UNTRAINED
    accelerate launch --config_file accelerate_configs/cpu_ddp.yaml -m setaria.recipes.backtrack.tiny_base \
        --model UNTRAINED --world WORLD/train --output MODEL \
        --rows ticking=7000 presence=4000 judging=7000 --steps 2500

`setaria lab backtrack --judger_base MODEL` trains its Judger from it.
"""

from argparse import ArgumentParser, ArgumentTypeError
from itertools import chain
from pathlib import Path

from accelerate import PartialState
from datasets import load_from_disk
from trl import SFTConfig, SFTTrainer

from setaria.agents.backtrack.moments import moments
from setaria.datasets_builders.gui.prompts import Prompts
from setaria.datasets_builders.gui.rows import save_rows, sft_rows
from setaria.recipes.backtrack.chats import load_processor
from setaria.recipes.backtrack.tiny_pretraining import judging_rows, presence_rows, ticking_rows
from setaria.recipes.backtrack.world_tasks import world_tasks
from setaria.recipes.errors import one_line_errors
from setaria.recipes.quiet_on_cpu import quiet_on_cpu


KINDS = {"ticking": ticking_rows, "presence": presence_rows, "judging": judging_rows}
BATCH = 24  # in a process


def pretrain(
    model: Path, world: Path, output: Path, counts: dict[str, int], steps: int, learning_rate: float, seed: int
) -> None:
    """Train a model on the screens of a world's split; the rows stay in `output/rows`.

    Args:
        counts: rows of each kind.

    Raises:
        ValueError: for a world that cannot be used.
    """
    processor = load_processor(str(model))
    with PartialState(cpu=True).main_process_first():
        if not (output / "rows").exists():
            write_rows(world, Prompts.of_processor("qwen2_vl", processor), output / "rows", counts, seed)
    trainer = SFTTrainer(
        str(model),
        SFTConfig(
            output_dir=str(output),
            max_steps=steps,
            learning_rate=learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=min(100, steps),
            adam_beta2=0.98,
            per_device_train_batch_size=BATCH,
            max_length=None,
            **quiet_on_cpu(seed) | {"logging_strategy": "steps", "logging_steps": 50},
        ),
        train_dataset=sft_rows(load_from_disk(str(output / "rows")), None),
        processing_class=processor,
    )
    trainer.train()
    trainer.save_model(str(output))
    if trainer.accelerator.is_main_process:
        trainer.state.save_to_json(str(output / "trainer_state.json"))


def write_rows(world: Path, prompts: Prompts, folder: Path, counts: dict[str, int], seed: int) -> None:
    """Write the rows of pretraining, about pages as often as the tasks of `world` lead there."""
    graphs, tasks = world_tasks(world)
    pages = [moment.page for moment in moments(tasks, graphs)]
    rows = (KINDS[kind](pages, count, prompts, seed) for kind, count in counts.items())
    save_rows(chain.from_iterable(rows), folder)


def _count(text: str) -> tuple[str, int]:
    kind, _, count = text.partition("=")
    if kind not in KINDS or not count.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not KIND=COUNT with a kind of {', '.join(KINDS)}")
    return kind, int(count)


def main(argv: list[str] | None = None) -> None:
    parser = ArgumentParser(description="Pretrain the tiny model on the screens of a world.", allow_abbrev=False)
    parser.add_argument("--model", type=Path, required=True, help="the model to start from")
    parser.add_argument("--world", type=Path, required=True, help="folder with graphs and tasks.jsonl")
    parser.add_argument("--output", type=Path, required=True, help="folder of the pretrained model")
    parser.add_argument(
        "--rows", type=_count, nargs="+", required=True, metavar="KIND=COUNT", help=f"of {', '.join(KINDS)}"
    )
    parser.add_argument("--steps", type=int, required=True, help="of training")
    parser.add_argument("--learning_rate", type=float, default=2e-3, help="highest; default: 0.002")
    parser.add_argument("--seed", type=int, default=0, help="of rows and their order; default: 0")
    args = parser.parse_args(argv)
    with one_line_errors():
        pretrain(args.model, args.world, args.output, dict(args.rows), args.steps, args.learning_rate, args.seed)


if __name__ == "__main__":
    main()
