"""`setaria build makar`: a world of tweets, rows of the grounding agent, their reasoning, and their split."""

from argparse import ArgumentParser, Namespace, _SubParsersAction
from collections import Counter
from pathlib import Path


def add_method(methods: _SubParsersAction) -> None:
    """Add the sub-parsers of the method."""
    makar = methods.add_parser("makar", help="a world and rows for MAKAR's grounding agent", allow_abbrev=False)
    subjects = makar.add_subparsers(dest="what", metavar="WHAT", required=True)

    summary = "a generated world of tweets with images, in Twitter-GMNER's layout, and its web pages"
    world = subjects.add_parser("tweets", help=summary, description=summary, allow_abbrev=False)
    for split, count in (("train", 2000), ("dev", 200), ("test", 500)):
        world.add_argument(f"--{split}", type=int, default=count, help=f"tweets; default: {count}")
    _add_output(world, build_tweets)

    summary = "rows for the grounding agent, one per entity"
    rows = subjects.add_parser("rows", help=summary, description=summary, allow_abbrev=False)
    rows.add_argument("--data", type=Path, required=True, help="folder in Twitter-GMNER's or FMNERG's layout")
    rows.add_argument("--layout", choices=("gmner", "fmnerg"), default="gmner", help="default: gmner")
    rows.add_argument("--images", type=Path, help="folder with <id>.jpg, or of such folders; default: DATA/images")
    rows.add_argument("--split", default="train", help="default: train")
    rows.add_argument("--processor", required=True, help="checkpoint whose processor the model has: it sizes images")
    rows.add_argument("--family", help="family of the boxes' numbers; default: that of the checkpoint")
    rows.add_argument("--image_max_pixels", type=int, help="of an image as the model sees it; default: checkpoint's")
    rows.add_argument("--knowledge", type=Path, help="JSON lines of what is known: tweet, entity, text")
    thoughts = rows.add_mutually_exclusive_group(required=True)
    thoughts.add_argument("--reasoning", type=Path, help="JSON lines that `setaria build makar reasoning` wrote")
    thoughts.add_argument("--looks", type=Path, help="facts.jsonl of a generated world: thoughts by a template")
    thoughts.add_argument(
        "--no_reasoning", action="store_true", help="empty thoughts: for GRPO and splits, not for SFT"
    )
    rows.add_argument("--none_share", type=float, help="of None among the rows; default: all there are")
    _add_output(rows, build_rows)

    for name, summary in (
        ("knowledge", "knowledge about tweets by a chat model, corrected by search; --help lists all keys"),
        ("reasoning", "reasoning for the training entities by a chat model; --help lists all keys"),
        ("split", "easy and hard rows by a model's pass rate; --help lists all keys"),
    ):
        script = subjects.add_parser(name, help=summary, prefix_chars="\0", add_help=False)
        script.add_argument("arguments", metavar="...", nargs="*")
        script.set_defaults(build=run_script)


def build_tweets(args: Namespace) -> None:
    """Write a world."""
    from setaria.datasets_builders.worlds.tweets import write_tweets_world

    write_tweets_world(args.output, args.train, args.dev, args.test, args.seed)
    print(f"{args.output}: {args.train} + {args.dev} + {args.test} tweets")


def build_rows(args: Namespace) -> None:
    """Write the rows of a split; say what they are, and what makes none."""
    from setaria.datasets_builders.mner.grounding_prompts import GroundingPrompts
    from setaria.datasets_builders.mner.grounding_rows import count_rows
    from setaria.recipes.makar import build
    from setaria.recipes.makar.processor import family_of_checkpoint, grounding_processor

    processor = grounding_processor(args.processor, image_max_pixels=args.image_max_pixels)
    rows, left_out = build.build_rows(
        build.Source(args.data, args.layout, args.images),
        args.split,
        GroundingPrompts.of_processor(family_of_checkpoint(args.processor, args.family), processor),
        args.output,
        reasoning=args.reasoning,
        looks=args.looks,
        knowledge=args.knowledge,
        none_share=args.none_share,
        seed=args.seed,
    )
    counts = count_rows(rows)
    nones = f"{counts['None']} None ({counts['None'] / counts['rows']:.1%})"
    print(f"{args.output}: {counts['rows']} rows, {nones}, {counts['several boxes']} with several boxes")
    if left_out:
        print(f"{len(left_out)} entities have no row, see {args.output / build.LEFT_OUT}")
        for kind, count in Counter(one.kind for one in left_out).items():
            print(f"  for their {kind}: {count}")


def run_script(args: Namespace) -> None:
    """Run a script; keys, errors and exit codes are its own."""
    from importlib import import_module

    import_module(f"setaria.recipes.makar.{args.what}").main(args.arguments)


def _add_output(parser: ArgumentParser, build) -> None:
    parser.add_argument("--output", type=Path, required=True, help="folder to write; it must be empty")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.set_defaults(build=build)
