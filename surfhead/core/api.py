"""Everything a plugin may import, re-exported lazily: importing this module imports no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surfhead.core import bounds as bounds
    from surfhead.core.cache import cache_folder as cache_folder
    from surfhead.core.colour_model import ColourModel as ColourModel
    from surfhead.core.colour_model import Highlight as Highlight
    from surfhead.core.components import Appearance as Appearance
    from surfhead.core.components import AvatarView as AvatarView
    from surfhead.core.components import Component as Component
    from surfhead.core.components import Dataset as Dataset
    from surfhead.core.components import Deformer as Deformer
    from surfhead.core.components import Densifier as Densifier
    from surfhead.core.components import Format as Format
    from surfhead.core.components import Observer as Observer
    from surfhead.core.components import Rasterizer as Rasterizer
    from surfhead.core.components import Regularizer as Regularizer
    from surfhead.core.components import Rig as Rig
    from surfhead.core.components import option as option
    from surfhead.core.densification import DensifyPlan as DensifyPlan
    from surfhead.core.densification import DensifyState as DensifyState
    from surfhead.core.errors import ContractError as ContractError
    from surfhead.core.errors import DataError as DataError
    from surfhead.core.errors import OptionError as OptionError
    from surfhead.core.errors import PluginLoadError as PluginLoadError
    from surfhead.core.errors import ShapeError as ShapeError
    from surfhead.core.errors import SurfheadError as SurfheadError
    from surfhead.core.errors import UnavailableError as UnavailableError
    from surfhead.core.errors import UnknownNameError as UnknownNameError
    from surfhead.core.errors import unknown_name as unknown_name
    from surfhead.core.exchange import StoredAvatar as StoredAvatar
    from surfhead.core.hookspecs import hookimpl as hookimpl
    from surfhead.core.linear_rig import LinearRig as LinearRig
    from surfhead.core.parameters import ParameterSpec as ParameterSpec
    from surfhead.core.parameters import Schedule as Schedule
    from surfhead.core.registry import create as create
    from surfhead.core.rig_parameter import RigParameter as RigParameter
    from surfhead.core.scene import Frame as Frame
    from surfhead.core.scene import Motion as Motion
    from surfhead.core.scene import Scene as Scene
    from surfhead.core.scene import Views as Views
    from surfhead.core.types import AffineField as AffineField
    from surfhead.core.types import Batch as Batch
    from surfhead.core.types import Binding as Binding
    from surfhead.core.types import Cameras as Cameras
    from surfhead.core.types import Colour as Colour
    from surfhead.core.types import Mesh as Mesh
    from surfhead.core.types import RenderOutput as RenderOutput
    from surfhead.core.types import RestMesh as RestMesh
    from surfhead.core.types import Step as Step
    from surfhead.core.types import Topology as Topology
    from surfhead.core.types import WorldSurfels as WorldSurfels
    from surfhead.core.types import check_finite as check_finite
    from surfhead.core.types import check_shape as check_shape
    from surfhead.maths import depth_normals as depth_normals
    from surfhead.maths import geometry as geometry
    from surfhead.maths import harmonics as harmonics
    from surfhead.maths import metrics as metrics
    from surfhead.maths import planes as planes
    from surfhead.maths import triangles as triangles

_HOME = {
    "bounds": "",
    "cache_folder": "cache",
    "ColourModel": "colour_model",
    "Highlight": "colour_model",
    "Appearance": "components",
    "AvatarView": "components",
    "Component": "components",
    "Dataset": "components",
    "Deformer": "components",
    "Densifier": "components",
    "Format": "components",
    "Observer": "components",
    "Rasterizer": "components",
    "Regularizer": "components",
    "Rig": "components",
    "RigParameter": "rig_parameter",
    "option": "components",
    "DensifyPlan": "densification",
    "DensifyState": "densification",
    "ContractError": "errors",
    "DataError": "errors",
    "OptionError": "errors",
    "PluginLoadError": "errors",
    "ShapeError": "errors",
    "SurfheadError": "errors",
    "UnavailableError": "errors",
    "UnknownNameError": "errors",
    "unknown_name": "errors",
    "StoredAvatar": "exchange",
    "hookimpl": "hookspecs",
    "LinearRig": "linear_rig",
    "ParameterSpec": "parameters",
    "Schedule": "parameters",
    "create": "registry",
    "Frame": "scene",
    "Motion": "scene",
    "Scene": "scene",
    "Views": "scene",
    "AffineField": "types",
    "Batch": "types",
    "Binding": "types",
    "Cameras": "types",
    "Colour": "types",
    "Mesh": "types",
    "RenderOutput": "types",
    "RestMesh": "types",
    "Step": "types",
    "Topology": "types",
    "WorldSurfels": "types",
    "check_finite": "types",
    "check_shape": "types",
    # modules of mathematics, as modules
    "geometry": "",
    "planes": "",
    "triangles": "",
    "harmonics": "",
    "metrics": "",
    "depth_normals": "",
}

__all__ = sorted(_HOME)  # noqa: PLE0605 - the lazy table is the list


def __getattr__(name: str) -> Any:
    if name == "bounds":
        return importlib.import_module("surfhead.core.bounds")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOME[name]
    if not home:
        return importlib.import_module(f"surfhead.maths.{name}")
    return getattr(importlib.import_module(f"surfhead.core.{home}"), name)
