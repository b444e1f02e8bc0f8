"use strict";
// The specular term of the surfels that shine: lobes and a small perceptron (docs/method.md, section 6).

class Highlight {
  /** Options: surfels, axes, amplitude, sharpness, and layers as weight/bias arrays. */
  constructor(description, arrays) {
    Object.assign(this, description);
    this.arrays = arrays;
    this.lobes = arrays.axes.length / 9;
    this.sharpnesses = arrays.sharpness.length / (this.lobes * arrays.surfels.length);
    this.layers = [];
    for (let number = 0; arrays["weight" + number]; number++) {
      const bias = arrays["bias" + number], weight = arrays["weight" + number];
      const size = weight.length / bias.length;
      // input by input, so that a silent input costs nothing
      const columns = new Float32Array(weight.length);
      for (let o = 0; o < bias.length; o++) {
        for (let i = 0; i < size; i++) columns[i * bias.length + o] = weight[o * size + i];
      }
      this.layers.push({ bias, columns, size, values: new Float32Array(bias.length) });
    }
    this.inputs = new Float32Array(this.layers[0].size);
  }

  /** Write the light of every surfel that shines into RGBA rows ``out``, seen from ``eye``. */
  evaluate(texels, eye, out) {
    const { surfels } = this.arrays;
    for (let m = 0; m < surfels.length; m++) {
      const to = 4 * surfels[m];
      const light = this.ofSurfel(m, texels, 12 * surfels[m], eye);
      out[to] = light[0];
      out[to + 1] = light.length > 1 ? light[1] : light[0];
      out[to + 2] = light.length > 1 ? light[2] : light[0];
    }
  }

  ofSurfel(m, texels, at, eye) {
    let dx = texels[at] - eye[0], dy = texels[at + 1] - eye[1], dz = texels[at + 2] - eye[2];
    const far = Math.hypot(dx, dy, dz) || 1;
    dx /= far;
    dy /= far;
    dz /= far;
    const ax = texels[at + 4], ay = texels[at + 5], az = texels[at + 6];
    const bx = texels[at + 8], by = texels[at + 9], bz = texels[at + 10];
    let nx = ay * bz - az * by, ny = az * bx - ax * bz, nz = ax * by - ay * bx;
    const length = Math.hypot(nx, ny, nz) || 1;
    const sign = nx * dx + ny * dy + nz * dz > 0 ? -1 / length : 1 / length;
    nx *= sign;
    ny *= sign;
    nz *= sign;
    if (!this.world) {
      const x = -texels[at + 3], y = -texels[at + 7], z = -texels[at + 11];
      const w = Math.sqrt(Math.max(1 - x * x - y * y - z * z, 0));
      [dx, dy, dz] = turned(w, x, y, z, dx, dy, dz);
      [nx, ny, nz] = turned(w, x, y, z, nx, ny, nz);
    }
    const facing = -(dx * nx + dy * ny + dz * nz);
    const ox = dx + 2 * facing * nx, oy = dy + 2 * facing * ny, oz = dz + 2 * facing * nz;
    const { axes, amplitude, sharpness } = this.arrays;
    const inputs = this.inputs;
    let next = 0;
    for (let l = 0; l < this.lobes; l++) {
      const r = 9 * l, row = m * this.lobes + l;
      const along = ox * axes[r] + oy * axes[r + 1] + oz * axes[r + 2];
      let response;
      if (this.sharpnesses === 1) {
        response = Math.exp(sharpness[row] * (along - 1));
      } else {
        const x = ox * axes[r + 3] + oy * axes[r + 4] + oz * axes[r + 5];
        const y = ox * axes[r + 6] + oy * axes[r + 7] + oz * axes[r + 8];
        response = along > 0 ? along * Math.exp(-sharpness[2 * row] * x * x - sharpness[2 * row + 1] * y * y) : 0;
      }
      inputs[next++] = amplitude[2 * row] * response;
      inputs[next++] = amplitude[2 * row + 1] * response;
    }
    for (const value of [facing, dx, dy, dz]) inputs[next++] = value;
    for (const wave of [Math.sin, Math.cos]) {
      for (let k = 0; k < this.octaves; k++) {
        for (const value of [dx, dy, dz]) inputs[next++] = wave(value * 2 ** k);
      }
    }
    return this.perceptron(inputs);
  }

  perceptron(inputs) {
    let given = inputs;
    for (let number = 0; number < this.layers.length; number++) {
      const { bias, columns, size, values } = this.layers[number];
      const count = bias.length;
      values.set(bias);
      for (let i = 0; i < size; i++) {
        const value = given[i];
        if (value === 0 || (number > 0 && value < 0)) continue;
        const from = i * count;
        for (let o = 0; o < count; o++) values[o] += value * columns[from + o];
      }
      given = values;
    }
    return given;
  }
}

/** A vector turned by a unit quaternion. */
function turned(w, x, y, z, a, b, c) {
  const tx = 2 * (y * c - z * b), ty = 2 * (z * a - x * c), tz = 2 * (x * b - y * a);
  return [a + w * tx + y * tz - z * ty, b + w * ty + z * tx - x * tz, c + w * tz + x * ty - y * tx];
}
