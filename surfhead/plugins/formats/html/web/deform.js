"use strict";
// Carries surfels from the rest pose to the world (docs/method.md, section 4).

/** out = exp of a rotation vector as a quaternion. */
function quaternionOfVector(x, y, z, out) {
  const squared = x * x + y * y + z * z;
  const small = squared < 1e-12;
  const angle = Math.sqrt(squared);
  const factor = small ? 0.5 - squared / 48 : Math.sin(angle / 2) / angle;
  out[0] = small ? 1 - squared / 8 : Math.cos(angle / 2);
  out[1] = factor * x;
  out[2] = factor * y;
  out[3] = factor * z;
}

/** out[to..to + 2] = rotation vector of the quaternion (w, x, y, z). */
function vectorOfQuaternion(w, x, y, z, out, to) {
  const squared = x * x + y * y + z * z;
  const sine = Math.sqrt(squared), sign = w < 0 ? -1 : 1;
  const factor = (squared < 1e-16 ? 2 : (2 * Math.atan2(sine, Math.abs(w))) / sine) * sign;
  out[to] = factor * x;
  out[to + 1] = factor * y;
  out[to + 2] = factor * z;
}

function matrixOfQuaternion(q, out) {
  const [w, x, y, z] = q;
  out[0] = 1 - 2 * (y * y + z * z);
  out[1] = 2 * (x * y - w * z);
  out[2] = 2 * (x * z + w * y);
  out[3] = 2 * (x * y + w * z);
  out[4] = 1 - 2 * (x * x + z * z);
  out[5] = 2 * (y * z - w * x);
  out[6] = 2 * (x * z - w * y);
  out[7] = 2 * (y * z + w * x);
  out[8] = 1 - 2 * (x * x + y * y);
}

function product(a, b, out) {
  for (let r = 0; r < 9; r += 3) {
    for (let c = 0; c < 3; c++) out[r + c] = a[r] * b[c] + a[r + 1] * b[3 + c] + a[r + 2] * b[6 + c];
  }
}

/** The rotation of the polar decomposition, by scaled Newton iteration; false where it is singular or reflects. */
function polarRotation(matrix, out) {
  let x = Array.from(matrix);
  const cofactor = (m) => [
    m[4] * m[8] - m[5] * m[7], m[5] * m[6] - m[3] * m[8], m[3] * m[7] - m[4] * m[6],
    m[2] * m[7] - m[1] * m[8], m[0] * m[8] - m[2] * m[6], m[1] * m[6] - m[0] * m[7],
    m[1] * m[5] - m[2] * m[4], m[2] * m[3] - m[0] * m[5], m[0] * m[4] - m[1] * m[3],
  ];
  const square = (m) => m.reduce((total, value) => total + value * value, 0);
  for (let step = 0; step < 8; step++) {
    const c = cofactor(x);
    const determinant = x[0] * c[0] + x[1] * c[1] + x[2] * c[2];
    if (step === 0 && determinant <= 1.2e-7 * Math.pow(square(x), 1.5)) return false;
    const inverse = c.map((value) => value / determinant); // transposed
    const scale = Math.pow(square(inverse) / square(x), 0.25);
    x = x.map((value, i) => 0.5 * (scale * value + inverse[i] / scale));
  }
  for (let i = 0; i < 9; i++) out[i] = x[i];
  return true;
}

/** The largest singular value of a matrix (9): the root of the largest eigenvalue of its square. */
function largestSingularValue(m) {
  const dot = (i, j) => m[i] * m[j] + m[3 + i] * m[3 + j] + m[6 + i] * m[6 + j];
  const a = dot(0, 0), b = dot(1, 1), c = dot(2, 2), d = dot(0, 1), e = dot(1, 2), f = dot(0, 2);
  const mean = (a + b + c) / 3, off = d * d + e * e + f * f;
  const p = Math.sqrt(((a - mean) ** 2 + (b - mean) ** 2 + (c - mean) ** 2 + 2 * off) / 6);
  if (p < 1e-9 * mean) return Math.sqrt(Math.max(mean, 0));
  const x = (a - mean) / p, y = (b - mean) / p, z = (c - mean) / p, u = d / p, v = e / p, w = f / p;
  const half = (x * (y * z - v * v) - u * (u * z - v * w) + w * (u * v - y * w)) / 2;
  return Math.sqrt(Math.max(mean + 2 * p * Math.cos(Math.acos(Math.min(Math.max(half, -1), 1)) / 3), 0));
}

