"""No code from a file, no network, nothing written that was not asked for."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

import livesr
from export.networks.graph import build
from export.networks.sizes import NETWORKS, weight_shapes
from livesr import Event, ModelError, Recognizer
from livesr.app.report.report import Report
from livesr.app.writers import JsonlWriter
from livesr.files.recording import Recording, events_path
from livesr.model.load import FRAME_SHAPES, bundled, foreign_model, load_model
from livesr.model.onnxfile import Refused, look_through
from livesr.model.onnxsizes import follow
from livesr.model.runtime import open_session
from tests.helpers.tiny import DATA, TINY, save_tiny, tiny_info
from tests.helpers.virtual import VirtualMicrophone
from tests.microphone.test_listening import LISTEN

CLIP = DATA / "banglaser.flac"
PACKAGE = Path(livesr.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

# What Python itself tells of, before it happens.
GUARD = """
import sys
def guard(event, arguments):
    if event.split('.')[0] in ('socket', 'urllib', 'http', 'ftplib', 'smtplib'):
        print('GUARD', event, arguments, file=sys.stderr)
        raise PermissionError(event)
sys.addaudithook(guard)
sys.argv[0] = 'livesr'
"""


def guarded(home: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    places = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME"), str(home))
    return subprocess.run(
        [sys.executable, "-c", GUARD + code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env={**kept, **places},
    )


def test_no_network_at_all(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    main = "from livesr.__main__ import main; main()"
    jsonl, page = str(tmp_path / "a.jsonl"), str(tmp_path / "a.html")
    for arguments in (
        ("models",),
        ("replay", str(CLIP), "--jsonl", jsonl, "--report", page),
        ("replay", jsonl, "--report", page, "--force"),
    ):
        told = guarded(home, main, *arguments)
        assert "GUARD" not in told.stderr
        assert told.returncode == 0, told.stderr
    # onnxruntime's reports to its maker, which Python does not see, would begin with files here.
    assert list(home.iterdir()) == []
    assert (
        "GUARD socket"
        in guarded(home, "import socket; socket.create_connection(('::1', 9))").stderr
    )


def test_sources_know_neither_pickles_nor_sockets_nor_code_from_text() -> None:
    assert len(SOURCES) > 30
    unsafe = {"pickle", "marshal", "shelve", "code"}
    network = {"socket", "ssl", "http", "urllib", "requests", "websockets"}
    names = ("eval", "exec", "compile", "__import__")
    for path in SOURCES:
        # What is there for the network, and nothing else, may know of it.
        online = {"serve", "archive", "client.py"} & set(path.relative_to(PACKAGE).parts)
        modules = unsafe if online else unsafe | network
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                found = [node.module or ""]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in names, path
                continue
            else:
                continue
            assert not {name.split(".")[0] for name in found} & modules, path


# ---- models ----


def external(model: onnx.ModelProto) -> None:
    tensor = next(held for held in model.graph.initializer if len(held.dims) > 1)
    onnx.external_data_helper.set_external_data(tensor, "/etc/passwd")
    tensor.ClearField("raw_data")


def external_in_an_attribute(model: onnx.ModelProto) -> None:
    tensor = TensorProto(name="w", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    model.graph.node.append(helper.make_node("Add", ["one", "one"], ["x"], value=tensor))


def loop(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", ""], ["x"], body=body))


def graph_in_a_known_operator(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Add", ["one", "one"], ["x"], body=body))


def of_another_domain(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.microsoft"


def imports_another_domain(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("evil", 1))


def custom(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "PyFunc"


def function(model: onnx.ModelProto) -> None:
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("", "Relu", ["x"], ["y"], [], opsets))


def sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add()


def lies_about_its_weights(model: onnx.ModelProto) -> None:
    model.graph.initializer.add(name="w", data_type=1, dims=[2**28])


def weights_of_one_name(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(model.graph.initializer[0])


def axes_without_end(model: onnx.ModelProto) -> None:
    model.graph.initializer.add(name="w", data_type=1, dims=[0] * 9)


def nothing_but_nodes(model: onnx.ModelProto) -> None:
    for _ in range(2**15):
        model.graph.node.add()


def joined_with_itself(model: onnx.ModelProto) -> None:
    name = "linear.weight"
    for turn in range(17):  # 960 numbers, then half a gigabyte
        model.graph.node.append(helper.make_node("Concat", [name] * 2, [f"x{turn}"], axis=0))
        name = f"x{turn}"


def joined_at_once(model: onnx.ModelProto) -> None:
    names = ["linear.weight"] * 1_000
    model.graph.node.append(helper.make_node("Concat", names, ["x"], axis=0))
    model.graph.node.append(helper.make_node("Concat", ["x"] * 100, ["y"], axis=0))


def outer_product(model: onnx.ModelProto) -> None:
    for name, shape in (("tall", (2**14, 1)), ("broad", (1, 2**14))):
        model.graph.initializer.append(
            onnx.numpy_helper.from_array(np.zeros(shape, np.float32), name)
        )
    model.graph.node.append(helper.make_node("MatMul", ["tall", "broad"], ["x"]))


def outer_sum(model: onnx.ModelProto) -> None:
    outer_product(model)
    model.graph.node[-1].op_type = "Add"


def wide_margins(model: onnx.ModelProto) -> None:
    (pool,) = (node for node in model.graph.node if node.op_type == "MaxPool")
    pool.attribute.append(helper.make_attribute("pads", [0, 0, 0, 2**20]))


def margins_of_its_own(model: onnx.ModelProto) -> None:
    (pool,) = (node for node in model.graph.node if node.op_type == "MaxPool")
    pool.attribute.append(helper.make_attribute("auto_pad", "SAME_UPPER"))


def shape_that_it_computes(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Add", ["joined", "joined"], ["shape"]))
    model.graph.node.append(helper.make_node("Reshape", ["linear.weight", "shape"], ["x"]))


def before_it_is_made(model: onnx.ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("Relu", ["hidden"], ["x"]))


def attribute_twice(model: onnx.ModelProto) -> None:
    (node,) = (node for node in model.graph.node if node.op_type == "LSTM")
    node.attribute.append(helper.make_attribute("hidden_size", 2**30))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (external, "keeps its weights in another file"),
        (external_in_an_attribute, "keeps its weights in another file"),
        (loop, "the operator 'Loop'"),
        (graph_in_a_known_operator, "a graph or sparse weights within an operator"),
        (of_another_domain, "operators of 'com.microsoft'"),
        (imports_another_domain, "operators of 'evil'"),
        (custom, "the operator 'PyFunc'"),
        (function, "defines functions"),
        (sparse, "sparse weights"),
        (lies_about_its_weights, "'w' are more weights than it holds"),
        (weights_of_one_name, r"two constants named 'conv0\.weight'"),
        (axes_without_end, "of a shape that cannot be"),
        (nothing_but_nodes, "more than 65,536 bytes beside its weights"),
        (joined_with_itself, "more than 67,108,864 numbers"),
        (joined_at_once, "more than 67,108,864 numbers"),
        (outer_product, "more than 67,108,864 numbers"),
        (outer_sum, "more than 67,108,864 numbers"),
        (wide_margins, "more than 67,108,864 numbers"),
        (margins_of_its_own, "'MaxPool' as no network of livesr's does"),
        (shape_that_it_computes, "'Reshape' as no network of livesr's does"),
        (before_it_is_made, "'Relu' as no network of livesr's does"),
        (attribute_twice, "two attributes named 'hidden_size'"),
    ],
)
def test_models_that_ask_for_more(
    tmp_path: Path, tiny: Path, change: Callable[[onnx.ModelProto], None], why: str
) -> None:
    model = onnx.load(tiny)
    change(model)
    path = tmp_path / "a.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=why) as told:
        Recognizer(path)
    assert str(path) in str(told.value)


def test_shipped_models_ask_for_no_more() -> None:
    for path in bundled().values():
        foreign_model(path.read_bytes(), path.name)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_any_kind_ask_for_no_more(name: str) -> None:
    weights = {k: np.zeros(shape, np.float32) for k, shape in weight_shapes(NETWORKS[name]).items()}
    model = build(NETWORKS[name], weights, tiny_info())
    foreign_model(model.SerializeToString(), name)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pools": (4, 2, 1), "kernel_band": 3},
        {"flat": True, "bidirectional": False, "summary": "last"},
        {"cells": 0, "summary": "mean"},
    ],
)
def test_no_array_is_larger_than_its_bound(changes: dict[str, Any]) -> None:
    """onnxruntime's own arrays, every one of them, against what is followed by hand."""
    widths = replace(TINY, **changes)
    weights = {k: np.ones(shape, np.float32) for k, shape in weight_shapes(widths).items()}
    model = build(widths, weights, tiny_info())
    told = follow(look_through(model.SerializeToString()), FRAME_SHAPES)
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=n.output[0]) for n in model.graph.node)
    session = open_session(model.SerializeToString())
    feed = {
        node.name: np.ones((1, *node.shape[1:]), np.float32)
        for node in session.get_inputs()
        if node.name != "features"
    }
    arrays = session.run(None, {"features": np.ones((1, 302, 40, 3), np.float32), **feed})
    made = sum(array.size for array in arrays)
    assert made <= told <= 10 * made


