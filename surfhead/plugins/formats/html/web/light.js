"use strict";
// The light of avatars that can be lit anew: the learnt one, named ones, and a lamp that follows the mouse.

const LEARNT = "as learnt";
// Gauss-Legendre heights and weights: with eight directions round, sums of harmonics' products are exact
const HEIGHTS = [[-0.8611363115940526, 0.3478548451374538], [-0.3399810435848563, 0.6521451548625461],
  [0.3399810435848563, 0.6521451548625461], [0.8611363115940526, 0.3478548451374538]];

/** The 16 harmonics to degree 3 at a unit vector. */
function harmonicsAt(x, y, z) {
  const xx = x * x, yy = y * y, zz = z * z;
  return [
    0.28209479177387814,
    -0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x,
    1.0925484305920792 * x * y, -1.0925484305920792 * y * z, 0.31539156525252005 * (2 * zz - xx - yy),
    -1.0925484305920792 * x * z, 0.5462742152960396 * (xx - yy),
    -0.5900435899266435 * y * (3 * xx - yy), 2.890611442640554 * x * y * z,
    -0.4570457994644658 * y * (4 * zz - xx - yy), 0.3731763325901154 * z * (2 * zz - 3 * xx - 3 * yy),
    -0.4570457994644658 * x * (4 * zz - xx - yy), 1.445305721320277 * z * (xx - yy),
    -0.5900435899266435 * x * (xx - 3 * yy),
  ];
}

/** The 48 coefficients of a light carried round the head (+y) by an angle, from the face (+z) towards +x. */
function turnedLight(light, angle) {
  const made = new Float64Array(48), cosine = Math.cos(angle), sine = Math.sin(angle);
  for (const [y, weight] of HEIGHTS) {
    const radius = Math.sqrt(1 - y * y);
    for (let step = 0; step < 8; step++) {
      const round = (step * Math.PI) / 4, x = radius * Math.sin(round), z = radius * Math.cos(round);
      const before = harmonicsAt(cosine * x - sine * z, y, sine * x + cosine * z);
      const values = harmonicsAt(x, y, z);
      for (let c = 0; c < 3; c++) {
        let radiance = 0;
        for (let k = 0; k < 16; k++) radiance += before[k] * light[3 * k + c];
        for (let k = 0; k < 16; k++) made[3 * k + c] += ((weight * Math.PI) / 4) * radiance * values[k];
      }
    }
  }
  return made;
}

class Light {
  /** description: see light.py. */
  constructor(description) {
    Object.assign(this, description);
    this.state = { name: LEARNT, turn: 0, strength: 1, lamp: 0, direction: null };
    this.names = [LEARNT, ...Object.keys(this.named)];
    this.shown = []; // what brings the controls to the state
  }

  /** Whether the avatar is drawn under another light than the learnt one. */
  get anew() {
    const { name, turn, strength, lamp } = this.state;
    return name !== LEARNT || turn !== 0 || strength !== 1 || lamp !== 0;
  }

  set(changes) {
    if ("name" in changes && !this.names.includes(changes.name)) {
      throw new Error(`There is no light "${changes.name}", only ${this.names.join(", ")}.`);
    }
    for (const key of ["turn", "strength", "lamp"]) {
      if (key in changes && !(Number.isFinite(changes[key]) && (key === "turn" || changes[key] >= 0))) {
        throw new Error(`The light's ${key} is ${changes[key]}, expected a number${key === "turn" ? "" : " >= 0"}.`);
      }
    }
    Object.assign(this.state, changes);
    for (const show of this.shown) show(this.state);
  }

  /** The 48 coefficients to draw under; ``front`` is where the lamp is while nothing has placed it. */
  coefficients(front) {
    const { name, turn, strength, lamp, direction } = this.state;
    const base = name === LEARNT ? this.learnt : this.named[name];
    const made = turnedLight(base, (turn * Math.PI) / 180).map((value) => strength * value);
    if (lamp > 0) {
      harmonicsAt(...unit(direction || front)).forEach((value, k) => {
        for (let c = 0; c < 3; c++) made[3 * k + c] += lamp * this.lamp[Math.floor(Math.sqrt(k))] * value;
      });
    }
    return made;
  }

  /** Coefficients with each band times a factor, as a shader takes them. */
  scaled(coefficients, factors) {
    return Float32Array.from(coefficients, (value, at) => factors[Math.floor(Math.sqrt(Math.floor(at / 3)))] * value);
  }

  /** Tell the shader web/lit.frag.glsl. */
  tell(gl, places, front) {
    const now = this.anew ? this.coefficients(front) : this.learnt;
    gl.uniform3fv(places.shine, this.scaled(now, this.bands).subarray(0, 27));
    gl.uniform3fv(places.mirror, this.scaled(now, this.lobe));
    gl.uniform3fv(places.before, this.scaled(this.learnt, this.lobe));
    gl.uniform1i(places.anew, this.anew ? 1 : 0);
    gl.uniform1f(places.incidence, this.incidence);
    gl.uniform1f(places.darkest, this.darkest);
  }

  /** Towards where a point of the canvas (0 to 1 from its upper left corner) lies on a ball before the eye. */
  place(x, y, view) {
    const r = view.rotation;
    let right = 2 * x - 1, down = 2 * y - 1;
    const length = Math.hypot(right, down);
    if (length > 1) {
      right /= length;
      down /= length;
    }
    const back = -Math.sqrt(Math.max(1 - right * right - down * down, 0));
    this.set({ direction: [0, 1, 2].map((i) => right * r[i] + down * r[3 + i] + back * r[6 + i]) });
  }

  /** The controls; ``changed`` is called after every change. */
  controls(canvas, view, changed) {
    const change = (changes) => {
      this.set(changes);
      changed();
    };
    const row = (label, key, low, high, step) => {
      const made = slider(label, [low, high], step, (value) => change({ [key]: value }));
      made.show(this.state[key]);
      this.shown.push((state) => made.show(state[key]));
      return made.row;
    };
    canvas.addEventListener("pointermove", (event) => {
      if (!(this.state.lamp > 0) || event.buttons) return;
      const box = canvas.getBoundingClientRect();
      this.place((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, view());
      changed();
    });
    const names = choice("light", this.names, this.state.name, (name) => change({ name }));
    this.shown.push((state) => (names.querySelector("select").value = state.name));
    return element("details", { id: "light", open: true }, element("summary", { textContent: "Light" }),
      names, row("turn", "turn", -180, 180, 1), row("strength", "strength", 0, 3, 0.05),
      row("mouse lamp", "lamp", 0, 2, 0.05));
  }
}