/** Surfels in the world: three texels each of mean, first and second tangent, with a quaternion's x, y, z last. */
class Deformer {
  constructor(description, arrays, texels) {
    Object.assign(this, description);
    this.arrays = arrays;
    this.count = arrays.offset.length / 3;
    this.texels = texels;
    this.local = new Float64Array(9 * this.count); // offset and scaled axes in the rest pose, metres
    if (this.kind !== "still") {
      this.restFrames = triangleFrames(arrays.rest, arrays.triangles);
      this.posedFrames = new Float64Array(this.restFrames.length);
      this.jacobians = new Jacobians(this.restFrames);
      this.logarithms = new Float64Array(9 * (arrays.triangles.length / 3));
    }
    this.prepare();
  }

  prepare() {
    const { offset, quaternion, log_scale, host } = this.arrays;
    const scale = log_scale.map(Math.exp);
    const turn = new Float64Array(9);
    for (let s = 0; s < this.count; s++) {
      const q = Array.from(quaternion.subarray(4 * s, 4 * s + 4));
      const length = Math.hypot(...q);
      matrixOfQuaternion(q.map((value) => value / length), turn);
      const columns = [
        [offset[3 * s], offset[3 * s + 1], offset[3 * s + 2]],
        [0, 3, 6].map((row) => turn[row] * scale[2 * s]),
        [1, 4, 7].map((row) => turn[row] * scale[2 * s + 1]),
      ];
      columns.forEach(([x, y, z], c) => {
        const to = 9 * s + 3 * c;
        if (this.kind === "still") {
          this.local.set([x, y, z], to);
          return;
        }
        const at = FRAME * host[s], f = this.restFrames;
        const k = 0.5 * (f[at + 12] + f[at + 13]);
        for (let row = 0; row < 3; row++) {
          this.local[to + row] = k * (f[at + row] * x + f[at + 3 + row] * y + f[at + 6 + row] * z);
        }
      });
    }
  }

  /** Log R_i^T R_j of the triangles that carry surfels and their neighbours. */
  relativeLogarithms() {
    const q = this.jacobians.quaternion, near = this.arrays.neighbours;
    for (let f = 0; f < near.length / 3; f++) {
      const w = q[4 * f], x = -q[4 * f + 1], y = -q[4 * f + 2], z = -q[4 * f + 3];
      for (let e = 0; e < 3; e++) {
        const j = 4 * near[3 * f + e];
        const a = q[j], b = q[j + 1], c = q[j + 2], d = q[j + 3];
        vectorOfQuaternion(
          w * a - x * b - y * c - z * d, w * b + x * a + y * d - z * c,
          w * c - x * d + y * a + z * b, w * d + x * c - y * b + z * a,
          this.logarithms, 9 * f + 3 * e,
        );
      }
    }
  }

  /** A number of every surfel: "observed", "blend" or "stretch". */
  numbers(channel) {
    if (channel === "observed") return this.arrays.observed;
    if (channel === "blend") return Float32Array.from({ length: this.count }, (_, s) => this.arrays.blend[4 * s]);
    this.stretches = this.stretches || new Float32Array(this.count).fill(1);
    return this.stretches;
  }

  /** Carry all surfels to the posed vertices. */
  update(vertices) {
    const blended = this.blended;
    const affine = new Float64Array(9), turn = [1, 0, 0, 0];
    if (this.kind === "still") {
      affine.set([1, 0, 0, 0, 1, 0, 0, 0, 1]);
    } else {
      triangleFrames(vertices, this.arrays.triangles, this.posedFrames);
      this.jacobians.update(this.posedFrames);
      if (this.kind === "polar" && this.rotations === "relative") this.relativeLogarithms();
    }
    const { host, blend } = this.arrays, local = this.local, texels = this.texels;
    for (let s = 0; s < this.count; s++) {
      let tx = 0, ty = 0, tz = 0;
      if (this.kind !== "still") {
        const f = host[s], at = FRAME * f;
        tx = this.posedFrames[at + 9];
        ty = this.posedFrames[at + 10];
        tz = this.posedFrames[at + 11];
        const own = blended ? blend[4 * s] : 1;
        if (this.kind === "similarity") this.ofSimilarity(f, affine, turn);
        else if (own === 1 || !blended) this.ofHost(f, affine, turn);
        else if (this.kind === "linear") this.ofLinearBlend(s, f, affine, turn);
        else this.ofJacobianBlend(s, f, affine, turn);
      }
      if (this.stretches) this.stretches[s] = largestSingularValue(affine);
      const to = 12 * s, from = 9 * s;
      for (let c = 0; c < 3; c++) {
        const x = local[from + 3 * c], y = local[from + 3 * c + 1], z = local[from + 3 * c + 2];
        texels[to + 4 * c] = affine[0] * x + affine[1] * y + affine[2] * z + (c === 0 ? tx : 0);
        texels[to + 4 * c + 1] = affine[3] * x + affine[4] * y + affine[5] * z + (c === 0 ? ty : 0);
        texels[to + 4 * c + 2] = affine[6] * x + affine[7] * y + affine[8] * z + (c === 0 ? tz : 0);
        texels[to + 4 * c + 3] = turn[0] < 0 ? -turn[c + 1] : turn[c + 1];
      }
    }
  }

