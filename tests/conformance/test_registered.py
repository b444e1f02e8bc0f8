"""Everything surfhead registers keeps the contract of its kind; found by itself, with no list to maintain."""

from __future__ import annotations

from typing import Any

import pytest

from surfhead.core.api import create
from surfhead.core.hookspecs import KINDS
from surfhead.core.registry import registry
from surfhead.testing import conformance

BUILT_IN = [row for row in registry().registrations() if row.source.origin == "built-in"]


def _add(name: str, source: Any, **settings: Any) -> None:
    globals()["test_" + name.replace("-", "_")] = conformance(source, **settings)


for _row in BUILT_IN:
    _add(f"{_row.kind}_{_row.name}", registry().get(_row.kind, _row.name))

# what an option changes so much that it is another component
_add("jbs_with_the_published_blend", create("deformer", "jbs", {"rotation_blend": "paper"}))
_add("sh_without_view_dependence", create("appearance", "sh", {"degree": 0}))
_add("asg_everywhere", create("appearance", "asg", {"region": "all"}))
_add("lasg_in_the_world", create("appearance", "lasg", {"frame": "world"}))
_add("normal_of_the_median_depth", create("regularizer", "normal", {"depth_ratio": 1.0}))

for _name in ("similarity", "jacobian", "lbs", "jbs"):
    # by design the rig then learns through the centroids alone
    _add(
        f"{_name}_without_rig_gradients",
        create("deformer", _name, {"rig_gradients": False}),
        expected_failures={"gradients_are_right": "the linear part is detached from the mesh"},
    )


def test_components_of_every_kind_but_formats_are_there() -> None:
    kinds = {row.kind for row in BUILT_IN}
    assert set(KINDS) - kinds <= {"format"}


@pytest.mark.parametrize("row", BUILT_IN, ids=lambda row: f"{row.kind}-{row.name}")
def test_the_catalogue_says_what_the_class_says(row: Any) -> None:
    cls = registry().get(row.kind, row.name)
    assert (cls.name, cls.summary) == (row.name, row.summary)
