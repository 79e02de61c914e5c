# Every target sets up .venv first when it is missing or when the dependencies have changed.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
INSTALLED_COPY := build/typecheck
TEST_ENV := OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 TORCH_EXTENSIONS_DIR=$(CURDIR)/.venv/torch_extensions
SUDO := $(shell test "$$(id -u)" = 0 || echo sudo)

.PHONY: demo dev test test-slow lint browser clean

demo: $(READY)  ## train, evaluate and report on a small generated world, on a CPU
	$(BIN)/setaria demo

dev: $(READY)  ## the environment only

test: $(READY)  ## everything but the slow tests
	$(TEST_ENV) $(BIN)/python -m pytest -m "not slow"

test-slow: $(READY)
	$(TEST_ENV) $(BIN)/python -m pytest -m slow

lint: $(READY)  ## style, format, and types of an installed copy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build
	$(BIN)/python -m pip install --quiet --no-deps --target $(INSTALLED_COPY) .
	cd $(INSTALLED_COPY) && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml \
		$$(for package in setaria/*; do echo -p setaria.$$(basename $$package); done)

browser:  ## chromium for the browser tests (Debian, Ubuntu)
	command -v chromedriver >/dev/null || { $(SUDO) apt-get update -q && $(SUDO) apt-get install -q -y chromium chromium-driver; }

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,deepspeed,bitsandbytes,eval]'
	touch $(READY)
