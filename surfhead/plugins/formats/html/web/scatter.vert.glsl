#version 300 es
// One point for every surfel that shines, where its texel is.
precision highp float;
precision highp int;
precision highp sampler2D;

const int ACROSS = 1024;
const int ROW = 256;
uniform sampler2D places;
uniform vec2 size;
flat out ivec2 from;

void main() {
  from = ivec2(gl_VertexID % ROW, gl_VertexID / ROW);
  int surfel = int(texelFetch(places, ivec2(gl_VertexID % ACROSS, gl_VertexID / ACROSS), 0).x);
  vec2 at = vec2(float(surfel % ROW), float(surfel / ROW)) + 0.5;
  gl_Position = vec4(2.0 * at / size - 1.0, 0.0, 1.0);
  gl_PointSize = 1.0;
}
