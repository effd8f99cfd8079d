"""Kernels are compiled when they are called, and look like the functions that they are."""

import logging
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest

from owtrend.kernels import compiled
from owtrend.kernels.cells.exact_int import are_int32


def test_a_kernel_keeps_its_name_and_can_be_sent_to_a_worker():
    assert are_int32.__name__ == "are_int32"
    assert are_int32.__doc__.startswith("True if all")
    assert pickle.loads(pickle.dumps(are_int32)) is are_int32


@compiled.compiled(error_model="numpy")
def inverse(x):
    return 1 / x


@compiled.compiled
def less_inverse(x):
    return x - inverse(x)


def test_a_kernel_calls_another():
    assert less_inverse(0.0) == -np.inf


@pytest.mark.slow
def test_a_kernel_is_compiled_again_when_one_that_it_calls_changes(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(compiled.__file__, package / "compiled.py")
    kernel = "from package.compiled import compiled\n{}\n@compiled\ndef {}(x):\n    return {}\n"
    (package / "caller.py").write_text(kernel.format("from package.called import called", "caller", "2 * called(x)"))
    results = []
    for formula in ("x + 1", "x + 10"):
        (package / "called.py").write_text(kernel.format("", "called", formula))
        program = [sys.executable, "-c", "from package.caller import caller; print(caller(1))"]
        done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=True)
        results.append(int(done.stdout))
    assert results == [4, 22]


def test_the_digest_of_sources_is_of_their_contents(tmp_path):
    (tmp_path / "one.py").write_text("a = 1\n")
    before = compiled.digest_of_sources(tmp_path)
    compiled.digest_of_sources.cache_clear()
    assert compiled.digest_of_sources(tmp_path) == before
    (tmp_path / "one.py").write_text("a = 2\n")
    compiled.digest_of_sources.cache_clear()
    assert compiled.digest_of_sources(tmp_path) != before


def test_long_compiling_is_announced_once(caplog):
    listener = compiled.Announcer(patience=1.0, clock=iter([0.0, 0.5, 0.9, 5.0, 5.2, 5.3]).__next__)
    with caplog.at_level(logging.WARNING):
        listener.start()  # at 0.0
        listener.start()  # one that the first calls, at 0.5
        assert not caplog.messages
        listener.stop()
        listener.stop()  # at 0.9
        assert not caplog.messages
        listener.start()  # at 5.0
        listener.start()  # at 5.2, when 1.1 have been spent
        listener.start()
    assert [message.split(",")[0] for message in caplog.messages] == ["compiling numerical code"]
