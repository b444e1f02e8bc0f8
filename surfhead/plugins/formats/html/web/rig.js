"use strict";
// Poses the mesh: blendshapes and linear blend skinning, or the posed vertices of each timestep.

/** Rotation matrix (9, row by row) of a rotation vector, radians. */
function rotationOf(x, y, z) {
  const squared = x * x + y * y + z * z;
  const small = squared < 1e-12;
  const angle = Math.sqrt(squared);
  const a = small ? 1 - squared / 6 : Math.sin(angle) / angle;
  const b = small ? 0.5 - squared / 24 : (1 - Math.cos(angle)) / squared;
  return [
    1 - b * (y * y + z * z), b * x * y - a * z, b * x * z + a * y,
    b * x * y + a * z, 1 - b * (x * x + z * z), b * y * z - a * x,
    b * x * z - a * y, b * y * z + a * x, 1 - b * (x * x + y * y),
  ];
}

/** Blendshapes, pose correctives and skinning; parameters by name, missing ones are zero. */
class LinearRig {
  constructor(description, arrays) {
    Object.assign(this, description);
    this.arrays = arrays;
    this.count = arrays.rest.length / 3;
    this.shaped = new Float64Array(arrays.rest.length);
    this.posed = new Float64Array(arrays.rest.length);
  }

  /** Rig parameters of a timestep of the avatar's own motion. */
  timestep(index) {
    const parameters = {};
    for (const [name, size] of Object.entries(this.sizes)) {
      const rows = this.arrays["motion/" + name];
      parameters[name] = rows
        ? Array.from(rows.subarray(index * size, (index + 1) * size))
        : new Array(size).fill(0);
    }
    return parameters;
  }

  /** (3 V) posed vertices, metres. */
  pose(parameters) {
    const { rest, shapes, weights, correctives } = this.arrays;
    const values = parameters[this.coefficients] || [];
    this.shaped.set(rest);
    const joints = Float64Array.from(this.arrays.joints);
    const add = (target, source, first, size, factor) => {
      for (let i = 0; i < size; i++) target[i] += factor * source[first + i];
    };
    for (let k = 0; k < values.length; k++) {
      if (values[k] === 0) continue;
      add(this.shaped, shapes, k * rest.length, rest.length, values[k]);
      if (this.arrays.joint_shapes) {
        add(joints, this.arrays.joint_shapes, k * joints.length, joints.length, values[k]);
      }
    }
    const turns = this.rotations.map(([name, at]) => {
      const v = parameters[name] || [];
      return rotationOf(v[at] || 0, v[at + 1] || 0, v[at + 2] || 0);
    });
    if (correctives) {
      for (let joint = 1; joint < turns.length; joint++) {
        for (let entry = 0; entry < 9; entry++) {
          const bent = turns[joint][entry] - (entry % 4 === 0 ? 1 : 0);
          const first = ((joint - 1) * 9 + entry) * rest.length;
          if (bent !== 0) add(this.shaped, correctives, first, rest.length, bent);
        }
      }
    }
    const moves = this.skeleton(turns, joints);
    const count = moves.length;
    const shift = parameters[this.translation] || [0, 0, 0];
    for (let v = 0; v < this.count; v++) {
      const x = this.shaped[3 * v], y = this.shaped[3 * v + 1], z = this.shaped[3 * v + 2];
      let a = shift[0], b = shift[1], c = shift[2];
      for (let j = 0; j < count; j++) {
        const w = weights[v * count + j];
        if (w === 0) continue;
        const m = moves[j];
        a += w * (m[0] * x + m[1] * y + m[2] * z + m[9]);
        b += w * (m[3] * x + m[4] * y + m[5] * z + m[10]);
        c += w * (m[6] * x + m[7] * y + m[8] * z + m[11]);
      }
      this.posed[3 * v] = a;
      this.posed[3 * v + 1] = b;
      this.posed[3 * v + 2] = c;
    }
    return this.posed;
  }

  /** For each joint its rotation (9) and the origin (3) that carry a point of the rest shape. */
  skeleton(turns, joints) {
    const frames = [];
    for (let j = 0; j < turns.length; j++) {
      const parent = this.parents[j];
      let turn = turns[j];
      let place = [joints[3 * j], joints[3 * j + 1], joints[3 * j + 2]];
      if (parent >= 0) {
        const above = frames[parent];
        const arm = [0, 1, 2].map((i) => joints[3 * j + i] - joints[3 * parent + i]);
        const own = turn;
        turn = [];
        for (let r = 0; r < 3; r++) {
          for (let c = 0; c < 3; c++) {
            turn.push(above.turn[3 * r] * own[c] + above.turn[3 * r + 1] * own[3 + c] + above.turn[3 * r + 2] * own[6 + c]);
          }
        }
        place = [0, 1, 2].map(
          (r) => above.place[r] + above.turn[3 * r] * arm[0] + above.turn[3 * r + 1] * arm[1] + above.turn[3 * r + 2] * arm[2],
        );
      }
      frames.push({ turn, place });
    }
    return frames.map(({ turn, place }, j) => {
      const x = joints[3 * j], y = joints[3 * j + 1], z = joints[3 * j + 2];
      return [...turn, ...[0, 1, 2].map((r) => place[r] - turn[3 * r] * x - turn[3 * r + 1] * y - turn[3 * r + 2] * z)];
    });
  }
}

/** The posed vertices of each timestep, nothing else of the rig. */
class BakedRig {
  constructor(description, arrays) {
    Object.assign(this, description);
    this.frames = arrays.frames;
    this.size = arrays.rest.length;
  }

  /** What ``pose`` takes for a timestep. */
  timestep(index) {
    return { timestep: index };
  }

  /** (3 V) posed vertices, metres. */
  pose({ timestep }) {
    return this.frames.subarray(timestep * this.size, (timestep + 1) * this.size);
  }
}

/** No rig at all: one pose. */
class NoRig {
  constructor(description) {
    Object.assign(this, description);
  }

  timestep() {
    return {};
  }

  pose() {
    return null;
  }
}
