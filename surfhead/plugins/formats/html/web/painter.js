"use strict";
// Draws surfels with WebGL2: shades them, sorts them by depth, composites them back to front.

const ROW = 256; // surfels in a row of the textures
const CHANNELS = ["colour", "normal", "depth", "alpha"];
const OF_SURFELS = 4; // how the shaders call a channel of numbers that surfels have
const LIT_CHANNELS = ["albedo", "shading"]; // of avatars that can be lit anew; the shaders call them 5 and 6
const SOLID = 0.5; // alpha from which a pixel's number counts for the range
const ROOM = 0.1; // of the range, added at both ends
const NARROWEST = 0.01; // of the channel's own range

/** How the shaders call a channel. */
function numberOf(channel) {
  const found = CHANNELS.indexOf(channel), part = LIT_CHANNELS.indexOf(channel);
  return found >= 0 ? found : part >= 0 ? OF_SURFELS + 1 + part : OF_SURFELS;
}

/** Indices of the surfels before the camera, farthest first, equal depths highest index first. */
class DepthSorter {
  constructor(count) {
    this.depth = new Float32Array(count);
    this.keys = new Uint32Array(this.depth.buffer);
    this.from = new Uint32Array(count);
    this.to = new Uint32Array(count);
    this.counts = new Uint32Array(3 * 2048);
  }

  /** By depth along ``row``, four numbers of the camera's matrix; radix sort of the positive floats' bits. */
  sort(texels, row, near) {
    const { depth, keys, counts } = this;
    counts.fill(0);
    let count = 0;
    for (let s = depth.length - 1; s >= 0; s--) {
      const at = 12 * s;
      const z = row[0] * texels[at] + row[1] * texels[at + 1] + row[2] * texels[at + 2] + row[3];
      if (!(z > near)) continue;
      depth[s] = z;
      this.from[count++] = s;
      const key = keys[s];
      counts[key & 2047]++;
      counts[2048 + ((key >>> 11) & 2047)]++;
      counts[4096 + (key >>> 22)]++;
    }
    for (let pass = 0; pass < 3; pass++) {
      const first = 2048 * pass, shift = 11 * pass;
      // from the largest key down, so that the farthest comes first
      let total = count;
      for (let key = 0; key < 2048; key++) {
        total -= counts[first + key];
        counts[first + key] = total;
      }
      // each pass turns nothing but the order of the keys; ties stay as they are
      for (let i = 0; i < count; i++) {
        const s = this.from[i];
        this.to[counts[first + ((keys[s] >>> shift) & 2047)]++] = s;
      }
      [this.from, this.to] = [this.to, this.from];
    }
    return this.from.subarray(0, count);
  }
}

class Painter {
  constructor(canvas, shaders, surfels) {
    const options = { alpha: false, antialias: false, depth: false, stencil: false, preserveDrawingBuffer: true };
    const gl = canvas.getContext("webgl2", options);
    if (!gl) throw new Error("This browser has no WebGL 2.");
    if (!gl.getExtension("EXT_color_buffer_float")) throw new Error("This browser cannot draw into float textures.");
    this.exact = Boolean(gl.getExtension("EXT_float_blend"));
    this.gl = gl;
    this.canvas = canvas;
    this.surfels = surfels;
    this.rows = Math.max(1, Math.ceil(surfels.count / ROW));
    this.texels = new Float32Array(12 * ROW * this.rows);
    this.sorter = new DepthSorter(surfels.count);
    this.channels = [...CHANNELS, ...(surfels.lighting ? LIT_CHANNELS : []), ...surfels.numbers];
    this.shading = this.program(shaders["present.vert"], shaders[surfels.lighting ? "lit.frag" : "shade.frag"]);
    this.drawing = this.program(shaders["surfel.vert"], shaders["surfel.frag"]);
    this.presenting = this.program(shaders["present.vert"], shaders["present.frag"]);
    this.textures = {
      surfels: this.texture(gl.RGBA32F, 3 * ROW, this.rows, gl.RGBA, gl.FLOAT, null),
      base: this.texture(gl.RGBA32F, ROW, this.rows, gl.RGBA, gl.FLOAT, this.padded(surfels.base, 4)),
      harmonics: this.texture(gl.RGBA8_SNORM, 12 * ROW, this.rows, gl.RGBA, gl.BYTE, this.padded(surfels.harmonics, 48)),
      highlight: this.texture(gl.RGBA32F, ROW, this.rows, gl.RGBA, gl.FLOAT, new Float32Array(4 * ROW * this.rows)),
      colours: this.texture(gl.RGBA32F, ROW, this.rows, gl.RGBA, gl.FLOAT, null),
      values: this.texture(gl.R32F, ROW, this.rows, gl.RED, gl.FLOAT, null),
    };
    this.maps = {};
    for (const [name, colours] of Object.entries(surfels.maps)) {
      this.maps[name] = this.texture(gl.RGB8, colours.length / 3, 1, gl.RGB, gl.UNSIGNED_BYTE, colours);
    }
    if (surfels.lighting) {
      const bytes = this.padded(surfels.surface, 4);
      this.textures.surface = this.texture(gl.RGBA8, ROW, this.rows, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
    }
    this.shaded = this.framebuffer(this.textures.colours);
    this.lightened = this.framebuffer(this.textures.highlight);
    if (surfels.highlight) surfels.highlight.prepare(this, shaders);
    this.corners = new Uint32Array(6 * surfels.count);
    this.quads = gl.createVertexArray();
    gl.bindVertexArray(this.quads);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, this.corners.byteLength, gl.STREAM_DRAW);
    this.empty = gl.createVertexArray();
    this.target = null;
  }

