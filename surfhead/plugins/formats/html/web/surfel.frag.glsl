#version 300 es
// The exact meeting of a pixel's ray and a surfel's plane, and its weight (docs/method.md, section 5).
precision highp float;
precision highp int;

uniform float near;
uniform int channel;
flat in vec4 planes;
flat in vec3 depths;
flat in vec2 centre;
flat in vec4 value;
out vec4 contribution;

void main() {
  vec2 p = gl_FragCoord.xy - centre; // the first row of the target is the picture's top
  vec3 k = p.x * depths - vec3(planes.xy, 0.0);
  vec3 l = p.y * depths - vec3(planes.zw, 0.0);
  vec3 c = cross(k, l);
  float rho = 2.0 * dot(p, p);
  float depth = depths.z;
  if (c.z != 0.0) {
    vec2 uv = c.xy / c.z;
    float on_plane = dot(uv, uv);
    if (on_plane <= rho) {
      rho = on_plane;
      depth = dot(uv, depths.xy) + depths.z;
    }
  }
  float alpha = min(0.99, value.a * exp(-0.5 * rho));
  if (alpha < 1.0 / 255.0 || depth < near) discard;
  contribution = vec4((channel == 2 ? vec3(depth) : value.rgb) * alpha, alpha);
}
