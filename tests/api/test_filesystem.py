"""escp:// for fsspec: its own suite for file systems, and what programs do through it, over a real ssh."""

import os
import shutil
import threading

import pytest

fsspec = pytest.importorskip("fsspec")

from fsspec.tests import abstract  # noqa: E402

from escp.api.filesystem import EscpFileSystem  # noqa: E402
from escp.errors import EscpError  # noqa: E402
from tests.api.test_copy import login  # noqa: E402
from tests.support.command import ROOT  # noqa: E402
from tests.support.trees import write_random  # noqa: E402


class EscpFixtures(abstract.AbstractFixtures):
    @pytest.fixture
    def fs(self, files):
        return files

    @pytest.fixture
    def fs_path(self, tmp_path):
        path = tmp_path / "there"
        path.mkdir()
        return str(path)


class TestCopy(abstract.AbstractCopyTests, EscpFixtures):
    pass


class TestGet(abstract.AbstractGetTests, EscpFixtures):
    pass


class TestPut(abstract.AbstractPutTests, EscpFixtures):
    pass


class TestPipe(abstract.AbstractPipeTests, EscpFixtures):
    pass


class TestOpen(abstract.AbstractOpenTests, EscpFixtures):
    pass


@pytest.fixture
def there(tmp_path):
    path = tmp_path / "there"
    path.mkdir()
    return path


def test_address():
    assert EscpFileSystem._strip_protocol("escp://me@box:22/a//b/") == "/a//b"
    assert EscpFileSystem._strip_protocol("escp://box") == EscpFileSystem._strip_protocol("/") == "/"
    assert EscpFileSystem._strip_protocol(["escp://box/a", "b"]) == ["/a", "/b"]
    for url, found in {
        "escp://me@box:22/a": {"host": "box", "user": "me", "port": 22},
        "escp://Box/a?b#c": {"host": "Box"},
        "escp://[2001:db8::7]/a": {"host": "2001:db8::7"},
        "escp://me@[::1]:22/a/[b]": {"host": "::1", "user": "me", "port": 22},
    }.items():
        assert EscpFileSystem._get_kwargs_from_urls(url) == found
    assert EscpFileSystem._strip_protocol("escp://[::1]:22/a/[b]") == "/a/[b]"


def test_address_of_a_path_has_its_host(files, there):
    address = files.unstrip_protocol(there / "a")
    assert address == f"escp://box{there}/a" and files._strip_protocol(address) == f"{there}/a"


def test_a_lost_connection_is_not_the_absence_of_a_file(escp, there):
    (there / "a").write_text("old")
    fs = EscpFileSystem("box", skip_instance_cache=True, **login(escp))
    assert fs.exists(there / "a") and fs.isfile(there / "a") and fs.isdir(there)
    assert not (fs.exists(there / "b") or fs.isfile(there / "b") or fs.isdir(there / "a" / "c"))
    fs.close()
    for call in (fs.exists, fs.isfile, fs.isdir, lambda path: fs.open(path, "ab")):
        with pytest.raises(EscpError):
            call(there / "a")
    assert (there / "a").read_text() == "old"


def test_entry_point_leads_to_it():
    text = (ROOT / "pyproject.toml").read_text()
    assert 'escp = "escp.api.filesystem:EscpFileSystem"' in text


def test_opened_by_address(escp, there):
    fsspec.register_implementation("escp", EscpFileSystem, clobber=True)
    words = login(escp)
    words["agent"] = words.pop("escp")
    with fsspec.open(f"escp://box{there}/a.txt", "w", **words) as file:
        file.write("hello\nthere\n")
    assert (there / "a.txt").read_text() == "hello\nthere\n"
    with fsspec.open(f"escp://box{there}/a.txt", "r", **words) as file:
        assert file.readlines() == ["hello\n", "there\n"]
    fs, path = fsspec.url_to_fs(f"escp://box{there}/a.txt", **words)
    assert fs is EscpFileSystem(host="box", **words) and fs.cat(path) == b"hello\nthere\n"
    fs.close()
    EscpFileSystem.clear_instance_cache()


