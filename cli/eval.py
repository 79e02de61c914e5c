"""`setaria eval`: checkpoints on tasks, with and without a quantised cache and speculative decoding, and a report."""

import sys
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from dataclasses import fields
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    parser.usage = (
        "setaria eval --model PATH ... --tasks NAME[=FILE] ... [--cache NAME ...] [--drafter NAME ...] --output DIR\n"
        "       setaria eval compare RUN_A RUN_B\n"
        "       setaria eval report RUN"
    )
    parser.add_argument(
        "action", nargs="*", metavar="...", help="compare RUN_A RUN_B: worse ones first; report RUN: its page"
    )
    parser.add_argument("--model", dest="models", nargs="+", help="checkpoint folders or names on the Hub")
    parser.add_argument("--adapter", dest="adapters", nargs="+", help="LoRA adapters of the model, in its place")
    parser.add_argument(
        "--tasks",
        nargs="+",
        metavar="NAME[=FILE]",
        help="ours: fidelity=TEXTS, completion=PROMPTS, recall, speed=PROMPTS, lossless=PROMPTS, "
        "alpaca_eval=INSTRUCTIONS, mt_bench=QUESTIONS, backtrack=TASKS, makar=TWEETS; else lm-evaluation-harness's",
    )
    parser.add_argument("--cache", dest="caches", nargs="+", help="none or presets of xquant; default: none")
    parser.add_argument("--drafter", dest="drafters", nargs="+", help="none, trie; default: none")
    parser.add_argument("--config", type=Path, help="YAML with these settings; flags win over it")
    parser.add_argument("--output", type=Path, help="folder of the run; started again it goes on")
    parser.add_argument("--limit", type=int, help="most items of a task")
    parser.add_argument("--max_length", type=int, help="most tokens of a text; default: 512")
    parser.add_argument("--max_new_tokens", type=int, help="longest completion; default: 128")
    parser.add_argument("--batch_size", type=int, help="prompts at once in each process; default: 8")
    parser.add_argument("--dtype", help="auto, float32, bfloat16 or float16; default: auto")
    parser.add_argument("--device_map", help="accelerate's placement on several devices, such as auto")
    for flag in ("merge_adapter", "load_in_4bit", "load_in_8bit", "apply_chat_template"):
        parser.add_argument(f"--{flag}", action=BooleanOptionalAction, default=None)
    parser.add_argument("--include_path", type=Path, help="folder with your own YAML of lm-evaluation-harness")
    parser.add_argument("--num_fewshot", type=int, help="examples before each of the harness's questions")
    parser.add_argument("--recall_lengths", type=int, nargs="+", help="tokens of recall's texts")
    parser.add_argument("--recall_depths", type=float, nargs="+", help="where the answer is in them, 0 to 1")
    parser.add_argument("--rounds", type=int, help="timed runs of each of speed's prompts; default: 5")
    parser.add_argument("--judge_url", help="OpenAI-compatible endpoint that judges alpaca_eval and mt_bench")
    parser.add_argument("--judge_model", help="the judge's name at the endpoint")
    parser.add_argument("--judge_key_env", help="environment variable with its key; default: OPENAI_API_KEY")
    parser.add_argument("--seed", type=int, help="of bootstrap intervals and of recall's texts; default: 0")


def run(args: Namespace) -> int:
    """Evaluate, compare or report, and return the exit code."""
    try:
        match args.action:
            case []:
                _evaluate(args)
            case ["compare", before, after]:
                _compare(Path(before), Path(after))
            case ["report", folder]:
                from setaria.evaluation.report import write_report

                print(write_report(Path(folder)).file)
            case _:
                raise ValueError(f"{' '.join(args.action)}: compare RUN_A RUN_B or report RUN is expected")
    except (ValueError, OSError) as error:
        print(f"setaria eval: {error}", file=sys.stderr)
        return 2
    return 0


def _evaluate(args: Namespace) -> None:
    from accelerate import PartialState
    from rich.console import Console

    from setaria.evaluation import EvalConfig, evaluate
    from setaria.evaluation.config_file import as_config, read_settings
    from setaria.evaluation.console_table import results_table

    values = {} if args.config is None else read_settings(args.config)
    given = {one.name: getattr(args, one.name) for one in fields(EvalConfig)}
    values |= {name: value for name, value in given.items() if value is not None}
    for name, flag in (("models", "model"), ("tasks", "tasks"), ("output", "output")):
        if name not in values:
            raise ValueError(f"--{flag} is needed")
    config = as_config(values)
    results = evaluate(config)
    if PartialState().is_main_process:
        console = Console()
        console.print(results_table(results))
        for note in results.notes:
            console.print(note, markup=False)
        console.print(f"processes: {PartialState().num_processes}")
        console.print(f"report: {config.output / 'report.html'}")


def _compare(before: Path, after: Path) -> None:
    from rich.console import Console

    from setaria.evaluation.compare import compare

    comparison = compare(before, after)
    console = Console()
    console.print(comparison.as_table())
    for note in comparison.notes:
        console.print(note, markup=False)
