"use strict";
// The bar under the picture, the keys, and what the page's address may ask for.

const ICONS = {
  play: '<path class="full" d="M7 5v14l12-7z"/>',
  pause: '<path class="full" d="M7 5h3.5v14H7zM13.500 5H17v14h-3.500z"/>',
  reset: '<path d="M4 11a8 8 0 1 1 1.500 6M4 20v-4h4"/>',
  orbit: '<ellipse cx="12" cy="12" rx="9" ry="3.600"/><circle class="full" cx="12" cy="12" r="1.500"/><path d="M17 17.500l-2.500-2 2.500-2"/>',
  full: '<path d="M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5"/>',
  panel: '<path d="M5 7h14M5 12h14M5 17h14"/>',
};
const KEYS = [
  ["Space", "play, pause"], ["← →", "one timestep (or turn)"], ["↑ ↓", "nearer, farther"], ["R", "first view"],
  ["O", "turn by itself"], ["C", "next channel"], ["H", "panel"], ["F", "fullscreen"],
];
const ORBIT_SPEED = 20; // degrees a second

function iconButton(name, label, act) {
  const made = element("button", { id: name === "play" ? "play" : `bar-${name}`, onclick: act });
  icon(made, name, label);
  return made;
}

function icon(button, name, label) {
  if (button.dataset.icon === name) return;
  button.dataset.icon = name;
  button.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true">${ICONS[name]}</svg>`;
  button.title = label;
  button.ariaLabel = label;
}

/** What stands behind the # of the address: yaw, pitch, zoom, orbit, panel, bar, play, channel. */
function asked(hash) {
  const made = {};
  for (const [name, value] of new URLSearchParams(hash.replace(/^#/, ""))) {
    const number = Number(value);
    if (["yaw", "pitch", "zoom", "orbit", "panel", "bar", "play"].includes(name)) {
      if (value !== "" && Number.isFinite(number)) made[name] = number;
    } else if (name === "channel") made.channel = value;
  }
  if (!(made.zoom > 0)) delete made.zoom;
  return made;
}

class Bar {
  constructor(root, player) {
    this.player = player;
    this.root = root;
    const { timesteps } = player.head;
    if (timesteps > 1) {
      this.play = iconButton("play", "Play (space)", () => player.set({ playing: !player.state.playing }));
      this.time = element("input", {
        id: "time", type: "range", min: 0, max: timesteps - 1, step: 1, ariaLabel: "Timestep",
        oninput: () => player.set({ playing: false, timestep: Number(this.time.value) }),
      });
      this.shown = element("output", { ariaLive: "off" }); // it changes with every picture
      root.append(this.play, this.time, this.shown);
    } else root.append(element("span", { className: "space" }));
    this.orbit = iconButton("orbit", "Turn by itself (O)", () => this.toggleOrbit());
    this.full = iconButton("full", "Fullscreen (F)", () => this.toggleFull());
    this.menu = iconButton("panel", "Panel (H)", () => this.togglePanel());
    root.append(iconButton("reset", "First view (R)", () => player.orbit.reset()), this.orbit);
    if (document.fullscreenEnabled) root.append(this.full);
    root.append(this.menu);
    window.addEventListener("keydown", (event) => this.key(event));
    root.hidden = player.asked.bar === 0;
    const wanted = player.asked.panel;
    document.body.classList.toggle("bare", wanted === undefined ? window.innerWidth <= 640 : wanted === 0);
  }

  toggleOrbit() {
    const { state } = this.player;
    this.player.set({ orbit: state.orbit ? 0 : this.player.head.start.orbit || ORBIT_SPEED });
  }

  toggleFull() {
    if (document.fullscreenElement) document.exitFullscreen();
    else document.documentElement.requestFullscreen().catch(() => {});
  }

  togglePanel() {
    document.body.classList.toggle("bare");
    this.update();
  }

  key(event) {
    const { target } = event, { player } = this;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName) && event.key !== "Escape") return;
    if (event.key === " " && /^(BUTTON|SUMMARY)$/.test(target.tagName)) return;
    const moving = player.head.timesteps > 1;
    const step = (by) => {
      const count = player.head.timesteps;
      if (moving) player.set({ playing: false, timestep: (player.state.timestep + by + count) % count });
      else player.orbit.turn(-0.1 * by, 0);
    };
    const acts = {
      " ": () => moving && player.set({ playing: !player.state.playing }),
      ArrowRight: () => (event.shiftKey ? player.orbit.turn(-0.1, 0) : step(1)),
      ArrowLeft: () => (event.shiftKey ? player.orbit.turn(0.1, 0) : step(-1)),
      ArrowUp: () => player.orbit.zoom(1 / 1.1),
      ArrowDown: () => player.orbit.zoom(1.1),
      r: () => player.orbit.reset(),
      o: () => this.toggleOrbit(),
      c: () => {
        const { channels } = player.painter;
        player.set({ channel: channels[(channels.indexOf(player.state.channel) + 1) % channels.length] });
      },
      h: () => this.togglePanel(),
      f: () => this.toggleFull(),
    };
    const act = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  update() {
    const { state, head } = this.player;
    if (this.play) {
      icon(this.play, state.playing ? "pause" : "play", state.playing ? "Pause (space)" : "Play (space)");
      this.time.value = state.timestep;
      this.shown.value = `${state.timestep + 1} / ${head.timesteps}`;
    }
    this.orbit.ariaPressed = String(Boolean(state.orbit));
    this.menu.ariaPressed = String(!document.body.classList.contains("bare"));
  }
}

/** The bar of colours that says what a channel of numbers shows. */
class LegendBox {
  constructor(root) {
    this.root = root;
    this.name = element("span");
    this.strip = element("canvas", { width: 256, height: 1 });
    this.ends = [element("span"), element("span"), element("span")];
    root.append(this.name, this.strip, element("div", { className: "ends" }, ...this.ends));
  }

  show(legend, maps) {
    this.root.hidden = !legend;
    if (!legend) return;
    const { low, high, unit, log } = legend;
    this.name.textContent = readable(legend.channel) + (unit ? ` (${unit})` : "");
    const middle = log ? Math.sqrt(low * high) : (low + high) / 2;
    [low, middle, high].forEach((value, i) => (this.ends[i].textContent = short(value)));
    const pen = this.strip.getContext("2d"), picture = pen.createImageData(256, 1), colours = maps[legend.colour_map];
    for (let x = 0; x < 256; x++) {
      const at = 3 * (legend.falling ? 255 - x : x);
      picture.data.set([colours[at], colours[at + 1], colours[at + 2], 255], 4 * x);
    }
    pen.putImageData(picture, 0, 0);
  }
}
