"""The order of test files: the long ones first, and each of them is there."""

from pathlib import Path

from tests.support.order import LONG_FILES, find_place

TESTS = Path(__file__).parents[1]


def test_each_long_file_is_there_and_named_once():
    assert [name for name in LONG_FILES if not (TESTS / name).is_file()] == []
    assert len(set(LONG_FILES)) == len(LONG_FILES)


def test_long_files_come_first_and_the_others_keep_their_order(request):
    names = ["ui/test_ui.py", LONG_FILES[1], "api/test_copy.py", LONG_FILES[0], f"other/{LONG_FILES[0]}"]
    found = sorted((str(TESTS / name) for name in names), key=find_place)
    assert found == [str(TESTS / names[i]) for i in (3, 1, 0, 2, 4)]
    places = [find_place(str(item.path)) for item in request.session.items]
    assert places == sorted(places)
