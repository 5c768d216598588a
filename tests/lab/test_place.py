"""Where engines are put: the configured place first, then addresses of this machine that no other lab has."""

import socket

import pytest

from engine.lab.place import LabUnusable, Place, Places
from tests.flows.stage import Stage

STAGE = Stage()


def test_the_configured_place_comes_first_and_again_when_it_is_given_back() -> None:
    places = Places(Place.of(STAGE.settings()))
    first = places.take()
    assert (first.callee, first.overrides) == ((STAGE.host, 5090), ())
    second = places.take()
    assert second.callee[0].startswith("127.0.1.")
    places.give_back(first)
    assert places.take() is first
    places.give_back(second)


def test_two_labs_at_once_do_not_meet() -> None:
    ours, others = Places(Place.of(STAGE.settings())), Places(Place.of(STAGE.settings()))
    taken = [(places, places.take()) for places in (ours, ours, ours, others, others, others)]
    for places, place in taken:
        places.give_back(place)
    assert len({place.callee[0] for _, place in taken if place.overrides}) == 4


def test_a_place_where_somebody_listens_is_left_out() -> None:
    places = Places(Place.of(STAGE.settings()))
    places.take()
    first = places.take()
    places.give_back(first)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as somebody:
        somebody.bind(first.callee)
        second = places.take()
    places.give_back(second)
    assert second.callee[0] != first.callee[0]


def test_everything_of_a_place_moves_with_it() -> None:
    place = Place.of(STAGE.settings()).moved_to("127.0.1.9")
    assert place.engine == {"udp": "127.0.1.9:5060", "tcp": "127.0.1.9:5060"}
    assert place.control == ("127.0.1.9", 8700)
    settings = STAGE.settings(*place.overrides)
    assert Place.of(settings) == Place(place.engine, place.control, place.callee, "pstn")
    assert settings.sip.advertise == "127.0.1.9"


def test_engines_run_one_after_the_other_where_addresses_are_real() -> None:
    settings = STAGE.settings('sip.listen=["udp://192.0.2.1:5060"]')
    places = Places(Place.of(settings))
    assert not places.several
    places.take()
    with pytest.raises(LabUnusable, match="no free address"):
        places.take()
