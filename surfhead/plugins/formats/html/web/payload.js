"use strict";
// Unpacks the numbers that the page carries.

const KINDS = { u1: Uint8Array, i1: Int8Array, u2: Uint16Array, i2: Int16Array, u4: Uint32Array, f4: Float32Array };

function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

/** Rows of 16 bits from the folded differences of each row and the one before, all lower bytes first. */
function summed(bytes, rows) {
  const count = bytes.length / 2, size = count / rows;
  const made = new Uint16Array(count);
  for (let i = 0; i < count; i++) {
    const folded = bytes[i] | (bytes[count + i] << 8);
    made[i] = (i < size ? 0 : made[i - size]) + ((folded >>> 1) ^ -(folded & 1));
  }
  return made;
}

/** Arrays by name; quantised ones become floats, scale and offset being one for each channel (the last axis). */
async function unpack(text, entries) {
  const packed = new Blob([bytesOf(text.trim())]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(packed).arrayBuffer();
  const arrays = {};
  for (const { name, kind, at, length, scale, offset, rows } of entries) {
    const stored = new KINDS[kind](buffer, at, length);
    if (!scale) {
      arrays[name] = stored;
      continue;
    }
    const raw = rows ? summed(stored, rows) : stored;
    const values = new Float32Array(raw.length), channels = scale.length;
    for (let i = 0; i < raw.length; i++) values[i] = raw[i] * scale[i % channels] + offset[i % channels];
    arrays[name] = values;
  }
  return arrays;
}

/** The arrays whose names start with ``prefix``, without it. */
function group(arrays, prefix) {
  const found = Object.entries(arrays).filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(found.map(([name, values]) => [name.slice(prefix.length), values]));
}
