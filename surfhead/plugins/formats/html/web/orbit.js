"use strict";
// A camera that orbits, moves and zooms with mouse, pen or fingers.

const crossed = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const plus = (a, b, factor) => a.map((value, i) => value + factor * b[i]);
const unit = (a) => {
  const length = Math.hypot(...a) || 1;
  return a.map((value) => value / length);
};

const STEEPEST = 1.5; // radians above and below
const NEAREST = 1, FARTHEST = 3; // radii of what is shown, and distances of the first view
const PORTRAIT = 1.3; // heights to a width up to which a picture is as wide as high

class Orbit {
  /**
   * home: target, front and up (unit vectors), distance and radius in metres, field_of_view in degrees.
   * start: yaw and pitch in degrees, zoom (2 is twice as near).
   */
  constructor(home, element, changed, start = {}) {
    this.home = home;
    this.start = start;
    this.changed = changed;
    this.pointers = new Map();
    this.reset();
    element.addEventListener("pointerdown", (event) => this.press(event, element));
    element.addEventListener("pointermove", (event) => this.move(event, element));
    for (const name of ["pointerup", "pointercancel"]) {
      element.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    }
    element.addEventListener("dblclick", () => this.reset());
    this.touched = () => {};
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
    const { yaw = 0, pitch = 0, zoom = 1 } = this.start;
    this.yaw = (yaw * Math.PI) / 180;
    this.pitch = Math.min(Math.max((pitch * Math.PI) / 180, -STEEPEST), STEEPEST);
    this.distance = this.home.distance;
    this.zoom(1 / zoom);
  }

  /** Nearer or farther, never into the head nor out of sight. */
  zoom(factor) {
    const { radius, distance } = this.home;
    this.distance = Math.min(Math.max(this.distance * factor, NEAREST * radius), FARTHEST * distance);
    this.changed();
  }

  turn(yaw, pitch) {
    this.yaw += yaw;
    this.pitch = Math.min(Math.max(this.pitch + pitch, -STEEPEST), STEEPEST);
    this.changed();
  }

  /** The view as ``start`` says it. */
  place() {
    const degrees = (angle) => Math.round((angle * 180) / Math.PI);
    const yaw = ((degrees(this.yaw) + 180) % 360 + 360) % 360 - 180;
    return { yaw, pitch: degrees(this.pitch), zoom: Number((this.home.distance / this.distance).toFixed(2)) };
  }

  press(event, element) {
    this.touched();
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
      this.pan(0.5 * dx, 0.5 * dy, element);
    } else if (event.buttons & 2 || event.shiftKey) {
      this.pan(dx, dy, element);
    } else {
      this.turn(-0.008 * dx, 0.008 * dy);
    }
    this.pointers.set(event.pointerId, event);
    this.changed();
  }

  pan(dx, dy, { clientWidth, clientHeight }) {
    const { right, down } = this.axes(), height = Math.min(clientHeight, PORTRAIT * clientWidth);
    const metres = (2 * this.distance * Math.tan((this.home.field_of_view * Math.PI) / 360)) / Math.max(height, 1);
    const moved = plus(plus(this.target, right, -dx * metres), down, -dy * metres);
    const away = plus(moved, this.home.target, -1), far = Math.hypot(...away);
    const most = 1.5 * this.home.radius; // the head stays in sight
    this.target = far > most ? plus(this.home.target, away, most / far) : moved;
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
    const focal = (0.5 * Math.min(height, PORTRAIT * width)) / Math.tan((this.home.field_of_view * Math.PI) / 360);
    return { rotation, translation, intrinsics: [focal, focal, width / 2, height / 2], width, height, near: 0.01 };
  }
}
