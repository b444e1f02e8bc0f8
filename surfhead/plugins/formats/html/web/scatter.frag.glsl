#version 300 es
// Puts the light of a surfel where its colour is worked out.
precision highp float;
precision highp int;
precision highp sampler2D;

uniform sampler2D lights;
flat in ivec2 from;
out vec4 light;

void main() {
  light = texelFetch(lights, from, 0);
}
