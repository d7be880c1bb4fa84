# `make help` lists what there is.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Processes that run tests: one more than there are cores, because some tests mostly wait.
# 0 is pytest's own process and no other.
JOBS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
BY_FILE = --dist loadfile --no-loadscope-reorder
SPREAD = -n $(JOBS) $(BY_FILE)
# Those that listen or draw in real time wait even more, and must not be kept waiting.
APART = -n 2 $(BY_FILE)

.DEFAULT_GOAL := help
.PHONY: help demo test types types-win32 types-darwin coverage test-all test-least test-sdist test-frozen format bench figures picture teacher clean

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(VENV)/installed  ## set up .venv, then replay half a minute of bundled speech in the terminal
	$(BIN)/livesr replay tests/data/conversation.flac --play

test: $(VENV)/tested  ## lint, types and all tests but the slow ones (some minutes)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) -j2 types types-win32 types-darwin
	$(BIN)/python -m pytest $(SPREAD) -m "not slow and not alone" $(COVERAGE)
	$(BIN)/python -m pytest $(APART) -m "not slow and alone" $(COVERAGE)

types: $(VENV)/tested  ## check the types
	$(BIN)/mypy livesr export tests examples

types-win32 types-darwin: $(VENV)/tested
	$(BIN)/mypy --platform $(@:types-%=%) --cache-dir .mypy_cache/$(@:types-%=%) livesr

coverage: $(VENV)/tested  ## `make test`, and the gate: 90 % of livesr's lines are run
	$(BIN)/python -m coverage erase
	$(MAKE) test COVERAGE="--cov --cov-append --cov-report= --cov-fail-under=0"
	$(BIN)/python -m coverage report

test-all: coverage  ## `make coverage`, then the slow tests
	$(BIN)/python -m pytest $(SPREAD) -m "slow and not alone"
	$(BIN)/python -m pytest $(APART) -m "slow and alone"

# CI gives these a part of the tests, and the last one the environment of the wheel.
LEAST = tests/app tests/files tests/model tests/stages tests/test_*.py tests/end_to_end/test_bad_input.py
SDIST = tests
FROZEN = .cache/frozen/venv

test-least: .cache/least/installed  ## the tests with the least version of every dependency
	.cache/least/bin/python -m pytest $(SPREAD) -m "not slow" $(LEAST)

.cache/least/installed: pyproject.toml tests/minimums.py $(VENV)/tested
	$(PYTHON) -m venv --clear .cache/least
	$(BIN)/python -m tests.minimums > .cache/least/constraints.txt
	.cache/least/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
		-c .cache/least/constraints.txt -e '.[test]'
	touch $@

test-sdist: $(VENV)/tested  ## the tests of the source distribution, in it
	rm -rf .cache/sdist && mkdir -p .cache/sdist
	$(BIN)/python -m pip install --quiet --disable-pip-version-check build
	$(BIN)/python -m build --sdist --outdir .cache/sdist . > /dev/null
	cd .cache/sdist && tar -xzf livesr-*.tar.gz && rm livesr-*.tar.gz && mv livesr-* livesr
	cd .cache/sdist/livesr && PYTHONPATH=$$PWD $(abspath $(BIN))/python -m pytest \
		$(SPREAD) -m "not slow" $(SDIST)

test-frozen: $(VENV)/tested  ## a program made by PyInstaller gives the same readings
	rm -rf .cache/frozen && mkdir -p .cache/frozen
	test -d $(FROZEN) || $(PYTHON) -m venv $(FROZEN)
	$(FROZEN)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile pyinstaller .
	printf 'from livesr.__main__ import main\nmain()\n' > .cache/frozen/talk.py
	cd .cache/frozen && $(abspath $(FROZEN))/bin/pyinstaller --log-level ERROR talk.py
	.cache/frozen/dist/talk/talk replay tests/data/banglaser.flac --jsonl .cache/frozen/a.jsonl \
		--report .cache/frozen/a.html
	$(BIN)/livesr replay tests/data/banglaser.flac --jsonl - | cmp - .cache/frozen/a.jsonl

format: $(VENV)/tested  ## format the code, and mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/installed  ## what livesr costs on this machine
	$(BIN)/livesr bench

figures: $(VENV)/installed  ## measure again, and write docs/performance.md (some minutes)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[peers]'
	$(BIN)/python -m export.peers --quick --write

picture: $(VENV)/tested  ## draw the pictures of README and docs from the program
	$(BIN)/python -m export.picture docs

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/tested: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

# --no-deps: two files of the package are read, and nothing of it is imported.
teacher: $(VENV)/installed  ## install the teacher network for distillation (export/features/teacher.py)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps pipecat-ai==1.14.0

clean:  ## remove what tests and builds leave behind; runs/ and .cache/ stay
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
