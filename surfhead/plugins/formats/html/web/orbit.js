"use strict";
// A camera that orbits, moves and zooms with mouse, pen or fingers.

const crossed = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const plus = (a, b, factor) => a.map((value, i) => value + factor * b[i]);
const unit = (a) => {
  const length = Math.hypot(...a) || 1;
  return a.map((value) => value / length);
};

class Orbit {
  /** home: target, front and up (unit vectors), distance in metres, field_of_view in degrees. */
  constructor(home, element, changed) {
    this.home = home;
    this.changed = changed;
    this.pointers = new Map();
    this.reset();
    element.addEventListener("pointerdown", (event) => this.press(event, element));
    element.addEventListener("pointermove", (event) => this.move(event, element));
    for (const name of ["pointerup", "pointercancel"]) {
      element.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    }
    element.addEventListener("dblclick", () => this.reset());
    element.addEventListener("contextmenu", (event) => event.preventDefault());
    element.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.zoom(Math.exp(0.001 * event.deltaY));
      },
      { passive: false },
    );
  }

  reset() {
    this.target = [...this.home.target];
    this.distance = this.home.distance;
    this.yaw = 0;
    this.pitch = 0;
    this.changed();
  }

  zoom(factor) {
    this.distance = Math.min(Math.max(this.distance * factor, 0.02), 100 * this.home.distance);
    this.changed();
  }

  press(event, element) {
    element.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
  }

  move(event, element) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
    const others = [...this.pointers.values()].filter((other) => other.pointerId !== event.pointerId);
    if (others.length) {
      const far = (point) => Math.hypot(point.clientX - others[0].clientX, point.clientY - others[0].clientY);
      this.zoom((far(before) + 1) / (far(event) + 1));
      this.pan(0.5 * dx, 0.5 * dy, element.clientHeight);
    } else if (event.buttons & 2 || event.shiftKey) {
      this.pan(dx, dy, element.clientHeight);
    } else {
      this.yaw -= 0.008 * dx;
      this.pitch = Math.min(Math.max(this.pitch + 0.008 * dy, -1.5), 1.5);
    }
    this.pointers.set(event.pointerId, event);
    this.changed();
  }

  pan(dx, dy, height) {
    const { right, down } = this.axes();
    const metres = (2 * this.distance * Math.tan((this.home.field_of_view * Math.PI) / 360)) / Math.max(height, 1);
    this.target = plus(plus(this.target, right, -dx * metres), down, -dy * metres);
  }

  axes() {
    const { front, up } = this.home;
    const side = unit(crossed(up, front));
    const level = plus(front.map((value) => value * Math.cos(this.yaw)), side, Math.sin(this.yaw));
    const outward = plus(level.map((value) => value * Math.cos(this.pitch)), up, Math.sin(this.pitch));
    const forward = unit(outward.map((value) => -value));
    const right = unit(crossed(forward, up));
    return { right, down: crossed(forward, right), forward };
  }

  /** The view for a picture of this size. */
  view(width, height) {
    const { right, down, forward } = this.axes();
    const eye = plus(this.target, forward, -this.distance);
    const rotation = [...right, ...down, ...forward];
    const translation = [right, down, forward].map((axis) => -axis.reduce((total, value, i) => total + value * eye[i], 0));
    const focal = (0.5 * height) / Math.tan((this.home.field_of_view * Math.PI) / 360);
    return { rotation, translation, intrinsics: [focal, focal, width / 2, height / 2], width, height, near: 0.01 };
  }
}
