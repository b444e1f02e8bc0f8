"use strict";
// The page: it plays the avatar, and offers `window.surfhead` to scripts.

const FRAMES_A_SECOND = 25; // of the motion at speed 1
const SLOW = 0.1; // seconds a frame: beyond it, moving pictures are drawn at half the resolution
const STILL = 300; // milliseconds without a change after which the picture is drawn in full
const SMOOTH = 0.9; // of the frame rate that is shown

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
    this.maps = group(arrays, "map/");
    const known = { observed: surfels.observed, blend: surfels.blend, stretch: mesh.triangles };
    const numbers = Object.keys(known).filter((name) => known[name]);
    const more = { numbers, maps: this.maps, highlight: light, lighting };
    this.painter = new Painter(canvas, shaders, { ...head.surfels, ...surfels, ...more });
    this.deformer = new Deformer(head.deformer, { ...mesh, ...surfels, count: head.surfels.count }, this.painter.texels);
    this.asked = asked(location.hash);
    const { channels } = this.painter, wanted = this.asked.channel;
    // nothing moves unasked where the visitor's system says that motion is unwelcome
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    const plays = "play" in this.asked ? this.asked.play === 1 : !still;
    this.state = {
      timestep: 0, playing: plays && head.timesteps > 1, speed: 1, background: head.background,
      channel: channels.includes(wanted) ? wanted : channels[0], parameters: this.rig.timestep(0),
      orbit: "orbit" in this.asked ? this.asked.orbit : still ? 0 : head.start.orbit, // degrees a second
      map: null, percent: null, range: null, // of numbers; null: the channel's own
    };
    this.fixed = null; // a view set by a script
    const changed = () => {
      this.fixed = null;
      this.stale = true;
    };
    this.orbit = new Orbit(head.home, canvas, changed, { ...head.start, ...this.asked });
    this.orbit.touched = () => {
      if (this.state.orbit) this.set({ orbit: 0 });
    };
    this.measured = null; // the range of the numbers that are drawn
    this.rate = 0;
    this.moved = true;
    this.clock = 0;
    this.changed = 0; // when the picture last changed
    this.slow = 0; // slow frames in a row
  }

  set(changes) {
    Object.assign(this.state, changes);
    if ("channel" in changes || "percent" in changes) this.measured = null;
    if ("channel" in changes) this.moved = true; // its numbers are worked out with the pose
    if ("timestep" in changes) this.setPose(this.rig.timestep(changes.timestep), changes.timestep);
    this.stale = true;
    this.update();
  }

  /** Let the controls show the state. */
  update() {
    if (this.panel) this.panel.update();
    if (this.bar) this.bar.update();
  }

  /** What the colours of the channel mean; null for pictures of colours. */
  legend() {
    const { state } = this, kind = this.head.scalars[state.channel];
    if (!kind) return null;
    const own = kind.low === null ? null : [kind.low, kind.high];
    const range = state.range || (state.percent === null ? own : null) || this.measured || own || [0, 1];
    return { ...kind, channel: state.channel, colour_map: state.map || kind.colour_map, low: range[0], high: range[1], own };
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
    this.update();
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
    const { channel, background } = this.state;
    if (this.moved) {
      const carried = numberOf(channel) === OF_SURFELS && this.painter.channels.includes(channel);
      if (carried) this.deformer.numbers(channel); // asks for those that go with the pose
      this.deformer.update(this.rig.pose(this.state.parameters));
      this.painter.posed();
      if (carried) this.painter.show(this.deformer.numbers(channel));
      this.moved = false;
    }
    const view = this.view();
    this.painter.draw(view, channel, background, this.legend());
    this.drawn = view;
    this.unsettled = this.follows();
    if (this.unsettled && !this.measured) this.settle();
    this.legendBox.show(this.legend(), this.maps);
    this.stale = false;
  }

  /** Whether the range of colours follows what is drawn. */
  follows() {
    const legend = this.legend();
    return Boolean(legend) && !this.state.range && (this.state.percent !== null || !legend.own);
  }

  /** Take the range of colours from the picture that is drawn. */
  settle() {
    const { channel, percent, background } = this.state;
    this.unsettled = false;
    this.measured = this.painter.measureRange(channel, percent, this.legend().own);
    this.painter.present(this.drawn, numberOf(channel), background, this.legend());
    this.legendBox.show(this.legend(), this.maps);
  }

  /** Called for every frame of the screen. */
  tick(now) {
    const passed = Math.max(now - this.clock, 0) / 1000;
    this.clock = now;
    if (this.state.playing) {
      this.time = (this.time || 0) + Math.min(passed, 0.5) * FRAMES_A_SECOND * this.state.speed;
      const steps = Math.floor(this.time);
      this.time -= steps;
      if (steps) this.set({ timestep: (this.state.timestep + steps) % this.head.timesteps });
    }
    if (this.state.orbit) this.orbit.turn((this.state.orbit * Math.min(passed, 0.5) * Math.PI) / 180, 0);
    if (this.stale) this.changed = now;
    const view = this.view();
    const drawing = this.stale || view.width !== this.canvas.width || view.height !== this.canvas.height;
    if (drawing) {
      this.draw();
      if (this.drew && passed > 0) this.rate = this.rate ? SMOOTH * this.rate + (1 - SMOOTH) / passed : 1 / passed;
      if (!this.told || now - this.told > 500) {
        this.panel.tell(view.width, view.height, this.rate);
        this.told = now;
      }
      // only frames drawn without a pause between them tell how long one takes
      if (this.drew && this.slow <= 3) this.slow = passed > SLOW ? this.slow + 1 : 0;
    }
    if (!drawing && this.drew) this.panel.tell(view.width, view.height, this.rate);
    if (this.unsettled && !this.state.playing && !this.state.orbit && now - this.changed > STILL) this.settle();
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
    /** Holds this pose: a motion that plays stops. */
    setPose: drawn((pose) => {
      player.state.playing = false;
      player.setPose(pose);
    }),
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
    /** What the colours of the channel mean: low, high, colour_map, unit; null for pictures of colours. */
    legend: () => player.legend(),
    /** Colour map and percentiles of channels of numbers; null: the channel's own. */
    setScale: drawn((map, percent = null) => player.set({ map, percent })),
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
  const status = document.getElementById("status"), poster = document.getElementById("poster");
  try {
    const arrays = await unpack(document.getElementById("numbers").textContent, head.arrays);
    document.getElementById("numbers").remove();
    status.textContent = "Preparing the picture …";
    const player = new Player(head, arrays, shaders, document.getElementById("canvas"));
    player.legendBox = new LegendBox(document.getElementById("legend"));
    player.panel = new Panel(document.getElementById("panel"), player);
    player.panel.note.textContent = head.note;
    player.bar = new Bar(document.getElementById("bar"), player);
    player.update();
    player.draw();
    player.panel.tell(player.drawn.width, player.drawn.height, 0);
    status.remove();
    if (poster) poster.remove();
    player.clock = performance.now(); // the motion begins with its first timestep
    requestAnimationFrame((now) => player.tick(now));
    return scripting(player);
  } catch (error) {
    status.textContent = `The avatar cannot be shown: ${error.message}`;
    throw error;
  }
}
