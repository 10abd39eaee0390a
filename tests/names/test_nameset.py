from escp.names.nameset import NameSet


def test_names_that_were_added_are_marked_and_others_not():
    names = NameSet()
    for i in range(5000):
        names.add(b"%d" % i)
    assert names.n_unmarked == 5000
    assert all(names.mark(b"%d" % i) for i in range(0, 5000, 2)) and names.mark(b"0")
    assert not names.mark(b"5000") and not names.mark(b"")
    assert names.n_unmarked == 2500
    assert [i for i in range(5001) if names.is_unmarked(b"%d" % i)] == list(range(1, 5000, 2))


def test_marks_stay_when_it_grows():
    names = NameSet()
    names.add(b"x")
    names.mark(b"x")
    for i in range(1000):
        names.add(b"%d" % i)
    assert not names.is_unmarked(b"x") and names.n_unmarked == 1000
