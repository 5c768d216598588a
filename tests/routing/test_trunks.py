"""Which trunk a source belongs to, and which one a number is reached through."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.numbering.numbers import RealNumber
from engine.routing.trunks import NextHop, Trunk, TrunkSettings, TrunkTable


def trunk(
    name: str, *, peers: tuple[str, ...] = (), prefixes: tuple[str, ...] = (), enabled: bool = True
) -> Trunk:
    return Trunk.of(
        TrunkSettings(
            name=name,
            peers=list(peers),
            next_hops=["udp://127.0.0.1:5090"],
            prefixes=list(prefixes),
            enabled=enabled,
        )
    )


def name_of(found: Trunk | None) -> str:
    return found.name if found is not None else ""


def test_a_trunk_is_what_its_settings_say() -> None:
    settings = TrunkSettings(
        name="pstn",
        peers=["127.0.0.0/8", "::1"],
        next_hops=["udp://127.0.0.1:5090", "tcp://[::1]"],
        prefixes=["", "+86138", "7009"],
        trust_identity=True,
        number_format="e164",
        enabled=False,
        symmetric=True,
    )
    assert settings.check() == []
    made = Trunk.of(settings)
    assert made.name == "pstn"
    assert made.peers == (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
    assert made.next_hops == (NextHop("udp", "127.0.0.1", 5090), NextHop("tcp", "::1", 5060))
    assert made.prefixes == ("", "86138", "7009")
    assert (made.trust_identity, made.number_format, made.enabled, made.symmetric) == (
        True,
        "e164",
        False,
        True,
    )


SOURCES = TrunkTable(
    [
        trunk("wide", peers=("10.0.0.0/8", "2001:db8::/32")),
        trunk("narrow", peers=("10.1.0.0/16",)),
        trunk("host", peers=("10.1.1.1", "2001:db8::1")),
        trunk("late", peers=("10.1.0.0/16", "192.0.2.0/24")),
        trunk("off", peers=("192.0.2.7",), enabled=False),
    ]
)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("10.9.9.9", "wide"),
        ("10.1.2.3", "narrow"),
        ("10.1.1.1", "host"),
        ("192.0.2.1", "late"),
        ("192.0.2.7", "off"),
        ("2001:db8::2", "wide"),
        ("2001:DB8:0::1", "host"),
        ("::ffff:10.1.1.1", "host"),
        ("11.0.0.1", ""),
        ("2001:db9::1", ""),
        ("::a01:101", ""),  # the same number as 10.1.1.1, in the other family
        ("localhost", ""),
        ("", ""),
    ],
)
def test_the_longest_network_owns_a_source(host: str, name: str) -> None:
    assert name_of(SOURCES.by_source(host)) == name
    assert name_of(SOURCES.by_source(host)) == name  # remembered


def test_a_flood_of_sources_does_not_change_the_answers() -> None:
    table = TrunkTable([trunk("pstn", peers=("10.0.0.0/8",))])
    for number in range(40_000):
        host = f"{10 + number % 2}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        assert name_of(table.by_source(host)) == ("" if number % 2 else "pstn")
    assert name_of(table.by_source("10.0.0.0")) == "pstn"
    assert table.by_source("11.0.0.1") is None


CALLEES = TrunkTable(
    [
        trunk("mobile", prefixes=("+861",)),
        trunk("any", prefixes=("",)),
        trunk("any too", prefixes=("",)),
        trunk("138", prefixes=("86138", "86139")),
        trunk("138 too", prefixes=("+86138",)),
        trunk("138000 off", prefixes=("86138000",), enabled=False),
        trunk("carrier", prefixes=("7009",)),
        trunk("carrier block", prefixes=("70091234567", "700912")),
        trunk("carrier off", prefixes=("70098",), enabled=False),
        trunk("carrier off, other", prefixes=("70097",), enabled=False),
        trunk("carrier on, other", prefixes=("70097",)),
    ]
)


@pytest.mark.parametrize(
    ("digits", "name"),
    [
        ("8613800000001", "138"),
        ("8613900000001", "138"),
        ("8613700000001", "mobile"),
        ("861012345678", "mobile"),
        ("8675512345678", "any"),
    ],
)
def test_the_longest_enabled_prefix_takes_a_callee(digits: str, name: str) -> None:
    assert name_of(CALLEES.for_callee(RealNumber(digits))) == name


def test_no_trunk_takes_the_callee() -> None:
    table = TrunkTable([trunk("138", prefixes=("86138",)), trunk("7", prefixes=("700",))])
    assert table.for_callee(RealNumber("8613900000001")) is None
    assert TrunkTable([]).for_callee(RealNumber("8613900000001")) is None


def test_disabling_a_trunk_counts_at_once() -> None:
    first, second = trunk("first", prefixes=("",)), trunk("second", prefixes=("",))
    table = TrunkTable([first, second])
    callee = RealNumber("8613800000001")
    assert table.for_callee(callee) is first
    first.order(False)
    assert table.for_callee(callee) is second
    second.order(False)
    assert table.for_callee(callee) is None


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("7009", "carrier"),
        ("700912", "carrier block"),
        ("70098", "carrier off"),  # never handed to the carrier with the shorter prefix
        ("70097", "carrier on, other"),
        ("7008", ""),
        ("", ""),  # takes real numbers only
        ("86138", ""),
    ],
)
def test_interconnection(prefix: str, name: str) -> None:
    assert name_of(CALLEES.interconnect(prefix)) == name


def test_named() -> None:
    assert name_of(CALLEES.named("any")) == "any"
    assert CALLEES.named("none") is None


prefixes = st.one_of(
    st.just(""),
    st.text("0123456789", max_size=4).map(lambda rest: "86" + rest),
    st.text("0123456789", max_size=4).map(lambda rest: "700" + rest),
)


@given(st.lists(st.tuples(st.lists(prefixes, max_size=4), st.booleans()), max_size=6), st.data())
def test_prefixes_against_a_plain_search(rows: list[tuple[list[str], bool]], data: st.DataObject) -> None:
    trunks = [
        trunk(f"t{index}", prefixes=tuple(written), enabled=enabled)
        for index, (written, enabled) in enumerate(rows)
    ]
    table = TrunkTable(trunks)
    digits = data.draw(st.text("0123456789", min_size=11, max_size=11))
    ranked = sorted(
        (-len(prefix), index, trunks[index])
        for index, (written, enabled) in enumerate(rows)
        for prefix in written
        if enabled and ("86" + digits).startswith(prefix)
    )
    assert table.for_callee(RealNumber("86" + digits)) is (ranked[0][2] if ranked else None)


# --- while it runs ---


def take_down(one: Trunk, *places: int) -> None:
    for place in places:
        health = one.next_hops[place].health
        while health.up:
            health.failed("timeout", 1.0)
    one.refresh()


def settings(name: str, *hops: str, **rest: object) -> TrunkSettings:
    given: dict[str, object] = {"name": name, "next_hops": list(hops), "prefixes": [""], **rest}
    return TrunkSettings(**given)  # type: ignore[arg-type]


def test_next_hops_that_are_down_are_passed_over() -> None:
    two = Trunk.of(settings("two", "udp://127.0.0.1:5090", "udp://127.0.0.1:5091"))
    take_down(two, 0)
    assert (two.reachable, two.usable, two.up) == (two.next_hops[1:], True, True)
    take_down(two, 1)
    assert (two.reachable, two.usable, two.up) == ((), False, False)


def test_a_trunk_whose_every_next_hop_is_down_leaves_its_numbers_to_others() -> None:
    main = Trunk.of(settings("main", "udp://127.0.0.1:5090", prefixes=["86138", "7009"]))
    backup = Trunk.of(settings("backup", "udp://127.0.0.1:5091", prefixes=["", "7009"]))
    table = TrunkTable([main, backup])
    callee = RealNumber("8613800000001")
    take_down(main, 0)
    assert table.for_callee(callee) is backup
    assert table.interconnect("7009") is backup
    take_down(backup, 0)
    assert table.for_callee(callee) is None
    assert table.interconnect("7009") is main  # whose number it is, usable or not
    main.next_hops[0].health.trust(2.0)
    main.refresh()
    assert table.for_callee(callee) is main


def test_a_trunk_that_only_receives_is_up() -> None:
    one = Trunk.of(TrunkSettings(name="in", peers=["192.0.2.1"]))
    assert (one.up, one.usable) == (True, False)


def test_an_operators_word_stands_whatever_the_configuration_says() -> None:
    one = Trunk.of(settings("one", "udp://127.0.0.1:5090"))
    one.order(False)
    assert (one.enabled, one.usable, one.up) == (False, False, False)
    one.incoming.begin(1.0)
    assert one.draining
    one.configure(settings("one", "udp://127.0.0.1:5090"))
    assert not one.enabled
    one.incoming.end()
    assert not one.draining
    one.configure(settings("one", "udp://127.0.0.1:5090", enabled=False))
    one.order(True)
    assert one.enabled


def test_a_new_configuration_is_taken_over_by_the_trunks_that_are_there() -> None:
    table = TrunkTable([Trunk.of(settings("one", "udp://127.0.0.1:5090", "tcp://127.0.0.1:5091"))])
    one = table.trunks[0]
    take_down(one, 0)
    one.outgoing.begin(1.0)
    first = one.next_hops[0]
    fresh = table.configured(
        [
            settings("two", "udp://127.0.0.1:5099"),
            settings(
                "one", "udp://127.0.0.1:5092", "udp://127.0.0.1:5090",
                max_calls=1, probe_down_after=5, number_format="e164", symmetric=True,
            ),
        ]
    )  # fmt: skip
    assert [trunk.name for trunk in fresh.trunks] == ["two", "one"]
    assert fresh.named("one") is one
    assert one.next_hops[1] is first
    assert one.reachable == one.next_hops[:1]
    assert one.outgoing.full(2.0)  # with the call that is up
    assert (one.number_format, one.symmetric, first.health.down_after) == ("e164", True, 5)
    assert fresh.configured([]).trunks == ()
