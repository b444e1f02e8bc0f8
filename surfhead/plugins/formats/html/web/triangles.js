"use strict";
// Frames of triangles, their Jacobians and polar factors (docs/method.md, section 3).

const FRAME = 17; // numbers of a frame: axes a, b, n (9), centroid (3), |e1|, h, p, |c|, valid
const SMALLEST_AREA = 1e-12; // square metres
const SMALLEST_RATIO = 1e-4; // of the longest edge's square

/** (17 F) frames of the triangles; degenerate ones are marked and only their centroid counts. */
function triangleFrames(vertices, triangles, frames) {
  const count = triangles.length / 3;
  const made = frames || new Float64Array(FRAME * count);
  for (let f = 0, at = 0; f < count; f++, at += FRAME) {
    const i = 3 * triangles[3 * f], j = 3 * triangles[3 * f + 1], k = 3 * triangles[3 * f + 2];
    const ux = vertices[j] - vertices[i], uy = vertices[j + 1] - vertices[i + 1], uz = vertices[j + 2] - vertices[i + 2];
    const vx = vertices[k] - vertices[i], vy = vertices[k + 1] - vertices[i + 1], vz = vertices[k + 2] - vertices[i + 2];
    const cx = uy * vz - uz * vy, cy = uz * vx - ux * vz, cz = ux * vy - uy * vx;
    const uu = ux * ux + uy * uy + uz * uz, vv = vx * vx + vy * vy + vz * vz;
    const uv = ux * vx + uy * vy + uz * vz;
    const area = Math.sqrt(cx * cx + cy * cy + cz * cz);
    made[at + 9] = (vertices[i] + vertices[j] + vertices[k]) / 3;
    made[at + 10] = (vertices[i + 1] + vertices[j + 1] + vertices[k + 1]) / 3;
    made[at + 11] = (vertices[i + 2] + vertices[j + 2] + vertices[k + 2]) / 3;
    const valid = area > Math.max(SMALLEST_AREA, SMALLEST_RATIO * Math.max(uu, vv, uu + vv - 2 * uv));
    made[at + 16] = valid ? 1 : 0;
    if (!valid) continue;
    const length = Math.sqrt(uu);
    const ax = ux / length, ay = uy / length, az = uz / length;
    const nx = cx / area, ny = cy / area, nz = cz / area;
    made[at] = ax;
    made[at + 1] = ay;
    made[at + 2] = az;
    made[at + 3] = ny * az - nz * ay;
    made[at + 4] = nz * ax - nx * az;
    made[at + 5] = nx * ay - ny * ax;
    made[at + 6] = nx;
    made[at + 7] = ny;
    made[at + 8] = nz;
    made[at + 12] = length;
    made[at + 13] = area / length;
    made[at + 14] = uv / length;
    made[at + 15] = area;
  }
  return made;
}

/** m (9, row by row) at ``to`` = sum over i, j of entry(i, j) posed axis i times rest axis j. */
function betweenAxes(posed, p, rest, r, entries, out, to) {
  for (let row = 0; row < 3; row++) {
    for (let column = 0; column < 3; column++) {
      let total = 0;
      for (let i = 0; i < 3; i++) {
        const left = posed[p + 3 * i + row];
        for (let j = 0; j < 3; j++) total += entries[3 * i + j] * left * rest[r + 3 * j + column];
      }
      out[to + 3 * row + column] = total;
    }
  }
}

/** Unit quaternion (w >= 0) of the rotation (9 numbers) at ``from``, written at ``to``. */
function quaternionOf(m, from, out, to) {
  const a = m[from], b = m[from + 1], c = m[from + 2], d = m[from + 3], e = m[from + 4];
  const f = m[from + 5], g = m[from + 6], h = m[from + 7], i = m[from + 8];
  const ww = 1 + a + e + i, xx = 1 + a - e - i, yy = 1 - a + e - i, zz = 1 - a - e + i;
  let w, x, y, z;
  const largest = Math.max(ww, xx, yy, zz);
  if (largest === ww) [w, x, y, z] = [ww, h - f, c - g, d - b];
  else if (largest === xx) [w, x, y, z] = [h - f, xx, d + b, c + g];
  else if (largest === yy) [w, x, y, z] = [c - g, d + b, yy, f + h];
  else [w, x, y, z] = [d - b, c + g, f + h, zz];
  const factor = (w < 0 ? -1 : 1) / Math.sqrt(w * w + x * x + y * y + z * z);
  out[to] = w * factor;
  out[to + 1] = x * factor;
  out[to + 2] = y * factor;
  out[to + 3] = z * factor;
}

/** Jacobians J (9), rotations R as matrices (9) and quaternions (4), and stretches U (9) of all triangles. */
class Jacobians {
  constructor(rest) {
    const count = rest.length / FRAME;
    this.rest = rest;
    this.jacobian = new Float64Array(9 * count);
    this.rotation = new Float64Array(9 * count);
    this.quaternion = new Float64Array(4 * count);
    this.stretch = new Float64Array(9 * count);
  }

  update(posed) {
    const rest = this.rest;
    const entries = new Float64Array(9);
    for (let f = 0, at = 0; at < rest.length; f++, at += FRAME) {
      if (!(rest[at + 16] && posed[at + 16])) {
        for (const target of [this.jacobian, this.rotation, this.stretch]) {
          for (let e = 0; e < 9; e++) target[9 * f + e] = e % 4 === 0 ? 1 : 0;
        }
        this.quaternion.set([1, 0, 0, 0], 4 * f);
        continue;
      }
      const alpha = posed[at + 12] / rest[at + 12];
      const delta = posed[at + 13] / rest[at + 13];
      const beta = (posed[at + 14] - alpha * rest[at + 14]) / rest[at + 13];
      const nu = Math.sqrt(posed[at + 15] / rest[at + 15]);
      const rho = Math.hypot(alpha + delta, beta);
      const cosine = (alpha + delta) / rho, sine = -beta / rho;
      entries.set([alpha, beta, 0, 0, delta, 0, 0, 0, nu]);
      betweenAxes(posed, at, rest, at, entries, this.jacobian, 9 * f);
      entries.set([cosine, -sine, 0, sine, cosine, 0, 0, 0, 1]);
      betweenAxes(posed, at, rest, at, entries, this.rotation, 9 * f);
      quaternionOf(this.rotation, 9 * f, this.quaternion, 4 * f);
      const ab = -sine * alpha;
      entries.set([cosine * alpha, ab, 0, ab, cosine * delta - sine * beta, 0, 0, 0, nu]);
      betweenAxes(rest, at, rest, at, entries, this.stretch, 9 * f);
    }
  }
}
