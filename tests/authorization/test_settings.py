import pytest

from engine.authorization.settings import AuthorizationSettings


@pytest.mark.parametrize("strangers", ["404", "403"])
def test_sound(strangers: str) -> None:
    assert AuthorizationSettings(strangers=strangers).check() == []


def test_the_default_hides_from_strangers() -> None:
    assert AuthorizationSettings().strangers == "404"
    assert AuthorizationSettings().check() == []


def test_every_problem_is_told() -> None:
    broken = AuthorizationSettings(strangers="401", legacy_middle_numbers="allow", retry_after_s=0)
    assert [key for key, _ in broken.check()] == ["strangers", "legacy_middle_numbers", "retry_after_s"]
    assert "not built" in dict(broken.check())["legacy_middle_numbers"]
    assert (
        "reject" in dict(AuthorizationSettings(legacy_middle_numbers="deny").check())["legacy_middle_numbers"]
    )
