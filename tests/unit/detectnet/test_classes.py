from __future__ import annotations

import pytest

from detectnet.classes import ClassMap, UnknownClass


def test_names_get_coverage_channels_in_their_order() -> None:
    classes = ClassMap(["gate", "Buoy "])

    assert classes.names == ("gate", "buoy")
    assert [classes.index_of(name) for name in ("GATE", "buoy")] == [0, 1]


@pytest.mark.parametrize("names", [["dontcare", "buoy"], ["buoy", "DontCare"], ["buoy"]])
def test_dontcare_has_no_channel_wherever_it_is_listed(names: list[str]) -> None:
    classes = ClassMap(names)

    assert classes.names == ("buoy",)
    assert classes.index_of("DontCare") is None


def test_classes_of_a_data_set_are_its_types_in_alphabetical_order() -> None:
    assert ClassMap.of_types(["gate", "Buoy", "DontCare", "buoy"]).names == ("buoy", "gate")


def test_an_alias_shares_the_channel_of_its_class() -> None:
    classes = ClassMap(["person"], aliases={"Pedestrian": "person", "crowd": "dontcare"})

    assert classes.index_of("pedestrian") == 0
    assert classes.index_of("crowd") is None


def test_an_unknown_type_is_refused_with_what_there_is_and_advice() -> None:
    with pytest.raises(UnknownClass, match="'shark' is not among buoy, gate; add it"):
        ClassMap(["buoy", "gate"]).index_of("shark")


@pytest.mark.parametrize("names", [[], ["dontcare"], [" "]])
def test_there_must_be_a_class(names: list[str]) -> None:
    with pytest.raises(ValueError, match="no class"):
        ClassMap(names)


def test_a_class_listed_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        ClassMap(["buoy", "BUOY"])
