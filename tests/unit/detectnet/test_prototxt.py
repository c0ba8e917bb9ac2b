from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectnet.prototxt import Message, PrototxtError, deploy_prototxt, parse_prototxt
from detectnet.sizes import IllegalSize

names = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
values = st.from_regex(r"[A-Za-z0-9_.+-]{1,8}", fullmatch=True)
trees = st.recursive(
    st.lists(st.tuples(names, values), max_size=4),
    lambda inner: st.lists(st.tuples(names, values | inner), max_size=4),
    max_leaves=12,
)
Tree = list[tuple[str, object]]


def written(tree: Tree) -> str:
    return "\n".join(
        f"{name} {{ {written(value)} }}" if isinstance(value, list) else f"{name}: {value}"
        for name, value in tree
    )


def as_tree(message: Message) -> Tree:
    return [(name, as_tree(value) if isinstance(value, Message) else value) for name, value in message.fields]


@pytest.mark.parametrize(("width", "height"), [(640, 640), (720, 480), (32, 48)])
def test_the_deploy_network_takes_the_asked_size_and_classes(width: int, height: int) -> None:
    network = parse_prototxt(deploy_prototxt(width, height, 3))
    layers = {layer.text("name"): layer for layer in network.blocks("layer")}

    shape = layers["data"].block("input_param").block("shape").texts("dim")
    assert shape == ["1", "3", str(height), str(width)]
    assert layers["cvg/classifier"].block("convolution_param").text("num_output") == "3"
    assert layers["bbox/regressor"].block("convolution_param").text("num_output") == "4"


def test_the_deploy_network_has_no_python_layer_and_no_rules() -> None:
    text = deploy_prototxt(640, 640, 2)

    assert "Python" not in text
    assert "python" not in text
    assert "include" not in text


def test_the_deploy_network_has_the_blobs_a_robot_asks_for() -> None:
    layers = parse_prototxt(deploy_prototxt(640, 640, 2)).blocks("layer")
    tops = [top for layer in layers for top in layer.texts("top")]

    assert tops[0] == "data"
    assert {"coverage", "bboxes"} <= set(tops)


def test_the_mean_is_subtracted_inside_the_network() -> None:
    layers = {
        layer.text("name"): layer for layer in parse_prototxt(deploy_prototxt(64, 64, 1)).blocks("layer")
    }

    assert layers["deploy_transform"].block("power_param").text("shift") == "-127"


def test_an_illegal_size_is_refused() -> None:
    with pytest.raises(IllegalSize, match="1920x1088"):
        deploy_prototxt(1920, 1080, 1)


def test_all_ways_to_write_a_field_are_read() -> None:
    message = parse_prototxt(
        """
        name: "one" # a comment with { and "
        layer { type: 'Data' top: "a" top: "b" }
        layer: { data_param: { batch_size: 10, backend: LMDB; } }
        """
    )

    first, second = message.blocks("layer")
    assert message.text("name") == "one"
    assert first.text("type") == "Data"
    assert first.texts("top") == ["a", "b"]
    assert second.block("data_param").text("batch_size") == "10"
    assert second.block("data_param").text("backend") == "LMDB"


def test_the_last_value_of_a_field_counts_and_absence_has_a_default() -> None:
    message = parse_prototxt("a: 1 a: 2")

    assert message.text("a") == "2"
    assert message.text("b", "none") == "none"
    assert message.block("c").fields == []


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("layer {\n  name: 'a'\n", 1, "never closed"),
        ("a: 1\n}\n", 2, "closing brace too many"),
        ("a: 1\nb\n", 2, "ends in the middle"),
        ("a: 1\n\nb: }\n", 3, "expected a value for 'b'"),
        ("a 1", 1, "expected ':' or '{'"),
        ("\n: 1", 2, "expected a field's name"),
        ('a: "open\n', 1, "is a quote left open"),
        ("a {" * 60, 1, "deeper than 50"),
    ],
)
def test_broken_text_is_refused_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(PrototxtError, match=message) as refused:
        parse_prototxt(text)

    assert refused.value.line == line


@settings(deadline=None, derandomize=True)
@given(trees)
def test_what_is_written_reads_back_the_same(tree: Tree) -> None:
    assert as_tree(parse_prototxt(written(tree))) == tree


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.text(alphabet="ab1 :{}\"'#\n;,é", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(PrototxtError):
        parse_prototxt(text)
