# `make help` lists what there is.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-all format bench figures picture teacher voices clean

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(VENV)/installed  ## set up .venv, then replay half a minute of bundled speech in the terminal
	$(BIN)/livesr replay tests/data/conversation.flac --pace

test: $(VENV)/tested  ## lint, types and all tests but the slow ones (some minutes)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy livesr export tests examples
	$(BIN)/mypy --platform win32 livesr
	$(BIN)/mypy --platform darwin livesr
	$(BIN)/python -m pytest -m "not slow" $(COVERAGE)

test-all: $(VENV)/tested  ## `make test`, then the slow tests, and the gate on coverage
	$(MAKE) test COVERAGE="--cov --cov-report= --cov-fail-under=0"
	$(BIN)/python -m pytest -m slow --cov --cov-append

format: $(VENV)/tested  ## format the code, and mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/installed  ## what livesr costs on this machine
	$(BIN)/livesr bench

figures: $(VENV)/installed  ## measure again, and write docs/performance.md (half an hour)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[peers]'
	$(BIN)/python -m export.peers --write

picture: $(VENV)/installed  ## draw docs/view.svg from the program
	$(BIN)/python -m export.picture docs/view.svg

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/tested: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

# --no-deps: two files of the package are read, and nothing of it is imported.
teacher: $(VENV)/installed  ## install the teacher network for distillation (export/teacher.py)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps pipecat-ai==1.14.0

voices: $(VENV)/installed  ## fetch unlabelled speech for distillation (export/unlabelled.py; Debian)
	mkdir -p .cache/raw
	cd .cache/raw && for language in it ru; do \
		apt-get download asterisk-core-sounds-$$language-g722 && \
		dpkg -x asterisk-core-sounds-$$language-g722_*.deb asterisk-$$language || exit 1; done
	$(BIN)/python -m export.unlabelled .cache/raw .cache/voices

clean:  ## remove what tests and builds leave behind; runs/ and .cache/ stay
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
