"""Avatars to export: of the small heads that the rigs make as examples, and without a rig."""

from __future__ import annotations

import pytest
import torch

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.surfels import Surfels, merge_specs
from surfhead.core.api import create
from surfhead.runs.run import load_avatar
from tests.plugins.formats.html_page import Page, still_tab


def make_avatar(
    rig_name,
    deformer_name,
    appearance_name,
    folder,
    count=60,
    timesteps=3,
    deformer_options=None,
    appearance_options=None,
):
    """An avatar with random parameters, drawn by the reference rasterizer."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    rig = create("rig", rig_name) if folder is None else type(create("rig", rig_name)).example(folder)
    identity = {} if folder is None else {"shape": 0.3 * torch.randn(2, generator=generator)}
    rest = rig.prepare(identity)
    deformer = create("deformer", deformer_name, deformer_options)
    appearance = create("appearance", appearance_name, appearance_options)
    topology = rest.topology if deformer.rig_bound else None
    triangle = torch.full((count,), -1)
    if deformer.rig_bound:
        triangle = torch.randperm(len(rest.topology.triangles), generator=generator)[:count]
    specs = merge_specs(deformer.parameters(), appearance.parameters())
    surfels = Surfels.create(specs, triangle, topology, generator)
    with torch.no_grad():
        for value in surfels.parameters.values():
            value += 0.3 * torch.randn(value.shape, generator=generator)
        surfels.parameters["log_scale"] += 1.0 if deformer.rig_bound else -3.5
        surfels.parameters["opacity"] += 3.0
        if not deformer.rig_bound:
            surfels.parameters["offset"] *= 0.3
    appearance.prepare(rest if deformer.rig_bound else None)
    motion = {
        name: 0.15 * torch.randn(timesteps, info.size, generator=generator)
        for name, info in rig.parameters().items()
        if name != "dynamic_offset"
    }
    rasterizer = create("rasterizer", "torch")
    made = Avatar(surfels, rig, deformer, appearance, rasterizer, motion, torch.ones(3), identity)
    made.advance(10**6)
    return made


@pytest.fixture(scope="session")
def ict_avatar(tmp_path_factory):
    return make_avatar("ict", "jbs", "sh", tmp_path_factory.mktemp("ict"))


@pytest.fixture(scope="session")
def flame_avatar(tmp_path_factory):
    return make_avatar("flame", "jbs", "lasg", tmp_path_factory.mktemp("flame"), count=200)


@pytest.fixture(scope="session")
def lit_avatar(tmp_path_factory):
    return make_avatar("ict", "jbs", "lit", tmp_path_factory.mktemp("lit"))


@pytest.fixture(scope="session")
def static_avatar():
    return make_avatar("none", "static", "sh", None)


@pytest.fixture(scope="package")
def tabs(browser):
    """Tabs that no page is open in: a new one takes a second."""
    free = []
    yield free
    for tab in free:
        tab.close()


@pytest.fixture
def opened(browser, tabs, tmp_path):
    """``opened(avatar, **options)`` exports the avatar and opens the page; a script gets a tab of its own."""
    pages, own = [], []

    def make(avatar, script="", **options):
        tab = tabs.pop() if tabs and not script else still_tab(browser)
        (own if script else pages).append(page := Page(tab, avatar, tmp_path, script, **options))
        return page

    yield make
    for page in pages:
        page.leave()
        tabs.append(page.tab)
    for page in own:
        page.tab.close()


@pytest.fixture(scope="session")
def head(trained_run):
    """A trained built-in head."""
    return load_avatar(trained_run, device="cpu")


@pytest.fixture(scope="package")
def head_page(browser, head, tmp_path_factory):
    """The head's page with its rig, open during all tests of this folder: also one at rest takes time."""
    page = Page(still_tab(browser), head, tmp_path_factory.mktemp("head"))
    yield page
    page.tab.close()
