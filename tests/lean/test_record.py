"""record: the base class of values."""

import pytest

from escp.lean.record import Record


class Point(Record):
    x: int
    y: int = 2


class Nothing(Record):
    """No fields."""


def test_fields_by_position_by_name_and_by_default():
    assert Point(1, 3) == Point(1, y=3) == Point(y=3, x=1) == Point._make([1, 3]) == (1, 3)
    assert Point(1) == Point(x=1) == Point(1, 2)
    assert (Point(1).x, Point(1).y) == (1, 2)
    assert Nothing() == ()


@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), ((), {"y": 1}), ((1, 2, 3), {}), ((1,), {"x": 1}), ((1, 2), {"y": 2}), ((1,), {"z": 1})],
)
def test_wrong_fields_are_refused(values, named):
    with pytest.raises(TypeError, match="Point"):
        Point(*values, **named)


def test_it_stays_what_it_is():
    point = Point(1)
    with pytest.raises(AttributeError):
        point.x = 2
    with pytest.raises(AttributeError):
        point.z = 2
    assert point._replace(x=5) == Point(5, 2)
    with pytest.raises(TypeError):
        point._replace(z=5)
    assert point._asdict() == {"x": 1, "y": 2}
    assert repr(point) == "Point(x=1, y=2)"
    assert {point: "hashable"}[Point(1, 2)] == "hashable"
