// Joints and skin of a rig: forward kinematics from axis-angle vectors, linear blend skinning, and their reverse
// (docs/method.md, section 2). Reference twin: plugins/rigs/skinning.py. A joint's transform is twelve numbers: the
// matrix by rows, then the origin; a rest point x attached to it lands at L x + o.
#pragma once

#include "skinning.h"

namespace SURFEL_NAMESPACE {

constexpr int kMaxJoints = 16;
constexpr int kTransform = 12;

// Rotations (9 a joint) relative to the parents, and transforms, of one pose. parents[j] < j, -1 for a root.
template <class T>
SURFEL_FN void pose_joints(int joints, const int* parents, const T* vectors, const T* rest, T* rotations,
                           T* transforms) {
  T position[3 * kMaxJoints];
  for (int j = 0; j < joints; ++j) {
    T* rotation = rotations + 9 * j;
    T* linear = transforms + kTransform * j;
    const T* x = rest + 3 * j;
    rotation_matrix(turn_of(vectors + 3 * j).quaternion, rotation);
    const int parent = parents[j];
    if (parent < 0) {
      for (int i = 0; i < 9; ++i) linear[i] = rotation[i];
      for (int i = 0; i < 3; ++i) position[3 * j + i] = x[i];
    } else {
      const T* above = transforms + kTransform * parent;
      T arm[3], carried[3];
      multiply(above, rotation, linear);
      for (int i = 0; i < 3; ++i) arm[i] = x[i] - rest[3 * parent + i];
      apply(above, arm, carried);
      for (int i = 0; i < 3; ++i) position[3 * j + i] = position[3 * parent + i] + carried[i];
    }
    T turned[3];
    apply(linear, x, turned);
    for (int i = 0; i < 3; ++i) linear[9 + i] = position[3 * j + i] - turned[i];
  }
}

// Fill g_vectors and g_rest from the gradients of rotations (null: zero) and transforms, which are overwritten.
template <class T>
SURFEL_FN void pose_joints_backward(int joints, const int* parents, const T* vectors, const T* rest,
                                    const T* rotations, const T* transforms, const T* g_rotations,
                                    T* g_transforms, T* g_vectors, T* g_rest) {
  T g_position[3 * kMaxJoints];
  for (int j = 0; j < joints; ++j) {  // origin = position - L x
    const T* linear = transforms + kTransform * j;
    T* g = g_transforms + kTransform * j;
    T back[3] = {};
    apply_transposed_add(linear, g + 9, back);
    for (int i = 0; i < 3; ++i) {
      g_position[3 * j + i] = g[9 + i];
      g_rest[3 * j + i] = -back[i];
      for (int k = 0; k < 3; ++k) g[3 * i + k] -= g[9 + i] * rest[3 * j + k];
    }
  }
  for (int j = joints - 1; j >= 0; --j) {
    const int parent = parents[j];
    const T* g_linear = g_transforms + kTransform * j;
    const T* g_at = g_position + 3 * j;
    T g_rotation[9], g_quaternion[4] = {};
    if (parent < 0) {
      for (int i = 0; i < 9; ++i) g_rotation[i] = g_linear[i];
      for (int i = 0; i < 3; ++i) g_rest[3 * j + i] += g_at[i];
    } else {
      const T* above = transforms + kTransform * parent;
      T* g_above = g_transforms + kTransform * parent;
      T arm[3], g_arm[3] = {}, through[9];
      for (int i = 0; i < 3; ++i) arm[i] = rest[3 * j + i] - rest[3 * parent + i];
      apply_transposed_add(above, g_at, g_arm);
      multiply_transposed(above, g_linear, g_rotation);
      multiply_by_transposed(g_linear, rotations + 9 * j, through);
      for (int i = 0; i < 9; ++i) g_above[i] += through[i];
      outer_add(g_at, arm, g_above);
      for (int i = 0; i < 3; ++i) {
        g_position[3 * parent + i] += g_at[i];
        g_rest[3 * j + i] += g_arm[i];
        g_rest[3 * parent + i] -= g_arm[i];
      }
    }
    if (g_rotations)
      for (int i = 0; i < 9; ++i) g_rotation[i] += g_rotations[9 * j + i];
    const Turn<T> turn = turn_of(vectors + 3 * j);
    rotation_matrix_backward(turn.quaternion, g_rotation, g_quaternion);
    turn_backward(turn, g_quaternion, g_vectors + 3 * j);
  }
}

// The mean of the joints' transforms by a vertex's skin weights.
template <class T>
SURFEL_FN void blend_transforms(int joints, const T* weights, const T* transforms, T* blended) {
  for (int i = 0; i < kTransform; ++i) blended[i] = T(0);
  for (int j = 0; j < joints; ++j)
    for (int i = 0; i < kTransform; ++i) blended[i] += weights[j] * transforms[kTransform * j + i];
}

}  // namespace SURFEL_NAMESPACE
