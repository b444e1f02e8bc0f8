"use strict";
// The page: it plays the avatar, and offers `window.surfhead` to scripts.

const FRAMES_A_SECOND = 25; // of the motion at speed 1
const SLOW = 0.1; // seconds a frame: beyond it, moving pictures are drawn at half the resolution
const STILL = 300; // milliseconds without a change after which the picture is drawn in full

class Player {
  constructor(head, arrays, shaders, canvas) {
    this.head = head;
    this.canvas = canvas;
    const rigs = { linear: LinearRig, baked: BakedRig, none: NoRig };
    const mesh = group(arrays, "mesh/");
    this.rig = new rigs[head.rig.kind](head.rig, { ...mesh, ...group(arrays, "rig/") });
    const surfels = group(arrays, "surfel/");
    const light = head.highlight ? new Highlight(head.highlight, group(arrays, "light/")) : null;
    const lighting = head.light ? new Light(head.light) : null;
    this.painter = new Painter(canvas, shaders, { ...head.surfels, ...surfels, highlight: light, lighting });
    this.deformer = new Deformer(head.deformer, { ...mesh, ...surfels, count: head.surfels.count }, this.painter.texels);
    this.state = {
      timestep: 0, playing: false, speed: 1, channel: CHANNELS[0], background: head.background, range: null,
      parameters: this.rig.timestep(0),
    };
    this.fixed = null; // a view set by a script
    this.orbit = new Orbit(head.home, canvas, () => {
      this.fixed = null;
      this.stale = true;
    });
    this.moved = true;
    this.clock = 0;
    this.changed = 0; // when the picture last changed
    this.slow = 0; // slow frames in a row
  }

  set(changes) {
    Object.assign(this.state, changes);
    if ("timestep" in changes) this.setPose(this.rig.timestep(changes.timestep), changes.timestep);
    this.stale = true;
    if (this.panel) this.panel.update();
  }

  /** Rig parameters by name (missing ones are zero), or the number of a timestep. */
  setPose(pose, timestep) {
    if (typeof pose === "number") {
      this.set({ timestep: pose });
      return;
    }
    if (timestep === undefined) this.state.playing = false;
    this.state.parameters = pose;
    this.moved = this.stale = true;
    if (this.panel) this.panel.update();
  }

  /** One number of a rig parameter. */
  change(name, at, value) {
    const row = Array.from(this.state.parameters[name] || []);
    while (row.length <= at) row.push(0);
    row[at] = value;
    this.setPose({ ...this.state.parameters, [name]: row });
  }

  /** The view that is drawn now. */
  view() {
    if (this.fixed) return this.fixed;
    const coarse = this.slow > 3 && (this.state.playing || this.clock - this.changed < STILL);
    const ratio = Math.min(window.devicePixelRatio || 1, 2) * (coarse ? 0.5 : 1);
    const width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    const height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    return this.orbit.view(width, height);
  }

  draw() {
    if (this.moved) {
      this.deformer.update(this.rig.pose(this.state.parameters));
      this.painter.posed();
      this.moved = false;
    }
    const view = this.view();
    const { target, radius } = this.head.home;
    const centre = [6, 7, 8].reduce((sum, at, i) => sum + view.rotation[at] * target[i], view.translation[2]);
    const range = this.state.range || [centre - radius, centre + radius];
    this.painter.draw(view, this.state.channel, this.state.background, range);
    this.stale = false;
  }

  /** Called for every frame of the screen. */
  tick(now) {
    const passed = (now - this.clock) / 1000;
    this.clock = now;
    if (this.state.playing) {
      this.time = (this.time || 0) + Math.min(passed, 0.5) * FRAMES_A_SECOND * this.state.speed;
      const steps = Math.floor(this.time);
      this.time -= steps;
      if (steps) this.set({ timestep: (this.state.timestep + steps) % this.head.timesteps });
    }
    if (this.stale) this.changed = now;
    const view = this.view();
    const drawing = this.stale || view.width !== this.canvas.width || view.height !== this.canvas.height;
    if (drawing) {
      this.draw();
      // only frames drawn without a pause between them tell how long one takes
      if (this.drew && this.slow <= 3) this.slow = passed > SLOW ? this.slow + 1 : 0;
    }
    this.drew = drawing;
    requestAnimationFrame((next) => this.tick(next));
  }
}

/** What scripts may call; every method draws before it returns. */
function scripting(player) {
  const drawn = (action) => (...given) => {
    action(...given);
    player.draw();
  };
  return {
    head: player.head,
    state: player.state,
    /** The light's state, or null where the avatar cannot be lit anew. */
    light: player.painter.surfels.lighting ? player.painter.surfels.lighting.state : null,
    /** camera_from_world: 16 numbers row by row; intrinsics: 9 numbers row by row, pixels. */
    setView: drawn((matrix, k, width, height, near = 0.01) => {
      const m = matrix.flat(), i = k.flat();
      const rotation = [m[0], m[1], m[2], m[4], m[5], m[6], m[8], m[9], m[10]];
      const intrinsics = [i[0], i[4], i[2], i[5]];
      player.fixed = { rotation, translation: [m[3], m[7], m[11]], intrinsics, width, height, near };
    }),
    setPose: drawn((pose) => player.setPose(pose)),
    setChannel: drawn((channel, range = null) => player.set({ channel, range })),
    /** name, turn (degrees), strength, lamp (strength) and direction towards it, where the avatar can be lit anew. */
    setLight: drawn((light) => {
      const { lighting } = player.painter.surfels;
      if (!lighting) throw new Error("This avatar cannot be lit anew.");
      lighting.set(light);
      player.set({});
    }),
    setBackground: drawn((rgb) => player.set({ background: rgb })),
    play: (speed = 1) => player.set({ playing: true, speed }),
    pause: () => player.set({ playing: false }),
    pixels: () => player.painter.pixels(),
    picture: () => player.canvas.toDataURL("image/png"),
    /** Means and tangents as drawn: twelve numbers a surfel, see deform.js. */
    surfels: () => player.painter.texels.slice(0, 12 * player.head.surfels.count),
    /** Seconds for each part of a frame, means over ``frames`` with the pose and the view changing. */
    measure: (frames = 20) => {
      const spent = { rig: 0, deform: 0, draw: 0 };
      for (let i = 0; i < frames; i++) {
        const start = performance.now();
        const parameters = player.rig.timestep(i % Math.max(player.head.timesteps, 1));
        const vertices = player.rig.pose(parameters);
        const posed = performance.now();
        player.deformer.update(vertices);
        const deformed = performance.now();
        player.painter.posed();
        player.moved = false;
        player.draw();
        player.painter.finish();
        spent.rig += posed - start;
        spent.deform += deformed - posed;
        spent.draw += performance.now() - deformed;
      }
      for (const name of Object.keys(spent)) spent[name] /= 1000 * frames;
      return spent;
    },
  };
}

async function start(head, shaders) {
  const status = document.getElementById("status");
  try {
    const arrays = await unpack(document.getElementById("numbers").textContent, head.arrays);
    document.getElementById("numbers").remove();
    const player = new Player(head, arrays, shaders, document.getElementById("canvas"));
    player.panel = new Panel(document.getElementById("panel"), player);
    player.panel.note.textContent = head.note;
    player.panel.update();
    player.draw();
    status.remove();
    requestAnimationFrame((now) => player.tick(now));
    return scripting(player);
  } catch (error) {
    status.textContent = `The avatar cannot be shown: ${error.message}`;
    throw error;
  }
}
