"""Runs one target under atheris; packaging/fuzz.py starts it: drive.py TARGET [OPTION OF LIBFUZZER...]."""

import importlib
import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))
name = sys.argv.pop(1)
with atheris.instrument_imports(include=["escp"]):
    target = importlib.import_module(f"tests.fuzz.targets.{name}")
atheris.Setup(sys.argv, target.test_one)
atheris.Fuzz()
