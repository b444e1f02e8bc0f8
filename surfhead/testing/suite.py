"""Collects the checks of each kind and runs them, plainly or as pytest tests."""

from __future__ import annotations

import importlib
import inspect
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from surfhead.core.errors import ContractError, SurfheadError, UnavailableError, unknown_name
from surfhead.terminal.remedies import parted

if TYPE_CHECKING:
    from surfhead.core.component import Component

SEED = 20241121  # every check starts its random numbers here


@dataclass
class Subject:
    """A component under test.

    Attributes:
        source: the class (its ``example`` makes instances), an instance (made anew from its options), or
            a function of a folder.
        folder: an empty folder of this check's own.
    """

    source: Any
    folder: Path
    _made: Any = field(default=None, repr=False)

    def make(self) -> Any:
        """A fresh instance; equal random numbers every time. Examples are written once."""
        torch.manual_seed(SEED)
        if self._made is None:
            self._made = self._first()
            return self._made
        return type(self._made)(self._made.options)

    def _first(self) -> Any:
        if isinstance(self.source, type):
            return self.source.example(self.folder)  # type: ignore[attr-defined]
        if _is_component(self.source):
            return type(self.source)(self.source.options)
        return self.source(self.folder)


@dataclass(frozen=True)
class Check:
    """One promise of a kind's contract.

    Attributes:
        name: as in ``expected_failures``.
        promise: one sentence.
        run: raises unless the promise holds.
        applies: whether it concerns this class.
    """

    name: str
    promise: str
    run: Callable[[Subject], None]
    applies: Callable[[type[Component]], bool]


@dataclass(frozen=True)
class CheckResult:
    """What came of a check.

    Attributes:
        name, promise: those of the check.
        passed: whether the promise holds.
        error: what was raised where it does not.
    """

    name: str
    promise: str
    passed: bool
    error: BaseException | None = None


_CHECKS: dict[str, list[Check]] = {}
EVERY_KIND = "component"


def promise(
    kind: str, applies: Callable[[Any], bool] = lambda cls: True
) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
    """Declare a function to be a check of ``kind``; its one-line docstring is the promise.

    Args:
        kind: ``deformer``, …; EVERY_KIND for all.
        applies: whether the check concerns a component class.
    """

    def declare(run: Callable[[Subject], None]) -> Callable[[Subject], None]:
        text = inspect.getdoc(run) or ""
        if not text or "\n" in text:
            raise ValueError(f"check {run.__name__} needs a docstring of one line")
        _CHECKS.setdefault(kind, []).append(Check(run.__name__, text, run, applies))
        return run

    return declare


def require(holds: bool, what: str, expected: str = "") -> None:
    """Raise ContractError unless ``holds``."""
    if not holds:
        raise ContractError(what, expected)


def checks_of(cls: type[Component]) -> list[Check]:
    """The checks that concern a component class, those of every kind first."""
    from surfhead.core.components import BASES

    if cls.kind not in BASES:
        raise unknown_name("kind", cls.kind, BASES, "Derive from a base of surfhead.core.api.")
    for name in (EVERY_KIND, cls.kind):
        importlib.import_module(f"surfhead.testing.{name}")
    found = [*_CHECKS[EVERY_KIND], *_CHECKS[cls.kind]]
    return [check for check in found if check.applies(cls)]


def _is_component(source: Any) -> bool:
    from surfhead.core.component import Component

    return isinstance(source, Component)


def class_of(source: Any) -> type[Component]:
    """The component class behind a class, an instance or a function of a folder."""
    from surfhead.core.component import Component

    if isinstance(source, type) and issubclass(source, Component):
        return source
    if isinstance(source, Component):
        return type(source)
    if not callable(source) or isinstance(source, type):
        raise ContractError(
            f'"{source!r}" is not a component.',
            "Expected a component class, an instance, or a function of a folder that makes one.",
            "For example: test_mine = conformance(Mine())",
        )
    with tempfile.TemporaryDirectory() as folder:
        made = source(Path(folder))
    if not isinstance(made, Component):
        raise ContractError(
            f'"{source!r}" made a {type(made).__name__}, which is not a component.',
            "Expected an instance of a class derived from a base of surfhead.core.api.",
        )
    return type(made)


def check(source: Any, folder: Path | None = None) -> list[CheckResult]:
    """Run every check on a component.

    Args:
        source: a component class, an instance, or a function of a folder that makes one.
        folder: where files may be written; by default a temporary folder.

    Raises:
        UnavailableError: it cannot run on this machine.
    """
    cls = class_of(source)
    reason = cls.available()
    if reason is not None:
        what, remedy = parted(reason)
        raise UnavailableError(
            f'{cls.kind} "{cls.name}" cannot be checked here: {what}',
            "Its checks run the component.",
            remedy or "See `surfhead doctor`.",
        )
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) if folder is None else folder
        return [_result(one, source, root / one.name) for one in checks_of(cls)]


def _result(one: Check, source: Any, folder: Path) -> CheckResult:
    folder.mkdir(parents=True, exist_ok=True)
    state = torch.get_rng_state()
    try:
        one.run(Subject(source, folder))
    except Exception as error:  # a component under test may raise anything
        return CheckResult(one.name, one.promise, False, error)
    finally:
        torch.set_rng_state(state)
    return CheckResult(one.name, one.promise, True)


def conformance(source: Any, *, expected_failures: Mapping[str, str] | None = None) -> Any:
    """A pytest test function, parametrised over the checks, to be assigned to a name ``test_…``.

    Args:
        source: a component class, an instance, or a function of a folder that makes one.
        expected_failures: check -> reason. Strict: a check listed here that passes is a failure.

    Raises:
        UnknownNameError: ``expected_failures`` names a check that this kind does not have.
    """
    import pytest

    cls = class_of(source)
    checks = checks_of(cls)
    expected = dict(expected_failures or {})
    for name in expected:
        if name not in {one.name for one in checks}:
            raise unknown_name(
                f"check of {cls.kind}", name, [one.name for one in checks], "Correct expected_failures."
            )
    cases = [
        pytest.param(
            one,
            id=one.name,
            marks=[pytest.mark.xfail(strict=True, reason=expected[one.name])] if one.name in expected else [],
        )
        for one in checks
    ]

    @pytest.mark.parametrize("one", cases)
    def test_conformance(one: Check, tmp_path: Path) -> None:
        reason = cls.available()
        if reason is not None:
            pytest.skip(f'{cls.kind} "{cls.name}" cannot run here: {reason}')
        result = _result(one, source, tmp_path / one.name)
        if result.error is not None:
            what = f'{cls.kind} "{cls.name}" breaks a promise: {one.promise}'
            if isinstance(result.error, SurfheadError):
                what += f"\n{result.error}"
            raise AssertionError(what) from result.error

    test_conformance.__doc__ = f'The contract of {cls.kind} "{cls.name}".'
    return test_conformance