  ofHost(f, affine, turn) {
    for (let e = 0; e < 9; e++) affine[e] = this.jacobians.jacobian[9 * f + e];
    for (let e = 0; e < 4; e++) turn[e] = this.jacobians.quaternion[4 * f + e];
  }

  ofSimilarity(f, affine, turn) {
    const at = FRAME * f, rest = this.restFrames, posed = this.posedFrames;
    if (!(rest[at + 16] && posed[at + 16])) {
      affine.set([1, 0, 0, 0, 1, 0, 0, 0, 1]);
      turn.splice(0, 4, 1, 0, 0, 0);
      return;
    }
    betweenAxes(posed, at, rest, at, [1, 0, 0, 0, 1, 0, 0, 0, 1], affine, 0);
    quaternionOf(affine, 0, turn, 0);
    const ratio = (posed[at + 12] + posed[at + 13]) / (rest[at + 12] + rest[at + 13]);
    for (let e = 0; e < 9; e++) affine[e] *= ratio;
  }

  /** Sum over host and neighbours of w_j times the 9 numbers of each. */
  blendOf(values, s, f, out) {
    const { blend, neighbours } = this.arrays;
    for (let e = 0; e < 9; e++) {
      out[e] = blend[4 * s] * values[9 * f + e] + blend[4 * s + 1] * values[9 * neighbours[3 * f] + e] +
        blend[4 * s + 2] * values[9 * neighbours[3 * f + 1] + e] + blend[4 * s + 3] * values[9 * neighbours[3 * f + 2] + e];
    }
  }

  ofLinearBlend(s, f, affine, turn) {
    this.blendOf(this.jacobians.jacobian, s, f, affine);
    const rotation = new Float64Array(9);
    if (polarRotation(affine, rotation)) quaternionOf(rotation, 0, turn, 0);
    else quaternionOf(this.jacobians.rotation, 9 * f, turn, 0);
  }

  ofJacobianBlend(s, f, affine, turn) {
    const { blend, neighbours } = this.arrays, q = this.jacobians.quaternion;
    const stretch = this.scratch || (this.scratch = new Float64Array(9));
    const rotation = this.scratchRotation || (this.scratchRotation = new Float64Array(9));
    this.blendOf(this.jacobians.stretch, s, f, stretch);
    let x = 0, y = 0, z = 0;
    if (this.rotations === "absolute") {
      const vector = [0, 0, 0];
      for (let e = 0; e < 4; e++) {
        const at = 4 * (e === 0 ? f : neighbours[3 * f + e - 1]);
        vectorOfQuaternion(q[at], q[at + 1], q[at + 2], q[at + 3], vector, 0);
        x += blend[4 * s + e] * vector[0];
        y += blend[4 * s + e] * vector[1];
        z += blend[4 * s + e] * vector[2];
      }
      quaternionOfVector(x, y, z, turn);
    } else {
      for (let e = 0; e < 3; e++) {
        const w = blend[4 * s + 1 + e], at = 9 * f + 3 * e;
        x += w * this.logarithms[at];
        y += w * this.logarithms[at + 1];
        z += w * this.logarithms[at + 2];
      }
      quaternionOfVector(x, y, z, turn);
      const [d, e, g, h] = turn, a = q[4 * f], b = q[4 * f + 1], c = q[4 * f + 2], i = q[4 * f + 3];
      turn[0] = a * d - b * e - c * g - i * h;
      turn[1] = a * e + b * d + c * h - i * g;
      turn[2] = a * g - b * h + c * d + i * e;
      turn[3] = a * h + b * g - c * e + i * d;
    }
    matrixOfQuaternion(turn, rotation);
    product(rotation, stretch, affine);
  }
}