  padded(values, channels) {
    const full = new values.constructor(channels * ROW * this.rows);
    full.set(values);
    return full;
  }

  program(vertex, fragment) {
    const gl = this.gl, program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    const places = {};
    for (let i = 0; i < gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS); i++) {
      const name = gl.getActiveUniform(program, i).name.replace("[0]", "");
      places[name] = gl.getUniformLocation(program, name);
    }
    return { program, places };
  }

  texture(format, width, height, channels, type, values) {
    const gl = this.gl, made = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, made);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.texImage2D(gl.TEXTURE_2D, 0, format, width, height, 0, channels, type, values);
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST);
    return made;
  }

  framebuffer(texture) {
    const gl = this.gl, made = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, made);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    return made;
  }

  use({ program, places }, textures) {
    const gl = this.gl;
    gl.useProgram(program);
    textures.forEach(([name, texture], unit) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.uniform1i(places[name], unit);
    });
    return places;
  }

  /** A target of the picture's size: floats, or half floats where the browser cannot blend floats. */
  targetOf(width, height) {
    const kept = this.target;
    if (kept && kept.width === width && kept.height === height) return kept;
    const gl = this.gl, full = this.exact;
    if (kept) {
      gl.deleteFramebuffer(kept.framebuffer);
      gl.deleteTexture(kept.texture);
    }
    const texture = this.texture(full ? gl.RGBA32F : gl.RGBA16F, width, height, gl.RGBA, full ? gl.FLOAT : gl.HALF_FLOAT, null);
    this.target = { width, height, texture, framebuffer: this.framebuffer(texture) };
    return this.target;
  }

  /** Two triangles a surfel, in this order; the vertex shader finds surfel and corner in the index. */
  quadsOf(order) {
    const { corners } = this;
    for (let i = 0, at = 0; i < order.length; i++, at += 6) {
      const first = 4 * order[i];
      corners[at] = first;
      corners[at + 1] = corners[at + 4] = first + 1;
      corners[at + 2] = corners[at + 3] = first + 2;
      corners[at + 5] = first + 3;
    }
    return corners.subarray(0, 6 * order.length);
  }

  /** Take over the texels after the pose changed. */
  posed() {
    const gl = this.gl;
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.textures.surfels);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, 3 * ROW, this.rows, gl.RGBA, gl.FLOAT, this.texels);
  }

  /** Take over a number of every surfel. */
  show(values) {
    const gl = this.gl;
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.textures.values);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, ROW, this.rows, gl.RED, gl.FLOAT, this.padded(values, 1));
  }

  /** Work out colours as seen from ``eye``, or what another channel shows; ``front`` points to the camera. */
  shade(eye, number, front) {
    const gl = this.gl, { textures } = this;
    if (this.surfels.highlight) this.surfels.highlight.draw(this, eye);
    const { lighting } = this.surfels;
    const names = ["surfels", "base", "harmonics", "highlight", ...(lighting ? ["surface"] : [])];
    const places = this.use(this.shading, names.map((name) => [name, textures[name]]));
    gl.uniform4fv(places.scale, this.surfels.scale);
    gl.uniform3fv(places.eye, eye);
    gl.uniform1i(places.degree, this.surfels.degree);
    gl.uniform1i(places.outer, this.surfels.outer ? 1 : 0);
    if (lighting) {
      gl.uniform1i(places.show, Math.max(0, number - OF_SURFELS));
      lighting.tell(gl, places, front);
    }
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.shaded);
    gl.viewport(0, 0, ROW, this.rows);
    gl.disable(gl.BLEND);
    gl.bindVertexArray(this.empty);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  /**
   * Draw one picture on the canvas.
   * view: rotation (9, row by row), translation (3), intrinsics [fx, fy, cx, cy], width, height, near.
   * legend: of channels of numbers; low and high, colour_map, log, falling.
   */
  draw(view, channel, background, legend) {
    const gl = this.gl, number = this.channels.includes(channel) ? numberOf(channel) : 0;
    const { rotation: r, translation: t } = view;
    const eye = [0, 1, 2].map((i) => -(r[i] * t[0] + r[3 + i] * t[1] + r[6 + i] * t[2]));
    if (number === 0 || number > OF_SURFELS || !this.lit) this.shade(eye, number, [-r[6], -r[7], -r[8]]);
    this.lit = true;
    const order = this.sorter.sort(this.texels, [r[6], r[7], r[8], t[2]], view.near);
    gl.bindVertexArray(this.quads);
    gl.bufferSubData(gl.ELEMENT_ARRAY_BUFFER, 0, this.quadsOf(order));
    const target = this.targetOf(view.width, view.height);
    gl.bindFramebuffer(gl.FRAMEBUFFER, target.framebuffer);
    gl.viewport(0, 0, view.width, view.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    const places = this.use(this.drawing, ["surfels", "colours", "values"].map((name) => [name, this.textures[name]]));
    gl.uniformMatrix3fv(places.rotation, true, r);
    gl.uniform3fv(places.translation, t);
    gl.uniform4fv(places.intrinsics, view.intrinsics);
    gl.uniform2f(places.size, view.width, view.height);
    gl.uniform1f(places.near, view.near);
    gl.uniform1i(places.channel, number);
    gl.uniform1i(places.outer, this.surfels.outer ? 1 : 0);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.drawElements(gl.TRIANGLES, 6 * order.length, gl.UNSIGNED_INT, 0);
    gl.disable(gl.BLEND);
    gl.bindVertexArray(this.empty);

    this.present(view, number, background, legend);
  }

  /** Bring what is drawn onto the canvas. */
  present(view, number, background, legend) {
    const gl = this.gl, shown = legend || { low: 0, high: 1, colour_map: "grey" };
    if (this.canvas.width !== view.width) this.canvas.width = view.width;
    if (this.canvas.height !== view.height) this.canvas.height = view.height;
    gl.bindVertexArray(this.empty);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.viewport(0, 0, view.width, view.height);
    const places = this.use(this.presenting, [["drawn", this.target.texture], ["map", this.maps[shown.colour_map]]]);
    gl.uniform3fv(places.background, background);
    gl.uniform2f(places.range, shown.low, shown.high);
    gl.uniform1i(places.channel, number);
    gl.uniform1i(places.logarithmic, shown.log ? 1 : 0);
    gl.uniform1i(places.falling, shown.falling ? 1 : 0);
    gl.uniform1f(places.full, number === numberOf("shading") ? this.surfels.lighting.full : 1);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  /**
   * The range [low, high] of the numbers drawn last, or null where nothing is. percent: left out at either end;
   * null: nothing is, and there is room at both ends. own: the channel's own range, or null.
   */
  measureRange(channel, percent, own) {
    const gl = this.gl, { width, height, framebuffer } = this.target, step = Math.max(1, Math.ceil(height / 256));
    gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
    const row = new Float32Array(4 * width), found = [];
    for (let y = 0; y < height; y += step) {
      gl.readPixels(0, y, width, 1, gl.RGBA, gl.FLOAT, row);
      for (let x = 0; x < width; x += step) {
        const alpha = row[4 * x + 3];
        if (alpha > SOLID) found.push(channel === "alpha" ? alpha : row[4 * x] / alpha);
      }
    }
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    if (!found.length) return null;
    const sorted = Float64Array.from(found).sort(), last = sorted.length - 1;
    const spread = sorted[last] - sorted[0], roomy = [sorted[0] - ROOM * spread, sorted[last] + ROOM * spread];
    if (percent === null) return roomy;
    const at = (share) => sorted[Math.round(last * share)];
    const low = at(percent / 100), high = at(1 - percent / 100), whole = own || roomy;
    const lacking = Math.max(Math.max(NARROWEST * (whole[1] - whole[0]), 1e-6) - (high - low), 0);
    return [low - lacking / 2, high + lacking / 2];
  }

  /** Wait until everything is drawn. */
  finish() {
    const gl = this.gl;
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
  }

  /** RGBA bytes of the canvas, top row first. */
  pixels() {
    const gl = this.gl, { width, height } = this.canvas;
    const upside = new Uint8Array(4 * width * height), made = new Uint8Array(upside.length);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, upside);
    for (let row = 0; row < height; row++) {
      made.set(upside.subarray(4 * width * row, 4 * width * (row + 1)), 4 * width * (height - 1 - row));
    }
    return { width, height, data: made };
  }
}