@pytest.mark.parametrize("size", [0, 1, 262_144, 262_145, 9_000_000])
def test_contents(files, there, size):
    write_random(there / "a", size)
    whole = (there / "a").read_bytes()
    path = str(there / "a")
    assert files.cat_file(path) == whole and files.size(path) == size
    for start, end in ((0, 10), (size // 2, None), (-5, None), (3, -3), (size, size + 5), (None, size // 3)):
        assert files.cat_file(path, start, end) == whole[start:end]
    files.pipe_file(str(there / "b"), whole)
    assert (there / "b").read_bytes() == whole
    files.get_file(path, there / "c")
    files.put_file(there / "c", str(there / "d"))
    assert (there / "d").read_bytes() == whole
    assert files.checksum(path) == files.checksum(str(there / "d"))


def test_ranges_of_an_open_file(files, there):
    write_random(there / "a", 3_000_000)
    whole = (there / "a").read_bytes()
    with files.open(str(there / "a"), block_size=50_000) as file:
        for at in (0, 2_999_990, 1_234_567, 50_000, 49_999, 0):
            file.seek(at)
            assert file.read(1000) == whole[at : at + 1000]
        file.seek(-10, 2)
        assert file.read() == whole[-10:] and file.read() == b""


def test_what_is_being_written_is_not_there_yet(files, there):
    (there / "a").write_text("old")
    path = str(there / "a")
    with files.open(path, "wb") as file:
        file.write(b"new")
        file.flush()
        assert (there / "a").read_text() == "old"
    assert (there / "a").read_text() == "new"
    with pytest.raises(ZeroDivisionError), files.open(path, "wb") as file:
        file.write(b"half of")
        raise ZeroDivisionError
    assert (there / "a").read_text() == "new" and os.listdir(there) == ["a"]
    with files.open(path, "ab") as file:
        file.write(b"er")
    assert (there / "a").read_text() == "newer"
    with files.open(path, "r+b") as file:
        file.seek(1)
        file.write(b"o")
    assert (there / "a").read_text() == "nower"
    with pytest.raises(FileNotFoundError):
        files.open(str(there / "absent"), "r+b")
    with files.open(str(there / "new"), "xb") as file:
        file.write(bytes(1_000_000))
        (there / "new").write_text("somebody was faster")
        with pytest.raises(FileExistsError):
            file.close()
    assert (there / "new").read_text() == "somebody was faster"


@pytest.mark.parametrize("mode", ["w", "wt", "a", "x"])
def test_text_that_is_half_written(files, there, mode):
    path = str(there / ("new" if mode == "x" else "a"))
    (there / "a").write_text("old\n")
    with pytest.raises(ZeroDivisionError), files.open(path, mode, encoding="latin-1", newline="\r\n") as file:
        file.write("half of ä\n")
        raise ZeroDivisionError
    assert (there / "a").read_text() == "old\n" and os.listdir(there) == ["a"]
    with files.open(path, mode, encoding="latin-1", newline="\r\n") as file:
        file.write("ä\n")
    assert (there / os.path.basename(path)).read_bytes() == b"old\n" * (mode == "a") + b"\xe4\r\n"
    with files.open(path, "r", encoding="latin-1") as file:
        assert file.readlines()[-1] == "ä\n"


def test_transaction(files, there):
    (there / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), files.transaction:
        with files.open(str(there / "a"), "wb") as file:
            file.write(b"new")
        assert (there / "a").read_text() == "old"
        raise ZeroDivisionError
    assert (there / "a").read_text() == "old"
    with files.transaction:
        with files.open(str(there / "a"), "wb") as file:
            file.write(b"new")
        assert (there / "a").read_text() == "old"
    assert (there / "a").read_text() == "new"


def test_names_that_look_like_patterns(files, there):
    for name in ("a[1]", "b*", "c?", "d\\e", "~"):
        (there / name).write_bytes(bytes(300_000))
        (there / "here").unlink(missing_ok=True)
        files.get_file(str(there / name), there / "here")
        assert (there / "here").stat().st_size == 300_000
    files.pipe_file(str(there / "x:y"), bytes(300_000))
    assert (there / "x:y").stat().st_size == 300_000


@pytest.mark.parametrize("size", [10, 5_000_000])
@pytest.mark.parametrize(
    "name", ["a b#c?d%20e&f=g;h", "new\nline", "ü\u0308", "a::b", "-x", "~", os.fsdecode(b"\xff")]
)
def test_any_name(files, there, name, size):
    """By all that takes no pattern."""
    path, other = str(there / "d" / name), str(there / "d" / f"{name}.2")
    data = os.urandom(size)
    files.pipe_file(path, data)
    assert files.ls(str(there / "d"), detail=False) == files.find(str(there)) == [path]
    assert files.cat_file(path) == data == files.cat([path])[path] and files.info(path)["size"] == size
    with files.open(path, "rb") as file:
        file.seek(-5, 2)
        assert file.read() == data[-5:]
    files.get_file(path, there / "here")
    assert (there / "here").read_bytes() == data
    files.mv(path, other)
    assert not files.exists(path) and files.isfile(other)
    with files.open(other, "ab") as file:
        file.write(b"more")
    assert (there / "d" / f"{name}.2").read_bytes() == data + b"more"
    files.rm(str(there / "d"), recursive=True)
    assert not files.exists(str(there / "d"))


def test_several_ranges(files, there):
    write_random(there / "a", 3_000_000)
    whole, path = (there / "a").read_bytes(), str(there / "a")
    found = files.cat_ranges([path] * 4, [0, 10, -7, 2_999_999], [5, 500_000, None, 4_000_000])
    assert found == [whole[:5], whole[10:500_000], whole[-7:], whole[-1:]]
    found = files.cat_ranges([path, path + "x"], 0, 3, on_error="return")
    assert found[0] == whole[:3] and isinstance(found[1], FileNotFoundError)


def test_trees_are_removed_once_and_what_is_not_there_is_told(files, there):
    for name in ("a/b", "a c", "d1", "d2/e"):
        (there / name).mkdir(parents=True)
    os.symlink("nowhere", there / "n")
    os.symlink(there / "a", there / "l")
    files.rm([str(there / name) for name in ("a/b", "a", "n", "l", "d*")], recursive=True)
    assert os.listdir(there) == ["a c"]
    for path in ("absent", "a c/absent"):
        with pytest.raises(FileNotFoundError):
            files.rm(str(there / path), recursive=True)


def test_lists(files, there):
    (there / "a").write_text("x")
    (there / "d").mkdir()
    os.symlink("a", there / "l")
    os.symlink("nowhere", there / "n")
    found = {
        os.path.basename(one["name"]): (one["type"], one["size"], one["islink"])
        for one in files.ls(str(there))
    }
    assert found.pop("d")[::2] == ("directory", False)
    assert found == {"a": ("file", 1, False), "l": ("file", 1, True), "n": ("link", 7, True)}
    assert files.ls(str(there / "a"), detail=False) == [str(there / "a")]
    assert files.ls(str(there), detail=False) == [str(there / name) for name in "adln"]
    assert (
        files.isdir(str(there / "d"))
        and files.isfile(str(there / "l"))
        and not files.exists(str(there / "x"))
    )
    assert files.find(str(there)) == [str(there / name) for name in "aln"]
    assert files.glob(str(there / "[a-l]")) == [str(there / name) for name in "adl"]
    assert files.modified(str(there / "a")).timestamp() == pytest.approx((there / "a").stat().st_mtime)
    for call in (files.ls, files.info, files.cat_file, files.rm_file, files.rmdir):
        with pytest.raises(FileNotFoundError):
            call(str(there / "absent"))


def test_changes(files, there):
    files.makedirs(str(there / "a/b/c"))
    files.makedirs(str(there / "a/b/c"), exist_ok=True)
    with pytest.raises(FileExistsError):
        files.makedirs(str(there / "a/b/c"))
    files.mkdir(str(there / "e/f"))
    files.pipe({str(there / "a/x"): b"x", str(there / "a/b/y"): b"y"})
    files.mv(str(there / "a/x"), str(there / "a/b/y"))
    files.mv(str(there / "a/b/y"), str(there / "e"))
    assert (there / "e/y").read_text() == "x"
    files.touch(str(there / "e/z"))
    with pytest.raises(OSError):
        files.rmdir(str(there / "e"))
    with pytest.raises(NotADirectoryError):
        files.rmdir(str(there / "e/z"))
    files.rm(str(there / "e"), recursive=True)
    files.rm([str(there / "a/b"), str(there / "a")], recursive=True)
    assert os.listdir(there) == []


def test_callback_hears_of_bytes(files, there):
    write_random(there / "a", 5_000_000)

    class Heard(fsspec.Callback):
        values = ()

        def call(self, *_, **__):
            self.values += (self.value,)

    for copy, ends in (
        (files.get_file, (str(there / "a"), there / "b")),
        (files.put_file, (there / "a", str(there / "c"))),
    ):
        heard = Heard()
        copy(*ends, callback=heard)
        assert heard.size == 5_000_000 and heard.values[-1] == 5_000_000


def test_many_threads(files, there):
    wrong = []

    def run(number):
        path = str(there / str(number))
        for size in (10, 300_000):
            files.pipe_file(path, bytes([number]) * size)
            if files.cat_file(path) != bytes([number]) * size:
                wrong.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and len(os.listdir(there)) == 10


@pytest.mark.parametrize("size", [10, 300_000])
def test_many_threads_write_into_a_directory_that_is_not_there(files, there, size):
    """As zarr and dask write chunks: whoever comes late finds that others have made it meanwhile."""
    wrong = []

    def run(number):
        for turn in range(3):
            try:
                files.pipe_file(str(there / f"{turn}/c/{number}"), bytes([number]) * size)
            except Exception as e:
                wrong.append(e)
            barrier.wait()

    barrier = threading.Barrier(8)
    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    paths = [there / f"{turn}/c/{number}" for turn in range(3) for number in range(8)]
    assert all(path.stat().st_size == size for path in paths)


def test_words_of_fsspec_are_no_options_of_escps(escp, there):
    """zarr says `asynchronous` to every file system, and looks afterwards whether it is."""
    words = {"asynchronous": True, "loop": None, "batch_size": 8, "use_listings_cache": True,
             "listings_expiry_time": 5, "max_paths": 10, "skip_instance_cache": True}  # fmt: skip
    fs = EscpFileSystem("box", **words, **login(escp))
    assert not fs.async_impl
    fs.pipe_file(str(there / "a"), b"x")
    assert fs.cat_file(str(there / "a")) == b"x"
    fs.close()


def test_directory_that_is_no_more(files, there):
    shutil.rmtree(there)
    with pytest.raises(FileNotFoundError):
        files.ls(str(there))
