"""Trains the tagger, the field's NER stage, with the stock Trainer: tweet, `<EOS>`, knowledge; a CRF over the tweet.

    accelerate launch --config_file accelerate_configs/single_gpu.yaml -m setaria.recipes.makar.tagger \
        --config recipes/makar/tagger.yaml --data GMNER [--knowledge FILE] [--key value ...]

`setaria train makar-tagger --config RECIPE` is the same in one command. `setaria.agents.makar.tagger` asks what it
saves.
"""

import sys
from typing import TYPE_CHECKING, Any

from setaria.recipes.errors import one_line_errors
from setaria.recipes.preflight import preflight, require


if TYPE_CHECKING:
    from torch.optim import Optimizer
    from transformers import PreTrainedTokenizerBase

    from setaria.models.tagger import Tagger
    from setaria.recipes.makar.tagger_arguments import TaggerTrainingArguments


FIELDS = (
    "transformers.training_args:TrainingArguments",
    "setaria.recipes.makar.tagger_arguments:TaggerTrainingArguments",
    "trl.trainer.model_config:ModelConfig",
    "setaria.recipes.makar.tagger_arguments:TaggerArguments",
)
NOT_HERE = ("use_peft", "load_in_4bit", "load_in_8bit")


def main(argv: list[str] | None = None) -> None:
    argv = preflight(sys.argv[1:] if argv is None else argv, FIELDS, check_values)
    with one_line_errors():
        train(argv)


def check_values(values: dict[str, Any]) -> None:
    """Raise a `ValueError` for values that do not go together; see `preflight`."""
    require(values, {"model_name_or_path": "an encoder's checkpoint folder or name on the Hub"})
    if bool(values.get("data")) == bool(values.get("rows")):
        raise ValueError("give one of data, a folder in Twitter-GMNER's layout, and rows, a folder of released files")
    if values.get("knowledge") and values.get("rows"):
        raise ValueError("knowledge goes with data: released rows have theirs in them")
    for name in NOT_HERE:
        if values.get(name):
            raise ValueError(f"{name}: the tagger trains all weights")


def train(argv: list[str]) -> None:
    """Train and save."""
    from transformers import Trainer
    from trl import ModelConfig, TrlParser

    from setaria.datasets_builders.mner.tagger_rows import label_names
    from setaria.models.tagger import Tagger
    from setaria.recipes.makar.tagger_arguments import TaggerArguments, TaggerTrainingArguments
    from setaria.recipes.makar.tagger_data import Collator, encode_rows, read_rows, refuse_lost_entities
    from setaria.recipes.makar.tagger_scores import TaggerScores
    from setaria.recipes.training_run import TrainingRun

    settings = TrlParser((TaggerArguments, TaggerTrainingArguments, ModelConfig)).parse_args_and_config(argv)
    script_args, training_args, model_args = settings
    splits = {"train": read_rows(script_args, script_args.train_split)}
    if training_args.eval_strategy != "no":
        splits["eval"] = read_rows(script_args, script_args.eval_split)
    labels = label_names(row for rows in splits.values() for row in rows)
    run = TrainingRun(training_args, model_args, settings)
    tokenizer = tokenizer_for(model_args.model_name_or_path, model_args.model_revision, script_args.max_length)
    examples = {}
    for split, rows in splits.items():
        examples[split], truncation = encode_rows(rows, labels, tokenizer)
        if training_args.process_index == 0:
            print(f"setaria: {split}: {truncation}", file=sys.stderr)
        if split == "train":
            refuse_lost_entities(truncation, script_args.max_length)
    model = Tagger.on_encoder(
        model_args.model_name_or_path,
        labels,
        script_args.crf,
        script_args.word_dropout,
        **training_args.model_init_kwargs,
    )
    trainer = Trainer(
        model=model,
        args=training_args,
        data_collator=Collator(tokenizer),
        train_dataset=examples["train"],
        eval_dataset=examples.get("eval"),
        processing_class=tokenizer,
        compute_metrics=TaggerScores(splits["eval"], labels) if "eval" in splits else None,
        callbacks=run.callbacks,
        optimizers=(optimizer_for(model, training_args), None),
    )
    run.finish(trainer, script_args.data or script_args.rows)


def tokenizer_for(checkpoint: str, revision: str, max_length: int) -> "PreTrainedTokenizerBase":
    """The tokenizer of an encoder, for words, that cuts at `max_length` and is saved so.

    Raises:
        ValueError: for a `max_length` beyond what the encoder reads.
    """
    from transformers import AutoTokenizer

    # byte-level tokenizers take words only with a space before the first
    tokenizer = AutoTokenizer.from_pretrained(checkpoint, revision=revision, add_prefix_space=True)
    if max_length > tokenizer.model_max_length:
        raise ValueError(f"max_length={max_length}: {checkpoint} reads {tokenizer.model_max_length} pieces at most")
    tokenizer.model_max_length = max_length
    return tokenizer


def optimizer_for(model: "Tagger", args: "TaggerTrainingArguments") -> "Optimizer":
    """The optimizer that `args` name, with a learning rate of its own for the CRF; all weights decay, as released."""
    from transformers import Trainer

    optimizer, settings = Trainer.get_optimizer_cls_and_kwargs(args, model)
    rest = [weights for name, weights in model.named_parameters() if not name.startswith("crf.")]
    groups = [{"params": rest}, {"params": list(model.crf.parameters()), "lr": args.crf_learning_rate}]
    return optimizer(groups, weight_decay=args.weight_decay, **settings)


if __name__ == "__main__":
    main()
