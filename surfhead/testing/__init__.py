"""Conformance: the contract of each kind of component, as checks anyone can run.

In a plugin's own tests::

    from surfhead.testing import conformance

    test_mine = conformance(Mine())          # pytest shows one test a check

On the command line, ``surfhead check KIND NAME``. In code, ``check(Mine)`` gives a result a check. A check is
a function whose one-line docstring is the promise it tests. ``tiny`` makes the small meshes, cameras and
surfels that the checks work on, ``steps`` training steps, ``run`` a run: for use in tests of one's own.
"""

from __future__ import annotations

from surfhead.testing import tiny
from surfhead.testing.suite import Check, CheckResult, check, checks_of, conformance

__all__ = ["Check", "CheckResult", "check", "checks_of", "conformance", "tiny"]
