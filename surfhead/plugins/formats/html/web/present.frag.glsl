#version 300 es
// What a channel looks like on the screen, its top row last as the canvas wants it.
precision highp float;
precision highp int;
precision highp sampler2D;

uniform sampler2D drawn;
uniform vec3 background;
uniform vec2 range; // camera z in metres that is white, and black
uniform int channel;
uniform float full; // what is white in parts of the colour
out vec4 colour;

void main() {
  ivec2 size = textureSize(drawn, 0);
  ivec2 at = ivec2(gl_FragCoord.xy);
  vec4 sum = texelFetch(drawn, ivec2(at.x, size.y - 1 - at.y), 0);
  vec3 rgb = sum.rgb + (1.0 - sum.a) * background;
  if (channel == 1) {
    float norm = length(sum.rgb);
    vec3 unit = norm > 0.0 ? sum.rgb / norm : vec3(0.0);
    rgb = 0.5 * (unit * vec3(1.0, -1.0, -1.0) + 1.0) * sum.a;
  } else if (channel == 2) {
    float depth = sum.r / max(sum.a, 1e-9);
    rgb = vec3(clamp((range.y - depth) / (range.y - range.x), 0.0, 1.0) * step(0.5, sum.a));
  } else if (channel == 3) {
    rgb = vec3(sum.a);
  } else if (channel > 3) {
    rgb = sum.rgb / full + (1.0 - sum.a) * background;
  }
  colour = vec4(clamp(rgb, 0.0, 1.0), 1.0);
}
