"use strict";
// The controls beside the picture: channel, colours, background, and sliders where the rig is embedded.

const FEW = 10; // sliders of a rig's coefficients shown at first
const TURN = 0.6; // radians: the range of a joint's sliders
const SPEEDS = [0.25, 0.5, 1, 2];
const SPREADS = { "own range": null, "1 to 99 %": 1, "5 to 95 %": 5 };
const AT_RANDOM = 3; // coefficients of a random expression, as in the viewer,
const STRENGTH = [0.2, 0.6]; // in units of their usual range: shapes add up, and many at full strength are no face

class Panel {
  /** player: the running page; it has ``head``, ``state`` and the methods that the controls call. */
  constructor(root, player) {
    this.player = player;
    this.sliders = [];
    this.note = element("p", { className: "note" });
    root.append(element("h1", { textContent: player.head.title }), this.note, this.view());
    const { lighting } = player.painter.surfels;
    if (lighting) root.append(lighting.controls(player.canvas, () => player.view(), () => player.set({})));
    if (player.rig instanceof LinearRig) root.append(...this.rigControls());
    root.append(this.about(), this.embedding(), this.keys());
  }

  view() {
    const { player } = this, { painter } = player;
    this.channel = choice("channel", painter.channels, player.state.channel, (channel) => player.set({ channel }));
    this.map = choice("colour map", ["own", ...Object.keys(painter.maps)], "own", (name) =>
      player.set({ map: name === "own" ? null : name }));
    this.spread = choice("range", Object.keys(SPREADS), "own range", (name) => player.set({ percent: SPREADS[name] }));
    const made = element("div", {}, this.channel, this.map, this.spread, this.background());
    if (player.head.timesteps > 1) {
      made.append(choice("speed", SPEEDS.map(String), "1", (value) => player.set({ speed: Number(value) })));
    }
    return made;
  }

  background() {
    const hex = (value) => Math.round(255 * value).toString(16).padStart(2, "0");
    const input = element("input", {
      type: "color", value: "#" + this.player.state.background.map(hex).join(""), ariaLabel: "background",
      oninput: () =>
        this.player.set({ background: [1, 3, 5].map((at) => parseInt(input.value.slice(at, at + 2), 16) / 255) }),
    });
    return element("label", {}, element("span", { textContent: "Background" }), input);
  }

  rigControls() {
    const { rig } = this.player;
    const face = element("details", { open: true, className: "rig" }, element("summary", { textContent: readable(rig.coefficients) }));
    face.append(
      element("button", { id: "random", textContent: "Random", onclick: () => this.randomise() }),
      element("button", { id: "rest", textContent: "Rest pose", onclick: () => this.player.setPose({}) }),
    );
    const all = rig.names.map((name, k) => this.slider(readable(name), rig.coefficients, k, rig.limits));
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
    const joints = element("details", { className: "rig" }, element("summary", { textContent: "Joints" }));
    rig.rotations.forEach(([name, at], joint) => {
      AXES.forEach((axis, i) =>
        joints.append(this.slider(readable(`${rig.joint_names[joint]} ${axis}`), name, at + i, [-TURN, TURN])),
      );
    });
    return [face, joints];
  }

  /** A few coefficients at random, the others at rest; joints as they are. */
  randomise() {
    const { rig, state } = this.player, [, high] = rig.limits, [least, most] = STRENGTH;
    const row = new Array(rig.names.length).fill(0);
    for (let i = 0; i < AT_RANDOM; i++) {
      row[Math.floor(Math.random() * row.length)] = high * (least + (most - least) * Math.random());
    }
    this.player.setPose({ ...state.parameters, [rig.coefficients]: row });
  }

  slider(label, name, at, limits) {
    const made = slider(label, limits, (limits[1] - limits[0]) / 200, (value) => this.player.change(name, at, value));
    this.sliders.push({ show: made.show, name, at });
    return made.row;
  }

  about() {
    const { head } = this.player, rows = {};
    const row = (name, value) => {
      rows[name] = element("td", { textContent: value });
      return element("tr", {}, element("td", { textContent: name }), rows[name]);
    };
    this.facts = rows;
    const megabytes = (head.bytes / 1e6).toFixed(head.bytes < 1e7 ? 1 : 0);
    const table = element("table", { id: "facts" }, row("Surfels", head.surfels.count.toLocaleString("en")),
      row("File", `${megabytes} MB`), row("Picture", ""), row("Frames/s", "–"));
    return element("details", { open: true }, element("summary", { textContent: "About" }), table);
  }

  embedding() {
    const text = element("textarea", { readOnly: true, spellcheck: false, ariaLabel: "Snippet", id: "snippet" });
    const copy = element("button", {
      textContent: "Copy",
      onclick: () => {
        text.select();
        if (navigator.clipboard) navigator.clipboard.writeText(text.value).catch(() => document.execCommand("copy"));
        else document.execCommand("copy");
      },
    });
    const made = element("details", { id: "embed" }, element("summary", { textContent: "Embed" }),
      element("p", { className: "note", textContent: "Shows this view in another page." }), text, copy);
    const refresh = () => {
      const { yaw, pitch, zoom } = this.player.orbit.place(), { orbit, playing } = this.player.state;
      const file = location.pathname.split("/").pop() || "avatar.html";
      const held = this.player.head.timesteps > 1 && !playing ? { play: 0 } : {};
      const wish = new URLSearchParams({ panel: 0, yaw, pitch, zoom, ...(orbit ? { orbit } : {}), ...held });
      text.value = `<iframe src="${file}#${wish}" title="${this.player.head.title.replace(/[&"<>]/g, "")}" width="640" height="480"` +
        ` style="border: 0" allow="fullscreen"></iframe>`;
    };
    made.addEventListener("toggle", refresh);
    made.addEventListener("pointerenter", refresh);
    return made;
  }

  keys() {
    const rows = KEYS.map(([key, does]) =>
      element("tr", {}, element("td", {}, element("kbd", { textContent: key })), element("td", { textContent: does })));
    return element("details", {}, element("summary", { textContent: "Keys" }), element("table", {}, ...rows));
  }

  /** Say how large and how fast pictures are. */
  tell(width, height, rate) {
    this.facts.Picture.textContent = `${width} × ${height}`;
    if (rate) this.facts["Frames/s"].textContent = rate.toFixed(rate < 10 ? 1 : 0);
  }

  /** Show the state that the page is in. */
  update() {
    const { state, head } = this.player;
    const numbers = state.channel in head.scalars;
    // an open list, to which one writes while a motion plays, would lose its place
    const tell = (list, value) => {
      if (list.value !== value) list.value = value;
    };
    tell(this.channel.lastChild, state.channel);
    this.map.hidden = this.spread.hidden = !numbers;
    tell(this.map.lastChild, state.map || "own");
    const spread = Object.keys(SPREADS).find((name) => SPREADS[name] === state.percent);
    tell(this.spread.lastChild, spread || "");
    for (const { show, name, at } of this.sliders) show((state.parameters[name] || [])[at] || 0);
  }
}
