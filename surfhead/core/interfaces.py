"""The public names that need PyTorch. Plugins find them in ``surfhead.core.api``."""

from surfhead.core import neighbour_blend
from surfhead.core.colour_model import ColourModel, Highlight
from surfhead.core.component import Component
from surfhead.core.components import Appearance, AvatarView, Dataset, Deformer, Densifier, Format
from surfhead.core.components import Observer, Pose, Rasterizer, Regularizer, Rig
from surfhead.core.densification import DensifyPlan, DensifyState
from surfhead.core.directional import Directional
from surfhead.core.exchange import StoredAvatar
from surfhead.core.field_model import FieldModel
from surfhead.core.linear_rig import LinearRig
from surfhead.core.named_light import named_light
from surfhead.core.options import option
from surfhead.core.parameters import BASE_COLOUR, Encoding, ParameterSpec, Schedule, base_colour
from surfhead.core.rig_parameter import RigParameter
from surfhead.core.scene import Frame, Motion, Scene, Views
from surfhead.core.surface import Surface, SurfaceWants
from surfhead.core.types import AffineField, Batch, Binding, Cameras, Colour, Mesh, RenderOutput, RestMesh
from surfhead.core.types import Step, Topology, WorldSurfels, check_finite, check_shape
from surfhead.maths import depth_normals, geometry, harmonics, lamps, light, metrics, planes, triangles
