"""Lists of CPUs and nodes as the kernel writes them, and as bits."""

import pytest

from escp.process.numbers import find_bits, make_mask, parse_numbers, show_numbers


@pytest.mark.parametrize(
    ("numbers", "text"),
    [({0}, "0"), ({0, 1, 2, 5}, "0-2,5"), ({3, 9, 10}, "3,9-10"), (set(range(64)), "0-63")],
)
def test_numbers_as_the_kernel_writes_them(numbers, text):
    assert show_numbers(numbers) == text and parse_numbers(text) == numbers
    assert find_bits(make_mask(numbers)) == numbers


@pytest.mark.parametrize("text", ["", "evil", "1,", "3-1", "-2", "0-99999999", "0x3", "٣", "1-2-3"])
def test_what_is_no_such_list(text):
    with pytest.raises(ValueError, match="no "):
        parse_numbers(text)
