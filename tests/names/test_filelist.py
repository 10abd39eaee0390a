"""File lists: lines, NUL-separated names and YAML; what is refused, and where it is said to be."""

import gc
import itertools
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from escp.errors import LocalFileError, UsageError
from escp.names import filelist
from escp.names.filelist import MAX_ENTRY_BYTES, read_filelist
from tests.support import peak

ROOT = Path(__file__).parents[2]
N_LINES = 1_000_000
MORE_LIMIT_BYTES = 4 << 20  # than for a hundred entries; the million would take 60 MB and more

NAMES = st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name)
# What YAML's own dumper can write, and the characters that look like something else.
TEXTS = st.text(
    st.one_of(
        st.sampled_from("#-: '\"[]{},&*!|>%@`\\\t\r\n\x85\u2028\ufeff~?"),
        st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"),
    ),
    min_size=1,
    max_size=30,
)
PARTS = TEXTS.map(lambda text: text.replace("/", "_")).filter(
    lambda text: text not in (".", "..") and len(text.encode()) <= 255
)
TARGETS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)


def read(path: Path, data: bytes, *, is_nul: bool = False) -> list[tuple[bytes, bytes | None]]:
    path.write_bytes(data)
    return list(read_filelist(str(path), is_nul=is_nul))


def alone(*names: bytes) -> list[tuple[bytes, None]]:
    return [(name, None) for name in names]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "list"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A file that hypothesis may write again and again."""
    return tmp_path_factory.mktemp("lists") / "list"


@pytest.fixture(params=["libyaml", "PyYAML"])
def parser(request, monkeypatch):
    """Both YAML parsers: the one in C is missing from some installations."""
    if request.param == "PyYAML":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    elif not yaml.__with_libyaml__:
        pytest.skip("PyYAML was built without libyaml")


# ---- Lines ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"", []), (b"\n\n", []), (b"a", [b"a"]), (b"a\n", [b"a"]), (b"a\n\nb", [b"a", b"b"]),
        (b"a\r\nb \n c\n", [b"a\r", b"b ", b" c"]), (b"#a\nb\n#c\n", [b"#a", b"b", b"#c"]),
        (b"\xff\xfe\n\x1b[2J\n", [b"\xff\xfe", b"\x1b[2J"]), (b"./- a\n- b\n", [b"./- a", b"- b"]),
        (b"-a\n", [b"-a"]), (b"-\ta\n-\n", [b"-\ta", b"-"]), (b"--- a\n--\n", [b"--- a", b"--"]),
        (b"host:a b\n", [b"host:a b"]),
        (b"[a, b]\n", [b"[a, b]"]), (b"a: b\n", [b"a: b"]), (b"/\n..\n", [b"/", b".."]),
        (b"x" * MAX_ENTRY_BYTES + b"\n" + b"y" * MAX_ENTRY_BYTES,
         [b"x" * MAX_ENTRY_BYTES, b"y" * MAX_ENTRY_BYTES]),
        (b"# c\n" * 40_000 + b"- a\n", [b"# c"] * 40_000 + [b"- a"]),  # too late to be taken for YAML
    ],
)  # fmt: skip
def test_lines(path, data, names):
    assert read(path, data) == alone(*names)


def test_plain_list_of_names_is_no_yaml_scalar(path):
    """The original gives such a list to YAML first, which makes one string of it."""
    data = b"/data/run one.dat\n/data/run two.dat\n"
    assert isinstance(yaml.safe_load(data), str)
    assert read(path, data) == alone(b"/data/run one.dat", b"/data/run two.dat")


@given(names=st.lists(NAMES.filter(lambda name: b"\n" not in name)), ends=st.booleans())
def test_any_names_come_back_from_lines(shared, names, ends):
    names = names and [b"./" + names[0], *names[1:]]  # never YAML's `- ` or `---`, nor a comment
    data = b"\n".join(names) + (b"\n" if ends else b"")
    assert read(shared, data) == alone(*names)


@given(names=st.lists(NAMES), ends=st.booleans())
def test_any_names_come_back_with_nul(shared, names, ends):
    data = b"\0".join(names) + (b"\0" if ends and names else b"")
    assert read(shared, data, is_nul=True) == alone(*names)


def test_nul_list_is_never_yaml(tmp_path):
    assert read(tmp_path / "a.yaml", b"- a\n\0[b]", is_nul=True) == alone(b"- a\n", b"[b]")


@pytest.mark.parametrize("size", [1, 7, 65536])
def test_chunks_of_any_size(monkeypatch, path, size):
    monkeypatch.setattr(filelist, "_CHUNK_BYTES", size)
    names = [b"%d" % number for number in range(100)]
    assert read(path, b"\n".join(names)) == alone(*names)
    assert read(path, b"\0".join(names), is_nul=True) == alone(*names)
    assert read(path, b"# \xc3\xa9\n- [a, \xc3\xa9]\n") == [(b"a", b"\xc3\xa9")]


@pytest.mark.parametrize(
    ("data", "is_nul", "place", "said"),
    [
        (b"a\n\nb\0c\n", False, "line 3", "NUL"), (b"a\0\0b", True, "entry 2", "empty"),
        (b"\0", True, "entry 1", "empty"), (b"a\n" + b"x" * (MAX_ENTRY_BYTES + 1), False, "line 2", "65536"),
        (b"a\0" + b"x" * 2 * MAX_ENTRY_BYTES + b"\0b", True, "entry 2", "65536"),
        (b"a\n" + b"x" * 10 * MAX_ENTRY_BYTES, False, "line 2", "65536"),
    ],
)  # fmt: skip
def test_bad_line(path, data, is_nul, place, said):
    with pytest.raises(UsageError) as caught:
        read(path, data, is_nul=is_nul)
    assert f"'{path}', {place}: " in str(caught.value) and said in str(caught.value)


def test_entries_before_a_bad_one_come_first(path):
    path.write_bytes(b"a\nb\nc\0\n")
    entries = read_filelist(str(path), is_nul=False)
    assert list(itertools.islice(entries, 2)) == alone(b"a", b"b")
    with pytest.raises(UsageError):
        next(entries)


# ---- YAML -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [b"- a\n- [b, c/d]\n", b"---\n- a\n- [b, c/d]\n", b"--- # list\n- a\n- [b, c/d]\n...\n",
     b"# first\n\n  # second\r\n- a\r\n- [b, c/d]\r\n", b"- 'a'\n- - b\n  - \"c/d\"\n",
     b"\xef\xbb\xbf- a\n- [b, c/d]", b"- a\n-\n  [b,\n   c//./d]\n", b"- !!str a\n- !!seq [b, ! c/d]"],
)  # fmt: skip
def test_yaml_is_seen_by_its_first_line(parser, path, data):
    assert read(path, data) == [(b"a", None), (b"b", b"c/d")]


@pytest.mark.parametrize("name", ["a.yaml", "a.yml", "A.YAML"])
def test_yaml_by_extension(parser, tmp_path, name):
    assert read(tmp_path / name, b"[a, [b, c]]") == [(b"a", None), (b"b", b"c")]
    assert read(tmp_path / name, b"") == read(tmp_path / name, b"# none\n") == []


def test_what_is_written_in_yaml_is_the_name(parser, path):
    data = b"- 007\n- no\n- null\n- ~\n- 2026-01-01\n- 1e3\n- host:a b\n- =\n" + b'- "a\\x1b"\n'
    assert read(path, data) == alone(
        b"007", b"no", b"null", b"~", b"2026-01-01", b"1e3", b"host:a b", b"=", b"a\x1b"
    )


@given(
    entries=st.lists(st.one_of(TEXTS, st.tuples(TEXTS, TARGETS).map(list)), min_size=1),
    flow=st.sampled_from([True, False, None]),
    style=st.sampled_from([None, "'", '"']),
    has_unicode=st.booleans(),
    is_in_c=st.booleans(),
)
def test_any_names_come_back_from_yaml(shared, entries, flow, style, has_unicode, is_in_c):
    data = yaml.safe_dump(entries, default_flow_style=flow, default_style=style, allow_unicode=has_unicode)
    if "!!" in data:
        return  # safe_dump tags what default_style made look like something else
    assume(not set(data) & set("\x85\u2028\u2029"))  # it writes these raw, and reads them as breaks
    place = shared.with_suffix(".yaml")
    with pytest.MonkeyPatch.context() as patch:
        if not is_in_c:
            patch.delattr(yaml, "CSafeLoader", raising=False)
        assert read(place, data.encode()) == [
            (entry.encode(), None) if isinstance(entry, str) else (entry[0].encode(), entry[1].encode())
            for entry in entries
        ]


@given(data=st.one_of(st.binary(), st.text("-[] \n:#'\"ab&*!|>{},?%.\\", max_size=60).map(str.encode)))
def test_any_bytes_are_entries_or_a_usage_error(shared, data):
    place = shared.with_suffix(".yml")
    for has_c in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            if not has_c:
                patch.delattr(yaml, "CSafeLoader", raising=False)
            try:
                entries = read(place, data)
            except UsageError as e:
                assert str(e).startswith(f"file list '{place}'") and "\n" not in str(e)
            else:
                assert all(source and b"\0" not in source for source, _ in entries)


@pytest.mark.parametrize(
    ("data", "line", "said"),
    [
        (b"a\nb\n", 1, "not a list"), (b"\n\na: b\n", 3, "not a list"), (b"--- a", 1, "not a list"),
        (b"---\n", None, "not a list"), (b"- a\n- b: c\n", 2, "neither"), (b"- a\n- {b: c}\n", 2, "neither"),
        (b"- a\n- [b]\n", 2, "pair"), (b"- []\n", 1, "pair"), (b"- [a, b, c]\n", 1, "pair"),
        (b"- a\n-\n  - [b, c]\n  - d\n", 3, "neither"), (b"- [[a], b]", 1, "neither"),
        (b"- a\n- &x b\n", 2, "anchors"), (b"- a\n- *x\n", 2, "anchors"), (b"--- &x\n- a\n", 1, "anchors"),
        (b"- &x [a, b]\n- *x\n", 1, "anchors"), (b"- [a, *x]", 1, "anchors"),
        (b"- !!int 5\n", 1, "tags"), (b"- !!python/name:os.system x\n", 1, "tags"),
        (b"- !!set [a, b]", 1, "tags"),
        (b"- a\n---\n- b\n", 2, "second document"), (b"- a\n-\n", 2, "source is empty"),
        (b"- a\n- ''\n", 2, "source is empty"), (b"- ['', b]", 1, "source is empty"),
        (b"- [a, '']", 1, "target is empty"), (b"- [a, ]", 1, "pair"), (b"- a\n- [b, /c]\n", 2, "absolute"),
        (b"- [a, ..]", 1, "upwards"), (b"- [a, b/../c]", 1, "upwards"), (b"- [a, b/..]", 1, "upwards"),
        (b"- [a, b/]", 1, "without a name"), (b"- [a, .]", 1, "without a name"),
        (b"- [a, b/.]", 1, "without a name"),
        (b"- [a, " + b"x" * 256 + b"]", 1, "too long"), (b"- [a, " + b"x/" * 2048 + b"x]", 1, "too long"),
        (b'- a\n- "b\\0c"\n', 2, "NUL"), (b'- [a, "b\\0c"]\n', 1, "NUL"), (b"- a\n- b\0c\n", 2, "U+0000"),
        (b"- a\n# \x07\n", 2, "U+0007"), (b"- a\n- \xff\n", 2, "no UTF-8"), (b"- a\n\n- \xc3", 3, "no UTF-8"),
        (b"- a\n- 'b\n", None, "no YAML"), (b"- a\n - b\nc\n", None, "YAML"),
        (b"- a\n- [b, c\n", None, "no YAML"),
        (b"- a\n- %b\n", 2, "no YAML"), (b"- a\n- " + b"x" * (MAX_ENTRY_BYTES + 1), 2, "65536"),
        (b"- a\n- \xc3\xa9" + b"\xc3\xa9" * (MAX_ENTRY_BYTES // 2), 2, "65536"),
        (b"- a\n- '" + b"x " * 10 * MAX_ENTRY_BYTES + b"'", 2, "65536"),
        (b"- a\n# " + b"x" * 10 * MAX_ENTRY_BYTES, 2, "65536"),
    ],
)  # fmt: skip
def test_bad_yaml(parser, tmp_path, data, line, said):
    path = tmp_path / "bad.yaml"
    with pytest.raises(UsageError) as caught:
        read(path, data)
    text = str(caught.value)
    assert text.startswith(f"file list '{path}', line {line or ''}") and said in text
    assert "\n" not in text and not text.endswith(".")


def test_half_a_character_in_yaml(parser, path):
    with pytest.raises(UsageError, match="line 1: "):
        read(path, b'- "\\ud800"\n')


# ---- Files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"a\nb", b"- a\n- b\n"])
def test_fifo(path, data):
    os.mkfifo(path)

    def write():
        with path.open("wb", buffering=0) as file:
            for at in range(len(data)):
                file.write(data[at : at + 1])

    writer = threading.Thread(target=write)
    writer.start()
    assert list(read_filelist(str(path), is_nul=False)) == alone(b"a", b"b")
    writer.join()


READER = """
import sys
from escp.errors import EscpError
from escp.names.filelist import read_filelist
try:
    for source, target in read_filelist(sys.argv[1], is_nul=sys.argv[2] == "-0"):
        if sys.argv[2] == "show":
            print(source, target, flush=True)
