"""examples/ in Python: numpy, zarr, asyncio, a notebook; over a real ssh, with what their pages show."""

import json
import re
import sys
from contextlib import ExitStack

import pytest

from tests.examples.conftest import EXAMPLES, assert_page_shows
from tests.support.command import needs_source
from tests.support.sshd import HOST, Sshd
from tests.support.trees import list_tree, make_tree, write_random

pytestmark = needs_source

RUN_NOTEBOOK = """
import sys
import nbformat
from nbclient import NotebookClient

path, source, target = sys.argv[1:]
notebook = nbformat.read(path, 4)
(given,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
given.source = f"source, target = {source!r}, {target!r}"
NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
print(nbformat.writes(notebook))
"""
# Reads what arrived without escp.
READ_ZARR = """
import sys
import zarr
steps = zarr.open_array(sys.argv[1], mode="r")
print(steps.shape, steps.nchunks_initialized, steps.attrs["complete"], f"{steps[-1].sum():.0f}")
"""


def test_array_goes_there_and_back(python, target):
    said = python(EXAMPLES / "numpy_array" / "field.py", f"{HOST}:{target}/field.npy", 64)
    assert_page_shows("numpy_array", said)
    assert "verified: True; equal: True" in said
    assert int(re.search(r"beside the array: (\d+) MiB", said)[1]) < 40  # the array has 64
    shape = python("-c", f"import numpy; print(numpy.load('{target}/field.npy').shape)")
    assert shape == "(8192, 1024)\n"


def test_steps_are_there_as_soon_as_they_are_computed(python, target):
    url = f"escp://{HOST}{target}/heat.zarr"
    said = python(EXAMPLES / "zarr_dataset" / "simulate.py", url, 6, 512)
    assert_page_shows("zarr_dataset", said)
    total = re.search("sum of the last: (.*)", said)[1]
    assert python("-c", READ_ZARR, target / "heat.zarr") == f"(6, 512, 512) 6 True {total}\n"
    seen = python(EXAMPLES / "zarr_dataset" / "watch.py", url)
    assert_page_shows("zarr_dataset", seen)
    assert seen.count("hottest") == 6 and seen.endswith(f"sum of the last: {total}\n")


@pytest.fixture
def three_hosts(folder, settings):
    """dtn1, dtn2 and dtn3, each with an sshd of its own."""
    with ExitStack() as stack:
        lines = []
        for name in ("dtn1", "dtn2", "dtn3"):
            (folder / name).mkdir()
            host = stack.enter_context(Sshd(folder / name))
            text = host.client_config.read_text().replace(f"Host {HOST}", f"Host {name}")
            lines.append(text.replace("Host *", f"Host {name}"))
        (folder / "ssh_config").write_text("\n".join(lines))
        settings["ssh-config"] = folder / "ssh_config"
        yield ("dtn1", "dtn2", "dtn3")


def test_tree_goes_to_three_hosts(run, three_hosts, folder, source):
    make_tree(source)
    write_random(source / "large", 5_000_000)
    targets = [f"{name}:{folder}/{name}/data/" for name in three_hosts]
    for name in three_hosts:
        (folder / name / "data").mkdir()
    said = run(sys.executable, EXAMPLES / "fan_out" / "fan_out.py", source, *targets)
    assert_page_shows("fan_out", re.sub(f"{folder}/dtn./", "/", said))
    assert said.endswith("3 of 3 hosts have all of it\n")
    for name in three_hosts:
        assert list_tree(folder / name / "data" / "source") == list_tree(source)


def test_host_that_fails_keeps_no_other_from_it(run, three_hosts, folder, source):
    (source / "a").write_text("x")
    (folder / "good").mkdir()
    targets = [f"dtn1:{folder}/good/", f"dtn2:{folder}/absent/x/", f"dtn3:{folder}/good/again"]
    said = run(sys.executable, EXAMPLES / "fan_out" / "fan_out.py", source, *targets, code=1)
    assert re.search("^dtn2:.*absent", said, flags=re.M) and "2 of 3 hosts have all of it" in said
    assert (folder / "good/source/a").exists() and (folder / "good/again/a").exists()


def test_notebook_shows_how_far_the_copy_is(python, folder, source, target):
    make_tree(source)
    write_random(source / "large", 5_000_000)
    path = EXAMPLES / "notebook" / "copy.ipynb"
    done = json.loads(python("-c", RUN_NOTEBOOK, path, source, f"{HOST}:{target}"))
    assert list_tree(target / "source") == list_tree(source)
    said = "".join(
        "".join(output.get("text", ""))
        for cell in done["cells"] if cell["cell_type"] == "code" for output in cell["outputs"]
    )  # fmt: skip
    assert "verified: True" in said
    assert_page_shows("notebook", said)
    states = done["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"].values()
    (bar,) = (one["state"] for one in states if one["model_name"] == "FloatProgressModel")
    assert bar["value"] == 1.0
    (words,) = (one["state"]["value"] for one in states if one["model_name"] == "LabelModel")
    assert re.fullmatch(r"\d+ files, 8 MB", words)


def test_notebook_is_kept_without_results():
    notebook = json.loads((EXAMPLES / "notebook" / "copy.ipynb").read_text())
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook["cells"])
