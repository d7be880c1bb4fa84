# Two commands do all the set-up: `make demo` watches livesr at work, `make test` passes the tests.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test teacher voices

demo: $(VENV)/installed
	$(BIN)/livesr replay tests/data/conversation.flac --pace

test: $(VENV)/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy livesr
	$(BIN)/python -m pytest

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/tested: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

# What training imitates (export/teacher.py). Without what its voice agents want: two files of it
# are read.
teacher: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps pipecat-ai==1.14.0

# Unlabelled speech to imitate it on (export/unlabelled.py), from Debian's packages.
voices: $(VENV)/installed
	mkdir -p .cache/raw
	cd .cache/raw && for language in it ru; do \
		apt-get download asterisk-core-sounds-$$language-g722 && \
		dpkg -x asterisk-core-sounds-$$language-g722_*.deb asterisk-$$language || exit 1; done
	$(BIN)/python -m export.unlabelled .cache/raw .cache/voices
