#version 300 es
// What a channel looks like on the screen, its top row last as the canvas wants it.
precision highp float;
precision highp int;
precision highp sampler2D;

uniform sampler2D drawn;
uniform sampler2D map; // the colours of numbers, from the low end to the high one
uniform vec3 background;
uniform vec2 range; // values at the map's ends
uniform int channel; // 0 colour, 1 normal, 2 depth, 3 alpha, 4 a number of each surfel, more: parts of the colour
uniform bool logarithmic;
uniform bool falling; // the low end has the map's upper colour
uniform float full; // what is white in parts of the colour
out vec4 colour;

vec3 mapped(float value) {
  vec2 ends = range;
  if (logarithmic) {
    value = log(max(value, 1e-12));
    ends = log(max(ends, vec2(1e-12)));
  }
  float place = clamp((value - ends.x) / max(ends.y - ends.x, 1e-9), 0.0, 1.0);
  float at = (falling ? 1.0 - place : place) * float(textureSize(map, 0).x - 1);
  int low = min(int(at), textureSize(map, 0).x - 2);
  return mix(texelFetch(map, ivec2(low, 0), 0).rgb, texelFetch(map, ivec2(low + 1, 0), 0).rgb, at - float(low));
}

void main() {
  ivec2 size = textureSize(drawn, 0);
  ivec2 at = ivec2(gl_FragCoord.xy);
  vec4 sum = texelFetch(drawn, ivec2(at.x, size.y - 1 - at.y), 0);
  vec3 behind = (1.0 - sum.a) * background;
  vec3 rgb = sum.rgb + behind;
  if (channel == 1) {
    float norm = length(sum.rgb);
    vec3 unit = norm > 0.0 ? sum.rgb / norm : vec3(0.0);
    rgb = 0.5 * (unit * vec3(1.0, -1.0, -1.0) + 1.0) * sum.a + behind;
  } else if (channel == 2 || channel == 4) {
    rgb = mapped(sum.r / max(sum.a, 1e-9)) * sum.a + behind;
  } else if (channel == 3) {
    rgb = mapped(sum.a); // it has a value everywhere
  } else if (channel > 4) {
    rgb = sum.rgb / full + behind;
  }
  colour = vec4(clamp(rgb, 0.0, 1.0), 1.0);
}
