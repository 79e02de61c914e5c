"""An untrained tiny encoder, with a tokenizer for the words of a training split, as the tagger's start on a CPU.

python -m setaria.recipes.makar.tiny_encoder --data WORLD --output ENCODER
"""

from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path

from setaria.datasets_builders.mner.gmner import read_gmner
from setaria.models.tiny_encoder import tiny_bert, word_piece_tokenizer
from setaria.recipes.errors import one_line_errors


def save_tiny_encoder(folder: Path, texts: Iterable[str], seed: int = 0) -> None:
    """Write an untrained BERT and its tokenizer, trained on `texts`."""
    tokenizer = word_piece_tokenizer(texts)
    tokenizer.save_pretrained(folder)
    tiny_bert(tokenizer, seed).save_pretrained(folder)


def main(argv: list[str] | None = None) -> None:
    parser = ArgumentParser(description="Write the untrained tiny encoder for a world.", allow_abbrev=False)
    parser.add_argument("--data", type=Path, required=True, help="folder in Twitter-GMNER's layout")
    parser.add_argument("--output", type=Path, required=True, help="folder of the encoder")
    parser.add_argument("--seed", type=int, default=0, help="of its weights; default: 0")
    args = parser.parse_args(argv)
    with one_line_errors():
        save_tiny_encoder(args.output, (tweet.text for tweet in read_gmner(args.data, "train")), args.seed)


if __name__ == "__main__":
    main()
