"""The house keeps its own rules: which folder imports which, what is packaged, what stays private."""

import ast
from pathlib import Path

import pytest
import yaml


ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "models": set(),
    "generation": set(),
    "rewards": {"models"},
    "datasets_builders": {"models", "rewards"},
    "trainers": {"models", "rewards"},
    "agents": {"models", "rewards", "datasets_builders"},
    "evaluation": {"models", "generation", "rewards", "datasets_builders", "agents"},
    "accelerate_configs": set(),
}
BELOW_RECIPES = set(MAY_IMPORT)
MAY_IMPORT["recipes"] = BELOW_RECIPES
MAY_IMPORT["cli"] = {*BELOW_RECIPES, "recipes"}
MAY_IMPORT["benchmarks"] = {*BELOW_RECIPES, "recipes"}
FOLDERS = sorted(folder for folder in MAY_IMPORT if (ROOT / folder).is_dir())
FILES = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def imported(file: Path) -> list[tuple[str, list[str]]]:
    """(module, names) of every import in `file`, also of those inside functions."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, []) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found.append((str(node.module), [alias.name for alias in node.names]))
    return found


def test_there_are_files_to_look_at():
    assert len(FILES) > 20
    assert len(TESTS) > 5


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_imports_only_what_it_may(folder):
    for file in (ROOT / folder).rglob("*.py"):
        for module, _ in imported(file):
            if module.startswith("setaria."):
                used = module.split(".")[1]
                assert used == folder or used in MAY_IMPORT[folder], f"{file} imports {module}"


def test_imports_by_the_installed_name():
    for file in [*FILES, *TESTS]:
        for module, _ in imported(file):
            assert module.split(".")[0] not in FOLDERS, f"{file}: import setaria.{module}, not {module}"


def test_private_names_stay_in_their_file():
    for file in FILES:
        for module, names in imported(file):
            if module.startswith("setaria"):
                private = [name for name in [*module.split("."), *names] if name.startswith("_")]
                assert not private, f"{file} imports {private} from {module}"


def packages_on_disk() -> set[str]:
    found = set()
    for folder in FOLDERS:
        for init in (ROOT / folder).rglob("__init__.py"):
            found.add("setaria." + ".".join(init.parent.relative_to(ROOT).parts))
    return found


def packaging() -> dict:
    tomllib = pytest.importorskip("tomllib", reason="tomllib came with Python 3.11")
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_every_subpackage_is_packaged():
    listed = packaging()
    assert set(listed["packages"]) == packages_on_disk()
    assert listed["package-dir"] == {
        name: name.removeprefix("setaria.").replace(".", "/") for name in listed["packages"]
    }


def test_every_folder_with_python_is_a_subpackage():
    for file in FILES:
        if file.relative_to(ROOT).parts[0] != "benchmarks":  # scripts, not installed
            assert (file.parent / "__init__.py").exists(), f"{file.parent} has no __init__.py"


def test_every_subpackage_is_typed():
    for package in packages_on_disk():
        folder = ROOT / package.removeprefix("setaria.").replace(".", "/")
        assert (folder / "py.typed").exists(), f"{folder} has no py.typed"


def test_no_folder_shadows_the_namespace():
    assert not (ROOT / "setaria").exists()


def test_data_files_are_packaged():
    patterns = packaging()["package-data"]
    for package in packages_on_disk():
        folder = ROOT / package.removeprefix("setaria.").replace(".", "/")
        files = {file for file in folder.iterdir() if file.is_file() and file.suffix not in (".py", ".typed")}
        covered = {file for pattern in patterns.get(package, []) for file in folder.glob(pattern)}
        assert files <= covered, f"{package}: {files - covered}"


@pytest.mark.parametrize("file", sorted((ROOT / "accelerate_configs").glob("*.yaml")), ids=lambda file: file.stem)
def test_accelerate_reads_its_configurations(file):
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(file))
    written = yaml.safe_load(file.read_text())
    assert config.num_processes == written["num_processes"]
    assert str(config.distributed_type.value) == written["distributed_type"]
    named = (written.get("deepspeed_config") or {}).get("deepspeed_config_file")
    assert named is None or (ROOT / named).is_file()
