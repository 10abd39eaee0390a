"""examples/ for workflow engines and batch systems: Snakemake and Nextflow; of Slurm its script."""

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.examples.conftest import EXAMPLES, assert_page_shows
from tests.support.command import needs_source
from tests.support.nextflow import LacksNextflow, find_nextflow
from tests.support.sshd import HOST
from tests.support.trees import list_tree, write_random

pytestmark = needs_source

RUNS = ("run1", "run2", "run3")


def read_result(path: Path) -> dict:
    """The last object of --json."""
    return json.loads(path.read_text().splitlines()[-1])


def assert_all_arrived(target: Path) -> None:
    for run in RUNS:
        parts = sorted((target / run).iterdir())
        assert [path.name for path in parts] == [f"part-{n}.txt" for n in range(1, 6)]
        assert all(path.read_text().splitlines()[-1] == f"{n * 20000}" for n, path in enumerate(parts, 1))


def test_snakemake_sends_what_it_computed_once(python, folder, target):
    words = ["-m", "snakemake", "--snakefile", EXAMPLES / "snakemake" / "Snakefile", "--directory", folder]
    words += ["--cores", 2, "--config", f"target={HOST}:{target}/"]
    said = python(*words, is_log=True)
    assert_all_arrived(target)
    for run in RUNS:
        assert read_result(folder / "sent" / f"{run}.json")["files"] == 5, said
    before = {path: path.stat().st_ino for path in target.rglob("*")}
    (folder / "sent" / "run2.json").unlink()
    python(*words)  # run2 again, of which nothing is missing
    assert {path: path.stat().st_ino for path in target.rglob("*")} == before


def test_snakemake_takes_no_copy_for_done_that_failed(python, folder, target):
    words = ["-m", "snakemake", "--snakefile", EXAMPLES / "snakemake" / "Snakefile", "--directory", folder]
    words += ["--cores", 2, "--retries", 0, "--config", f"target={HOST}:{target}/absent/x/", "runs=run1"]
    python(*words, code=1)
    assert not (folder / "sent" / "run1.json").exists() and (folder / "results" / "run1").is_dir()


# ---- Nextflow -------------------------------------------------------------------------------------------

PIPELINE = EXAMPLES / "nextflow" / "main.nf"


def read_script(process: str) -> str:
    """What Nextflow gives to bash: the text of a process, before its names are filled in."""
    found = re.search(rf'^process {process} \{{.*?^    """\n(.*?)^    """', PIPELINE.read_text(), re.M | re.S)
    return found[1]


def fill_in(script: str, **names: str) -> str:
    """As Groovy does: $name and ${name}, but for \\$."""
    known = re.sub(r"(?<!\\)\$(?:\{([\w.]+)\}|(\w+))", lambda found: names[found[1] or found[2]], script)
    return known.replace("\\$", "$")


def test_scripts_of_nextflow_compute_and_send(run, folder, target):
    for name in RUNS:
        work = folder / f"work-{name}"  # Nextflow gives each task a folder, with links to what it takes
        work.mkdir()
        run("bash", "-euc", fill_in(read_script("compute"), run=name))
        (work / name).symlink_to(folder / name)
        send = fill_in(read_script("send"), run=name, **{"params.target": f"{HOST}:{target}/"})
        run("bash", "-euc", f"cd {work}\n{send}")
        assert read_result(work / f"{name}.json")["files"] == 5
    assert_all_arrived(target)


@pytest.fixture(scope="module")
def nextflow():
    """Its path."""
    try:
        return find_nextflow() / "nextflow"
    except LacksNextflow as e:
        pytest.skip(str(e))


@pytest.mark.timeout(600)  # its jars are fetched
def test_nextflow_runs_the_pipeline(run, folder, target, nextflow):
    said = run(nextflow, "-q", "run", PIPELINE, "--target", f"{HOST}:{target}/")
    assert sorted(said.splitlines()) == sorted(f"sent: {name}" for name in RUNS)
    assert_page_shows("nextflow", said)
    assert_all_arrived(target)


@pytest.mark.timeout(300)
def test_nextflow_takes_no_copy_for_done_that_failed(run, folder, target, nextflow):
    words = ["run", PIPELINE, "--runs", "run1", "--target", f"{HOST}:{target}/absent/x/"]
    said = run(nextflow, "-q", *words, code=1)
    assert "sent: run1" not in said.splitlines() and "terminated with an error exit status (15)" in said, said


# ---- Slurm ----------------------------------------------------------------------------------------------

SCRIPT = EXAMPLES / "slurm" / "send.sbatch"


def test_job_that_is_cut_off_goes_back_into_the_queue_and_goes_on(run, folder, source, target):
    """As Slurm does it: the script alone gets SIGTERM. What stands for scontrol notes what it is asked."""
    write_random(source / "large", 20_000_000)
    (folder / "scontrol").write_text(f'#!/bin/sh\necho "$@" >>{folder}/asked\n')
    (folder / "scontrol").chmod(0o755)
    words = ["env", f"PATH={folder}:{folder}/bin:/usr/bin:/bin", "SLURM_JOB_ID=7"]
    copy = [SCRIPT, "--partial-min=1M", source, f"{HOST}:{target}/"]
    cut_off = ["timeout", "--foreground", "-s", "TERM", 4, "bash", SCRIPT, "-l", "4M"]
    said = run(*words, *cut_off, *copy[1:], code=124, is_log=True)
    assert said.endswith("escp has ended with exit status 143\n")
    assert_page_shows("slurm", said)
    assert (folder / "asked").read_text() == "requeue 7\n"
    assert not (target / "source" / "large").exists()
    said = run(*words, "bash", *copy, is_log=True)
    assert_page_shows("slurm", said)
    assert list_tree(target / "source") == list_tree(source)
    assert (folder / "asked").read_text() == "requeue 7\n"  # not again


def test_job_whose_copy_fails_for_good_is_not_queued_again(run, folder, target):
    said = run("env", "SLURM_JOB_ID=7", "bash", SCRIPT, folder / "absent", f"{HOST}:{target}/", code=1)
    assert "exit status 1" in said


def test_script_is_one_that_bash_and_sbatch_take():
    subprocess.run(["bash", "-n", SCRIPT], check=True, timeout=10)
    lines = SCRIPT.read_text().splitlines()
    options = [line for line in lines if line.startswith("#SBATCH ")]
    first = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    assert options and all(line in lines[:first] for line in options)  # sbatch reads none behind a command
    assert signal.SIGTERM.name.removeprefix("SIG") in " ".join(options)
