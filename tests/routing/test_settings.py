"""Every mistake in a trunk is told, under the key where it stands."""

import pytest

from engine.routing.settings import TrunkSettings, check_trunks


def sound(name: str = "pstn") -> TrunkSettings:
    return TrunkSettings(
        name=name,
        peers=["127.0.0.0/8"],
        next_hops=["udp://127.0.0.1:5090"],
        prefixes=[""],
        trust_identity=True,
    )


def test_the_lab_trunk_is_sound() -> None:
    assert check_trunks([sound()]) == []


def test_a_trunk_that_only_receives_is_sound() -> None:
    assert TrunkSettings(name="in", peers=["192.0.2.1"]).check() == []


@pytest.mark.parametrize(
    ("key", "value", "where"),
    [
        ("name", "", "name"),
        ("name", "two words", "name"),
        ("name", "中国", "name"),
        ("name", "-pstn", "name"),
        ("name", 'p"x', "name"),
        ("name", "pstn\n", "name"),
        ("name", "n" * 65, "name"),
        ("name", "unknown", "name"),
        ("peers", ["127.0.0.1", "127.0.0.0/33"], "peers[1]"),
        ("peers", ["localhost"], "peers[0]"),
        ("peers", ["127.0.0.1/8"], "peers[0]"),
        ("next_hops", ["udp://127.0.0.1", "udp://localhost"], "next_hops[1]"),
        ("next_hops", [], "next_hops"),
        ("prefixes", ["86", "138"], "prefixes[1]"),
        ("prefixes", ["86138x"], "prefixes[0]"),
        ("prefixes", ["+"], "prefixes[0]"),
        ("prefixes", ["７００"], "prefixes[0]"),
        ("prefixes", ["+7009"], "prefixes[0]"),
        ("prefixes", ["70"], "prefixes[0]"),
        ("prefixes", ["86138000000012"], "prefixes[0]"),
        ("prefixes", ["7001234567890123"], "prefixes[0]"),
        ("number_format", "E164", "number_format"),
        ("probe_interval_s", -1, "probe_interval_s"),
        ("probe_interval_s", 3601, "probe_interval_s"),
        ("probe_down_after", 0, "probe_down_after"),
        ("probe_up_after", 0, "probe_up_after"),
        ("max_calls", -1, "max_calls"),
        ("max_calls_per_s", -1, "max_calls_per_s"),
    ],
)
def test_mistakes(key: str, value: object, where: str) -> None:
    trunk = sound()
    setattr(trunk, key, value)
    assert [told for told, _ in trunk.check()] == [where]
    assert all(what for _, what in trunk.check())


@pytest.mark.parametrize(
    "prefix", ["", "8", "86", "+86", "+86138", "8613800000001", "700", "7009", "700912345678901"]
)
def test_prefixes(prefix: str) -> None:
    trunk = sound()
    trunk.prefixes = [prefix]
    assert trunk.check() == []


def test_all_mistakes_of_all_trunks_at_once() -> None:
    broken = TrunkSettings(name="pstn", peers=["x"], next_hops=["y"], prefixes=["z"], number_format="w")
    assert [(index, key) for index, key, _ in check_trunks([sound(), broken, sound("other")])] == [
        (1, "peers[0]"),
        (1, "next_hops[0]"),
        (1, "prefixes[0]"),
        (1, "number_format"),
        (1, "name"),
    ]


def test_a_network_with_host_bits_is_explained() -> None:
    trunk = sound()
    trunk.peers = ["10.1.2.3/8"]
    assert "10.0.0.0/8" in trunk.check()[0][1]
