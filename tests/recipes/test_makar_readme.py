"""MAKAR's pages name files and recipes that are there, and every command in them is one that starts."""

import argparse
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from setaria.cli.train import METHODS, accelerate_arguments
from setaria.recipes.preflight import check_arguments


ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "recipes" / "makar"
README = FOLDER / "README.md"
PAGES = [README, ROOT / "docs" / "makar.md"]
TEXT = README.read_text(encoding="utf-8")
RECIPES = sorted(FOLDER.glob("*.yaml"))
TABLE = {
    row[1]: (int(row[2]), re.findall(r"`(\w+)`", row[3]))
    for row in re.finditer(r"^\| \[([\w.]+\.yaml)\].*\| (\d+) \| (.*) \|$", TEXT, re.MULTILINE)
}
PAIRS = [(recipe, configuration) for recipe, (_, names) in TABLE.items() for configuration in names]
SCRIPTS = ("knowledge", "reasoning", "split")  # of `setaria build makar`, with keys of their own


def commands() -> list[str]:
    """The commands of the README, one line each, without variables."""
    blocks = re.findall(r"^```bash\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    found = [re.sub(r"\$\w+", "x", line.replace("$split", "dev")).strip() for line in lines]
    return [line for line in found if re.match(r"setaria |accelerate |python ", line)]


def heading(line: str) -> str:
    """The anchor of a heading."""
    return re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("https://")]
    assert links
    for link in links:
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve()
        assert target.is_file(), f"{page.name} links to {link}"
        headings = [heading(line) for line in target.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
        assert not anchor or anchor in headings, f"{page.name} links to {link}"


def test_every_recipe_is_named():
    assert len(RECIPES) >= 16
    assert [recipe.name for recipe in RECIPES if f"]({recipe.name})" not in TEXT] == []


def test_rows_or_completions_per_step():
    assert len(TABLE) >= 10
    for name, (rows, _) in TABLE.items():
        recipe = (FOLDER / name).read_text(encoding="utf-8")
        settings = yaml.safe_load(recipe)
        processes = int(re.search(r"Effective batch.* x (\d+) process", recipe)[1])
        each = settings["per_device_train_batch_size"] * settings.get("gradient_accumulation_steps", 1)
        assert each * processes == rows, name


@pytest.mark.parametrize(("recipe", "configuration"), PAIRS)
def test_pairs_can_be_launched(recipe, configuration):
    method = next(f"makar-{name}" for name in ("sft", "rl", "tagger") if name in re.split("[_.]", recipe))
    given = ["--model_name_or_path", "x", "--data" if method == "makar-tagger" else "--dataset_name", "x"]
    argv = ["--config", str(FOLDER / recipe), "--accelerate_config", configuration, "--output_dir", "x", *given]
    assert METHODS[method] in accelerate_arguments(method, argv)


@pytest.mark.parametrize("command", commands(), ids=lambda command: " ".join(command.split()[:4]))
def test_command_is_understood(command, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    match shlex.split(command, comments=True):
        case ["python", "-m", module, *rest]:
            with pytest.raises(SystemExit):
                import_module(module).main(["--help"])
            known = re.findall(r"--\w+", capsys.readouterr().out)
            assert {part for part in rest if part.startswith("--")} <= set(known)
        case ["accelerate", "launch", *rest]:
            place = rest.index("-m")
            module = import_module(rest[place + 1])
            assert rest[place + 1] in METHODS.values()
            assert Path(rest[rest.index("--config_file") + 1]).is_file()
            check_arguments(rest[place + 2 :], module.FIELDS, module.check_values)
        case ["setaria", "train", method, *rest]:
            assert METHODS[method] in accelerate_arguments(method, rest)
        case ["setaria", "build", "makar", name, *rest] if name in SCRIPTS:
            module = import_module(f"setaria.recipes.makar.{name}")
            check_arguments(rest, module.FIELDS, module.check_values)
        case ["setaria", "agent", "makar", *rest]:
            module = import_module("setaria.recipes.makar.evaluate")
            check_arguments(rest, module.FIELDS, module.check_values)
        case ["setaria", name, *rest]:
            parser = argparse.ArgumentParser(allow_abbrev=False)
            import_module(f"setaria.cli.{name}").add_arguments(parser)
            parser.parse_args(rest)
        case other:
            pytest.fail(f"no test for {other}")


def test_there_are_commands():
    found = commands()
    assert len(found) >= 20
    stages = re.findall(r"^\| [^|]+ \| `(setaria [\w -]+?)(?: RUN)?`", TEXT, re.MULTILINE)
    assert len(stages) >= 10
    assert [stage for stage in stages if not any(one.startswith(stage) for one in found)] == []
