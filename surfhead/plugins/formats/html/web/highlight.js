"use strict";
// The specular term of the surfels that shine, as a program of the graphics card (web/highlight.frag.glsl).

const ACROSS = 1024; // texels in a row of its textures

class Highlight {
  /** Arrays: surfels, axes, amplitude, sharpness, and layers as weight/bias arrays. */
  constructor(description, arrays) {
    Object.assign(this, description);
    this.count = arrays.surfels.length;
    this.arrays = arrays;
    this.lobes = arrays.axes.length / 9;
    this.sharpnesses = arrays.sharpness.length / (this.lobes * this.count);
    this.layers = [];
    for (let number = 0; arrays["weight" + number]; number++) {
      const bias = arrays["bias" + number], weight = arrays["weight" + number];
      this.layers.push({ bias, weight, rows: bias.length, size: weight.length / bias.length });
    }
  }

  /** The fragment shader, with this highlight's sizes and layers put in. */
  source(template) {
    const quads = (size) => Math.ceil((size + 1) / 4); // a constant one carries the bias
    const sizes = [`const int LOBES = ${this.lobes};`, `const int OCTAVES = ${this.octaves};`,
      `const int INPUTS = ${this.layers[0].size};`, `const int PADDED = ${4 * quads(this.layers[0].size)};`,
      `const bool ROUND = ${this.sharpnesses === 1};`, `const bool WORLD = ${Boolean(this.world)};`];
    let first = 0, code = "";
    this.layers.forEach(({ rows, size }, number) => {
      const given = quads(size), last = number === this.layers.length - 1, made = quads(rows);
      code += `vec4 y${number}[${made}];\n` + `for (int o = 0; o < ${made}; o++) y${number}[o] = vec4(0.0);\n` +
        `for (int o = 0; o < ${rows}; o++) {\n  float sum = 0.0;\n` +
        `  for (int i = 0; i < ${given}; i++) sum += dot(weight(${first} + ${given} * o + i), ${number ? `y${number - 1}` : "x0"}[i]);\n` +
        `  y${number}[o >> 2][o & 3] = ${last ? "sum" : "max(sum, 0.0)"};\n}\n` +
        (last ? "" : `y${number}[${rows >> 2}][${rows & 3}] = 1.0;\n`);
      first += given * rows;
    });
    const rows = this.layers[this.layers.length - 1].rows, end = `y${this.layers.length - 1}[0]`;
    code += rows > 1 ? `return ${end}.rgb;` : `return vec3(${end}.x);`;
    return template.replace("//SIZES", sizes.join("\n")).replace("//LAYERS", code);
  }

  /** Everything as textures of ``painter``. */
  prepare(painter, shaders) {
    const gl = painter.gl, { arrays } = this;
    const texture = (values) => {
      const height = Math.max(1, Math.ceil(values.length / (4 * ACROSS)));
      const full = new Float32Array(4 * ACROSS * height);
      full.set(values);
      return painter.texture(gl.RGBA32F, ACROSS, height, gl.RGBA, gl.FLOAT, full);
    };
    const lobes = new Float32Array(4 * this.count * this.lobes);
    for (let at = 0; at < this.count * this.lobes; at++) {
      lobes[4 * at] = arrays.amplitude[2 * at];
      lobes[4 * at + 1] = arrays.amplitude[2 * at + 1];
      for (let k = 0; k < this.sharpnesses; k++) lobes[4 * at + 2 + k] = arrays.sharpness[this.sharpnesses * at + k];
    }
    const axes = new Float32Array(12 * this.lobes);
    for (let at = 0; at < 3 * this.lobes; at++) axes.set(arrays.axes.subarray(3 * at, 3 * at + 3), 4 * at);
    const weights = [];
    for (const { weight, bias, rows, size } of this.layers) {
      const width = 4 * Math.ceil((size + 1) / 4);
      for (let o = 0; o < rows; o++) {
        const row = new Array(width).fill(0);
        for (let i = 0; i < size; i++) row[i] = weight[o * size + i];
        row[size] = bias[o];
        weights.push(...row);
      }
    }
    const places = new Float32Array(4 * this.count);
    for (let m = 0; m < this.count; m++) places[4 * m] = arrays.surfels[m];
    this.textures = { places: texture(places), lobes: texture(lobes), axes: texture(axes), weights: texture(weights) };
    this.working = painter.program(shaders["present.vert"], this.source(shaders["highlight.frag"]));
    this.scattering = painter.program(shaders["scatter.vert"], shaders["scatter.frag"]);
    this.rows = Math.max(1, Math.ceil(this.count / ROW));
    this.lights = painter.texture(gl.RGBA32F, ROW, this.rows, gl.RGBA, gl.FLOAT, null);
    this.lit = painter.framebuffer(this.lights);
  }

  /**
   * Write the light of every surfel that shines, seen from ``eye``, into the painter's texture of highlights:
   * worked out side by side, as cards like it, and then put in place.
   */
  draw(painter, eye) {
    const gl = painter.gl;
    const places = painter.use(this.working, Object.entries({ surfels: painter.textures.surfels, ...this.textures }));
    gl.uniform3fv(places.eye, eye);
    gl.uniform1i(places.count, this.count);
    gl.disable(gl.BLEND);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.lit);
    gl.viewport(0, 0, ROW, this.rows);
    gl.bindVertexArray(painter.empty);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    const put = painter.use(this.scattering, [["places", this.textures.places], ["lights", this.lights]]);
    gl.uniform2f(put.size, ROW, painter.rows);
    gl.bindFramebuffer(gl.FRAMEBUFFER, painter.lightened);
    gl.viewport(0, 0, ROW, painter.rows);
    gl.drawArrays(gl.POINTS, 0, this.count);
  }
}
