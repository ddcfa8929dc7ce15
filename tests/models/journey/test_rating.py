"""Ratings on every scale are places between worst and best."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.journey.rating import Rating

ENDS = st.integers(-999, 999)


@pytest.mark.parametrize(
    ("value", "scale", "stars"),
    [(1, "1-5", 1), (3, "1-5", 3), (5, "1-5", 5), (0, "0-10", 1), (5, "0-10", 3), (6, "0-10", 3), (7, "0-10", 4),
     (9, "0-10", 5), (10, "0-10", 5), (100, "1-100", 5), (1, "1-100", 1), (1, "6-1", 5), (4.5, "1-5", 5),
     (0, "-5-5", 3), (1, "0-1", 5), (0, "0-1", 1)],
)  # fmt: skip
def test_a_rating_is_the_nearest_number_of_stars(value: float, scale: str, stars: int) -> None:
    assert Rating.of(value, scale).stars == stars


@given(ENDS, ENDS.filter(bool), st.floats(0, 1))
def test_stars_keep_to_one_to_five_and_mirror_with_the_scale(worst: int, width: int, share: float) -> None:
    best = worst + width
    value = min(max(worst + width * share, min(worst, best)), max(worst, best))
    rating = Rating.of(value, f"{worst}-{best}")

    assert 1 <= rating.stars <= 5
    assert 0 <= rating.share <= 1
    assert Rating.of(value, f"{best}-{worst}").share == pytest.approx(1 - rating.share)


@pytest.mark.parametrize("value", [1, 2, 3, 4, 5])
def test_stars_stay_as_they_are(value: int) -> None:
    assert Rating.of(value).stars == value


@pytest.mark.parametrize(
    ("value", "scale", "says"),
    [(6, "1-5", "rating 6 lies outside its scale 1-5"), (0, "1-100", "outside"), (float("nan"), "1-5", "outside"),
     (3, "5", "allowed: worst-best"), (3, "3-3", "allowed"), (3, "1-5x", "allowed"), (3, "", "allowed")],
)  # fmt: skip
def test_a_rating_outside_its_scale_and_a_scale_that_is_none_are_refused(value: float, scale: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Rating.of(value, scale)
