"""The kit's own behaviour, as the author of a plugin outside the repository meets it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from surfhead.core.errors import ContractError, UnavailableError, UnknownNameError
from surfhead.core.hookspecs import KINDS
from surfhead.testing import check, checks_of, conformance
from tests.conformance.test_dataset_checks import Noise
from tests.conformance.test_regularizer_checks import Difference, NeverZero

ROOT = Path(__file__).resolve().parents[2]

PLUGIN_TEST = """
from surfhead.testing import conformance
from mine import Mine, Unavailable, Wrong

test_mine = conformance(Mine())
test_class = conformance(Mine)
test_function = conformance(lambda folder: Mine())
test_wrong = conformance(Wrong())
test_excused = conformance(Wrong(), expected_failures={"zero_at_optimum": "it is biased"})
test_unexcused = conformance(Mine(), expected_failures={"zero_at_optimum": "it is not"})
test_elsewhere = conformance(Unavailable)
"""

PLUGIN = """
from surfhead.core.api import Regularizer, hookimpl

class Mine(Regularizer):
    name = "mine"
    summary = "Mean squared error."

    def __call__(self, step):
        return (step.output.rgb - step.batch.target).square().mean()

class Wrong(Mine):
    def __call__(self, step):
        return super().__call__(step) + 0.01

class Unavailable(Mine):
    @classmethod
    def available(cls):
        return "it needs a machine that is not here"

@hookimpl
def register_regularizers(register):
    register(Mine)
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("author")
    (folder / "mine.py").write_text(PLUGIN)
    (folder / "test_mine.py").write_text(PLUGIN_TEST)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = ["-m", "pytest", "-v", "-rA", "-W", "error", "-p", "no:cacheprovider", "."]
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def outcomes(report: str, test: str) -> dict[str, str]:
    found = re.findall(rf"test_mine\.py::{test}\[(\w+)\] (\w+)", report)
    return dict(found)


@pytest.mark.parametrize("test", ["test_mine", "test_class", "test_function"])
def test_an_instance_a_class_and_a_function_are_all_checked(report: str, test: str) -> None:
    found = outcomes(report, test)
    assert found.keys() == {one.name for one in checks_of(Difference)}
    assert set(found.values()) == {"PASSED"}


def test_a_broken_promise_fails_and_is_quoted(report: str) -> None:
    found = outcomes(report, "test_wrong")
    assert {name for name, outcome in found.items() if outcome == "FAILED"} == {"zero_at_optimum"}
    assert "breaks a promise: It is zero, with finite gradients, where nothing is left" in report


def test_expected_failures_are_strict(report: str) -> None:
    assert outcomes(report, "test_excused")["zero_at_optimum"] == "XFAIL"
    assert "FAILED" not in outcomes(report, "test_excused").values()
    assert outcomes(report, "test_unexcused")["zero_at_optimum"] == "FAILED"
    assert "[XPASS(strict)] it is not" in report


def test_what_cannot_run_here_is_skipped(report: str) -> None:
    assert set(outcomes(report, "test_elsewhere").values()) == {"SKIPPED"}
    assert "it needs a machine that is not here" in report


def test_an_expected_failure_of_no_check_is_an_error() -> None:
    with pytest.raises(UnknownNameError, match='Unknown check of regularizer "zero_at_optimun"'):
        conformance(Difference, expected_failures={"zero_at_optimun": "misspelt"})


@pytest.mark.parametrize("thing", [object(), 3, dict, lambda folder: 3])
def test_what_is_no_component_is_refused(thing: Any) -> None:
    with pytest.raises(ContractError, match="component"):
        conformance(thing)


def test_check_gives_a_result_a_check() -> None:
    results = {result.name: result for result in check(NeverZero)}
    assert list(results) == [one.name for one in checks_of(NeverZero)]
    assert not results["zero_at_optimum"].passed
    assert isinstance(results["zero_at_optimum"].error, ContractError)
    assert results["deterministic"].passed
    assert results["deterministic"].error is None
    assert all(result.promise for result in results.values())


def test_check_of_what_cannot_run_here_says_why() -> None:
    class Elsewhere(Difference):
        @classmethod
        def available(cls) -> str | None:
            return "no GPU"

    with pytest.raises(UnavailableError, match="no GPU"):
        check(Elsewhere)


def test_checks_leave_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    check(Difference)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_example_is_written_once(tmp_path: Path) -> None:
    class Counted(Noise):
        written = 0

        @classmethod
        def example(cls, folder: Path) -> Noise:
            cls.written += 1
            return super().example(folder)

    results = check(Counted, tmp_path)
    assert [result for result in results if not result.passed] == []
    # every check has a folder of its own
    assert Counted.written <= len(results)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_checks_with_promises_of_one_sentence(kind: str) -> None:
    from surfhead.core.components import BASES

    found = checks_of(type("Any", (BASES[kind],), {}))
    assert len(found) > 5
    for one in found:
        assert one.promise.endswith(".")
        assert "\n" not in one.promise
    assert len({one.name for one in found}) == len(found)