except EscpError as e:
    print(e)
"""


def start_reader(*words: str | Path, **popen: object) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", READER, *words], cwd=ROOT, text=True, bufsize=1, **popen)


@pytest.mark.parametrize("is_blocking", [True, False])
def test_standard_input_entry_by_entry(is_blocking):
    fd, ours = os.pipe()
    os.set_blocking(fd, is_blocking)
    with (
        start_reader("-", "show", stdin=fd, stdout=subprocess.PIPE) as reader,
        os.fdopen(ours, "wb", buffering=0) as out,
    ):
        os.close(fd)
        for name in (b"a", b"b", b"c"):
            out.write(name + b"\n")
            assert reader.stdout.readline() == f"{name!r} None\n"  # before there is any more
        out.write(b"x\0y\n")
        out.close()
        assert reader.stdout.read().startswith("file list standard input, line 4: a NUL")


def test_yaml_list_without_pyyaml(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    path.write_bytes(b"- a\n")
    with pytest.raises(UsageError, match=r"list '.*': the Python package PyYAML is missing") as caught:
        next(read_filelist(str(path), is_nul=False))
    assert "one name a line" in caught.value.hint


def test_unreadable_lists(tmp_path):
    for path, said in [(tmp_path / "none", "no such file"), (tmp_path, "is a directory")]:
        entries = read_filelist(str(path), is_nul=False)
        with pytest.raises(LocalFileError) as caught:
            next(entries)
        assert f"'{path}': {said}" in str(caught.value)


def test_file_is_closed_when_nobody_reads_on(path):
    path.write_bytes(b"a\nb\n")
    gc.collect()  # what earlier tests left may close a descriptor meanwhile
    before = os.listdir("/proc/self/fd")
    entries = read_filelist(str(path), is_nul=False)
    next(entries)
    entries.close()
    assert os.listdir("/proc/self/fd") == before


FORMS = {
    "lines": ("", "-", lambda number: b"/data/run/file%d.dat\n" % number),
    "nul": ("", "-0", lambda number: b"/data/run/file%d.dat\0" % number),
    "yaml": (".yaml", "-", lambda number: b"- [/data/run/file%d.dat, run/%d]\n" % (number, number)),
    "flow": (".yaml", "-", lambda number: (b", " if number else b"[") + b"/data/run/file%d.dat" % number),
}  # fmt: skip


def measure_peak_bytes(folder: Path, form: str, n_lines: int) -> int:
    suffix, flag, line = FORMS[form]
    path = folder / f"list{suffix}"
    with path.open("wb") as file:
        for begin in range(0, n_lines, 10_000):
            file.write(b"".join(line(number) for number in range(begin, min(n_lines, begin + 10_000))))
        file.write(b"]" if form == "flow" else b"")
    command = [sys.executable, peak.__file__, folder / "peak", sys.executable, "-c", READER, path, flag]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return int((folder / "peak").read_text())


@pytest.mark.parametrize("form", FORMS)
def test_a_million_entries_in_constant_memory(tmp_path, form):
    if FORMS[form][0] and not yaml.__with_libyaml__:
        pytest.skip("PyYAML alone takes 40 s")
    n_short, n_long = (measure_peak_bytes(tmp_path, form, n_lines) for n_lines in (100, N_LINES))
    assert n_long - n_short < MORE_LIMIT_BYTES
