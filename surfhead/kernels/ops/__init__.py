"""The trade's heavy operations. Each stands beside its plain form and chooses by itself which of them runs.

Where native kernels serve the given tensors (single precision, on a GPU or where the CPU library was built)
the fused form runs, else PyTorch's operations, in any precision and on any device. What calls an operation
neither knows nor asks; both forms are tested against each other. Plugins may use this package.
"""

from surfhead.kernels.ops.adam import Adam as Adam
from surfhead.kernels.ops.blending import at_hosts as at_hosts
from surfhead.kernels.ops.blending import blend_triangles as blend_triangles
from surfhead.kernels.ops.blending import centres_at_hosts as centres_at_hosts
from surfhead.kernels.ops.blending import neighbour_weights as neighbour_weights
from surfhead.kernels.ops.blending import pose_triangles as pose_triangles
from surfhead.kernels.ops.blending import relative_logarithms as relative_logarithms
from surfhead.kernels.ops.colours import facing_normals as facing_normals
from surfhead.kernels.ops.colours import harmonic_colours as harmonic_colours
from surfhead.kernels.ops.colours import rest_directions as rest_directions
from surfhead.kernels.ops.colours import rest_directions_passing as rest_directions_passing
from surfhead.kernels.ops.colours import to_rest as to_rest
from surfhead.kernels.ops.finite import finite as finite
from surfhead.kernels.ops.lit import lit_colours as lit_colours
from surfhead.kernels.ops.lobes import lobe_inputs as lobe_inputs
from surfhead.kernels.ops.mesh_terms import excess as excess
from surfhead.kernels.ops.mesh_terms import roughness as roughness
from surfhead.kernels.ops.mesh_terms import slant as slant
from surfhead.kernels.ops.mesh_terms import smooth_normals as smooth_normals
from surfhead.kernels.ops.mesh_terms import surroundings as surroundings
from surfhead.kernels.ops.perceptron import perceptron as perceptron
from surfhead.kernels.ops.screen import screen_gradients as screen_gradients
from surfhead.kernels.ops.selecting import selected_beside as selected_beside
from surfhead.kernels.ops.skinning import pose_joints as pose_joints
from surfhead.kernels.ops.skinning import pose_rows as pose_rows
from surfhead.kernels.ops.skinning import skin_vertices as skin_vertices
from surfhead.kernels.ops.squares import weighted_squares as weighted_squares
from surfhead.kernels.ops.surfels import apply_field as apply_field
from surfhead.kernels.ops.surfels import apply_field_passing as apply_field_passing
from surfhead.kernels.ops.terms import length_term as length_term
from surfhead.kernels.ops.terms import mean_picture_losses as mean_picture_losses
from surfhead.kernels.ops.terms import normal_term as normal_term
from surfhead.kernels.ops.terms import picture_losses as picture_losses