def test_a_window_without_end(tmp_path: Path) -> None:
    widths = replace(TINY, steps=3001)
    weights = {k: np.zeros(shape, np.float32) for k, shape in weight_shapes(widths).items()}
    path = tmp_path / "a.onnx"
    onnx.save(build(widths, weights, tiny_info()), path)
    with pytest.raises(ModelError, match=r"a\.onnx looks back on 3,001 steps, livesr on 3,000"):
        Recognizer(path)


@given(data=st.binary(max_size=200), before=st.integers(0, 200))
def test_any_bytes_are_looked_through(tiny: Path, data: bytes, before: int) -> None:
    try:
        follow(look_through(tiny.read_bytes()[:before] + data), FRAME_SHAPES)
    except Refused as error:
        assert str(error)


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(2**28 + 1)  # of nothing: it takes no room
    with pytest.raises(ModelError, match="268,435,457 bytes, too large"):
        load_model(path)


def test_a_model_that_wants_all_memory(tmp_path: Path, tiny: Path) -> None:
    model = onnx.load(tiny)
    for value in model.graph.input:
        if value.name == "tail_0":
            value.type.tensor_type.shape.dim[1].dim_value = 2**40
    path = tmp_path / "a.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError):
        Recognizer(path)


def test_a_model_whose_answer_is_no_number(tmp_path: Path, tiny: Path) -> None:
    model = onnx.load(tiny)
    (bias,) = (held for held in model.graph.initializer if held.name == "output.bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(4, np.nan, np.float32), bias.name))
    path = tmp_path / "a.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"a\.onnx does not work \(probabilities are not positive"):
        Recognizer(path)


def test_a_model_replaced_at_once_is_read_again(tmp_path: Path) -> None:
    first = Recognizer(save_tiny(tmp_path / "a.onnx"))
    named = tiny_info(name="another")
    second = Recognizer(save_tiny(tmp_path / "a.onnx", named))
    with pytest.raises(ModelError, match=r"the model tiny .* has another"):
        second.restore(first.state())


# ---- states ----


def test_states_of_another_format_are_refused_by_name(recognizer: Recognizer) -> None:
    saved = recognizer.state()
    with pytest.raises(ModelError, match="a state of format '1', this livesr has '2'"):
        recognizer.restore(saved.replace(b"livesr-state-2", b"livesr-state-1"))


# ---- files ----


@pytest.mark.skipif(os.name == "nt", reason="permissions are another matter there")
@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o600), (0o027, 0o640)])
def test_files_have_the_permissions_that_the_user_wants(
    tmp_path: Path, recognizer: Recognizer, mask: int, mode: int
) -> None:
    before = os.umask(mask)
    try:
        recording = Recording(tmp_path / "a.flac")
        recording.write(np.zeros(16_000, np.float32))
        recording.event(Event("mark", 0.5))
        recording.close()
        with (
            JsonlWriter(tmp_path / "a.jsonl") as jsonl,
            Report("a", "b", tmp_path / "a.html") as page,
        ):
            for reading in recognizer.push(np.zeros(16_000, np.float32)):
                jsonl.write(reading)
                page.write(reading)
    finally:
        os.umask(before)
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == ["a.flac", events_path("a.flac").name, "a.html", "a.jsonl"]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {mode}


def test_listening_writes_nothing_unless_asked(
    microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    main = "from livesr.__main__ import main; main()"
    told = guarded(
        tmp_path, f"import os; os.chdir({str(tmp_path)!r}); {main}", *LISTEN[3:], "--seconds", "1"
    )
    assert told.returncode == 0
    assert list(tmp_path.iterdir()) == []
