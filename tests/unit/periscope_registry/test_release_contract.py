"""The examples that registry and agent both accept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from periscope.roots import check_root, read_root
from periscope.signing import canonical, verifies
from periscope.wire.releases import ReleaseFile
from periscope_registry.releases import release_content

EXAMPLES: dict[str, Any] = json.loads(Path("tests/contracts/release.json").read_text())


def test_the_roots_follow_each_other() -> None:
    first, second = EXAMPLES["roots"]

    assert check_root(first, None)["version"] == 1
    assert check_root(second, first)["version"] == 2


@pytest.mark.parametrize("number", [1, 2])
def test_a_release_is_signed_by_a_key_of_its_root_and_of_no_other(number: int) -> None:
    release = EXAMPLES[f"release_under_root_{number}"]
    for place, root in enumerate(EXAMPLES["roots"], 1):
        pems = [key["pem"] for key in read_root(root)["release_keys"]]
        good = any(verifies(pem, release["document"], release["signature"]) for pem in pems)
        assert good == (place == number)


def test_the_registry_writes_the_fields_of_the_examples() -> None:
    told = json.loads(EXAMPLES["release_under_root_1"]["document"])
    manifest = told | {"flavours": {"caffe": {"below": "10"}}}
    content = release_content("sub-1", manifest, "caffe", "now")

    assert canonical(content | {name: told[name] for name in ("counter", "issued_at")}) == canonical(told)


def test_the_file_on_a_stick_is_made_of_them() -> None:
    release = EXAMPLES["release_under_root_2"]
    made = ReleaseFile.model_validate({"release": release, "roots": EXAMPLES["roots"]})

    assert made.model_dump() == {"release": release, "roots": EXAMPLES["roots"]}
