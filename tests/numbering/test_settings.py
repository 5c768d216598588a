from engine.numbering.settings import NumberingSettings


def test_the_default_is_sound() -> None:
    assert NumberingSettings().own_prefixes == ["700"]
    assert NumberingSettings().check() == []


def test_every_problem_is_told() -> None:
    assert [key for key, _ in NumberingSettings([]).check()] == ["own_prefixes"]
    prefixes = ["70012345678", "800", "70", "", "700１", "7001234567890123", "+86700"]
    assert [key for key, _ in NumberingSettings(prefixes).check()] == [
        f"own_prefixes[{index}]" for index in (1, 2, 3, 4, 5, 6)
    ]
