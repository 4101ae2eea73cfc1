from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from codesign.comparison import pareto_front

POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12)


def dominates(one, other):
    return one != other and one[0] <= other[0] and one[1] >= other[1]


def test_cheap_and_good_wins():
    assert pareto_front([(10, 0.9), (5, 0.8), (7, 0.7), (20, 0.95)]) == (1, 0, 3)
    assert pareto_front([]) == ()


def test_equal_points_are_all_kept():
    assert sorted(pareto_front([(5, 0.9), (5, 0.9), (5, 0.8)])) == [0, 1]


@given(POINTS)
def test_the_front_is_exactly_what_nothing_dominates(points):
    front = pareto_front(points)
    expected = [i for i, point in enumerate(points) if not any(dominates(other, point) for other in points)]
    assert sorted(front) == expected
    assert [points[index][0] for index in front] == sorted(points[index][0] for index in front)
