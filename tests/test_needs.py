"""What a machine lacks skips a test, unless REQUIRE says that it is there."""

import pytest
from needs import KINDS, need, required, why_not


@pytest.fixture
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "ray", lambda: "there is none")
    why_not.cache_clear()


@pytest.mark.usefixtures("_no_ray")
def test_what_is_lacking_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUIRE", "slurm,data")
    with pytest.raises(pytest.skip.Exception, match="needs ray: there is none"):
        need("ray")


@pytest.mark.usefixtures("_no_ray")
def test_what_is_required_and_lacking_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUIRE", "slurm,ray")
    with pytest.raises(pytest.fail.Exception, match="REQUIRE has ray, but: there is none"):
        need("ray")


def test_what_is_there_lets_the_test_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "ray", lambda: None)
    why_not.cache_clear()
    need("ray")


def test_a_kind_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUIRE", "slurm,chrome")
    with pytest.raises(ValueError, match="REQUIRE=chrome is not accepted: it takes gpu, slurm"):
        required()
