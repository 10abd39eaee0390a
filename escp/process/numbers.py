"""Sets of CPUs and NUMA nodes: as the kernel writes them, and as bits."""

MAX_NUMBER = 8191  # the highest CPU for which a kernel can be built


def parse_numbers(text: str) -> set[int]:
    """`0-2,5` is {0, 1, 2, 5}. ValueError for what is no such list, or more than a kernel has."""
    numbers: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        words = (first, last) if dash else (first,)
        if not all(word.isascii() and word.isdigit() and len(word) <= 4 for word in words):
            raise ValueError(f"no list of numbers: {part}")
        low, high = int(words[0]), int(words[-1])
        if not low <= high <= MAX_NUMBER:
            raise ValueError(f"no range: {part}")
        numbers.update(range(low, high + 1))
    return numbers


def show_numbers(numbers: set[int]) -> str:
    """{0, 1, 2, 5} as `0-2,5`."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def find_bits(mask: int) -> set[int]:
    """0b1011 is {0, 1, 3}."""
    return {number for number in range(mask.bit_length()) if mask >> number & 1}


def make_mask(numbers: set[int]) -> int:
    """{0, 1, 3} as 0b1011."""
    return sum(1 << number for number in numbers)
