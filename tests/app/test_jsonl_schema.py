"""docs/jsonl.schema.json and the table in docs/api.md describe what the writer writes."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import soundfile as sf
from jsonschema import Draft202012Validator

import livesr
from livesr import Event, Reading
from livesr.app.writers import JsonlWriter
from livesr.event import Kind
from livesr.files.recording import Recording, events_path
from tests.helpers.tiny import DATA

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA: dict[str, Any] = json.loads((DOCS / "jsonl.schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)
READING, EVENT = SCHEMA["$defs"]["reading"], SCHEMA["$defs"]["event"]


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Speech, silence, a gap, and events of each kind, as `--jsonl` writes them."""
    path = tmp_path_factory.mktemp("jsonl") / "session.jsonl"
    recognizer = livesr.Recognizer()
    samples, rate = sf.read(DATA / "conversation.flac", dtype="float32")
    readings = recognizer.push(samples, rate) + recognizer.push(np.zeros(3 * rate), rate)
    readings += recognizer.skip(rate, rate) + recognizer.finish()
    with JsonlWriter(path) as writer:
        for kind in get_args(Kind):
            seconds = 0.5 if kind == "gap" else 0.0
            writer.write(Event(kind, 1.25, seconds))
            writer.write(Event(kind, 1.25, seconds, "some words", silence=0.25))
        about: dict[str, str | float | None] = {"model": "acrnn-compact", "hop": 0.25}
        writer.write(Event("session", 0.0, channel=1, about=about))
        for reading in [*readings, replace(readings[-1], channel=2, profile="me")]:
            writer.write(reading)
    bare = path.with_name("bare.jsonl")
    with JsonlWriter(bare, attention=False) as writer:
        writer.write(readings[-1])
    recording = Recording(path.with_suffix(".flac"))
    recording.event(Event("profile", 0.0, text="me", data="AAAA"))
    recording.close()
    files = (path, bare, events_path(recording.path))
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_every_line_fits_the_schema(lines: list[dict[str, Any]]) -> None:
    assert {line["status"] for line in lines if "status" in line} == {
        *READING["properties"]["status"]["enum"]
    }
    for line in lines:
        VALIDATOR.validate(line)


def test_the_schema_knows_every_field_and_no_other(lines: list[dict[str, Any]]) -> None:
    for known, own in (
        (READING, [line for line in lines if "event" not in line]),
        (EVENT, [line for line in lines if "event" in line]),
    ):
        assert {key for line in own for key in line} == known["properties"].keys()
        assert set.intersection(*(set(line) for line in own)) == {*known["required"]}
    assert [field.name for field in fields(Reading)] == [*READING["properties"]]
    names = ["event" if field.name == "kind" else field.name for field in fields(Event)]
    assert names == [*EVENT["properties"]]


def test_the_schema_refuses_what_the_writer_never_writes(lines: list[dict[str, Any]]) -> None:
    for line in (lines[0], lines[-1], *(line for line in lines if line.get("label"))):
        known = EVENT if "event" in line else READING
        for key in known["required"]:
            assert not VALIDATOR.is_valid({k: v for k, v in line.items() if k != key}), key
        assert not VALIDATOR.is_valid({**line, "strange": 1})
    labelled = next(line for line in lines if line.get("label"))
    for key, value in (("label", None), ("status", "asleep"), ("end", "1"), ("speech", 2)):
        assert not VALIDATOR.is_valid({**labelled, key: value}), key


@pytest.mark.parametrize(("title", "known"), [("Readings", READING), ("Events", EVENT)])
def test_the_table_in_the_docs_has_every_field(title: str, known: dict[str, Any]) -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    section = page.split(f"### {title}\n")[1].split("\n#")[0]
    tables = [part for part in section.split("\n\n") if part.lstrip().startswith("|")]
    of_fields, further = (re.findall(r"^\| `(.+?)` \|", part, re.MULTILINE) for part in tables)
    assert of_fields == [*known["properties"]]
    if title == "Events":
        assert further == [*get_args(Kind)]
