"use strict";
// The controls beside the picture: timeline, channel, background, and sliders where the rig is embedded.

const FEW = 10; // sliders of a rig's coefficients shown at first
const TURN = 0.6; // radians: the range of a joint's sliders
const SPEEDS = [0.25, 0.5, 1, 2];

function element(kind, properties = {}, ...children) {
  const made = Object.assign(document.createElement(kind), properties);
  made.append(...children);
  return made;
}

function choice(label, names, chosen, changed) {
  const select = element("select", { ariaLabel: label, onchange: () => changed(select.value) });
  for (const name of names) select.append(element("option", { value: name, textContent: name, selected: name === chosen }));
  return element("label", { textContent: label }, select);
}

class Panel {
  /** player: the running page; it has ``head``, ``state`` and the methods that the controls call. */
  constructor(root, player) {
    this.player = player;
    this.sliders = [];
    this.note = element("p", { className: "note" });
    root.append(element("h1", { textContent: player.head.title }), this.note);
    if (player.head.timesteps > 1) root.append(this.timeline());
    root.append(
      choice("channel", player.painter.channels, CHANNELS[0], (name) => player.set({ channel: name })),
      this.background(),
      element("button", { textContent: "reset camera", onclick: () => player.orbit.reset() }),
    );
    const { lighting } = player.painter.surfels;
    if (lighting) root.append(lighting.controls(player.canvas, () => player.view(), () => player.set({})));
    if (player.rig instanceof LinearRig) root.append(...this.rigControls());
  }

  timeline() {
    const { player } = this;
    this.play = element("button", { id: "play", onclick: () => player.set({ playing: !player.state.playing }) });
    this.time = element("input", {
      id: "time", type: "range", min: 0, max: player.head.timesteps - 1, step: 1, ariaLabel: "timestep",
      oninput: () => player.set({ playing: false, timestep: Number(this.time.value) }),
    });
    this.shown = element("output");
    const speed = choice("speed", SPEEDS.map(String), "1", (value) => player.set({ speed: Number(value) }));
    return element("div", { className: "timeline" }, this.play, this.time, this.shown, speed);
  }

  background() {
    const hex = (value) => Math.round(255 * value).toString(16).padStart(2, "0");
    const input = element("input", {
      type: "color", value: "#" + this.player.state.background.map(hex).join(""),
      oninput: () =>
        this.player.set({ background: [1, 3, 5].map((at) => parseInt(input.value.slice(at, at + 2), 16) / 255) }),
    });
    return element("label", { textContent: "background" }, input);
  }

  rigControls() {
    const { rig } = this.player;
    const joints = element("fieldset", {}, element("legend", { textContent: "joints" }));
    rig.rotations.forEach(([name, at], joint) => {
      ["x", "y", "z"].forEach((axis, i) =>
        joints.append(this.slider(`${rig.joint_names[joint]} ${axis}`, name, at + i, [-TURN, TURN])),
      );
    });
    const face = element("fieldset", {}, element("legend", { textContent: rig.coefficients }));
    const all = rig.names.map((name, k) => this.slider(name, rig.coefficients, k, rig.limits));
    face.append(...all);
    all.slice(FEW).forEach((row) => (row.hidden = true));
    if (all.length > FEW) {
      const more = element("button", {
        id: "more", textContent: `${all.length - FEW} more`,
        onclick: () => {
          all.forEach((row) => (row.hidden = false));
          more.remove();
        },
      });
      face.append(more);
    }
    const still = element("button", { id: "rest", textContent: "rest pose", onclick: () => this.player.setPose({}) });
    return [still, face, joints];
  }

  slider(label, name, at, [low, high]) {
    const input = element("input", {
      type: "range", min: low, max: high, step: (high - low) / 200, ariaLabel: label,
      oninput: () => this.player.change(name, at, Number(input.value)),
    });
    this.sliders.push({ input, name, at });
    return element("label", { textContent: label }, input);
  }

  /** Show the state that the page is in. */
  update() {
    const { state, head } = this.player;
    if (this.play) {
      this.play.textContent = state.playing ? "pause" : "play";
      this.time.value = state.timestep;
      this.shown.value = `${state.timestep + 1} / ${head.timesteps}`;
    }
    for (const { input, name, at } of this.sliders) {
      input.value = (state.parameters[name] || [])[at] || 0;
    }
  }
}
