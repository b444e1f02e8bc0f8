#version 300 es
// Projects a surfel and spans the rectangle around its footprint (docs/method.md, section 5).
precision highp float;
precision highp int;
precision highp sampler2D;

const int ROW = 256;
uniform sampler2D surfels;
uniform sampler2D colours; // colour, opacity
uniform sampler2D values; // a number of each surfel
uniform mat3 rotation; // camera from world
uniform vec3 translation;
uniform vec4 intrinsics; // fx, fy, cx, cy in pixels
uniform vec2 size;
uniform float near;
uniform int channel;
uniform bool outer; // normals are those of a mesh's outer side
flat out vec4 planes; // M's rows x and y in pixels from the projected centre
flat out vec3 depths; // M's row w
flat out vec2 centre;
flat out vec4 value; // what is composited, and the opacity

void main() {
  int surfel = gl_VertexID >> 2;
  ivec2 at = ivec2(surfel % ROW, surfel / ROW);
  vec4 colour = texelFetch(colours, at, 0);
  vec3 m = rotation * texelFetch(surfels, ivec2(3 * at.x, at.y), 0).xyz + translation;
  gl_Position = vec4(2.0, 2.0, 2.0, 1.0); // outside: nothing is drawn
  if (m.z <= near || 255.0 * colour.a < 1.0) return;
  vec3 a = rotation * texelFetch(surfels, ivec2(3 * at.x + 1, at.y), 0).xyz;
  vec3 b = rotation * texelFetch(surfels, ivec2(3 * at.x + 2, at.y), 0).xyz;
  vec2 ray = m.xy / m.z;
  centre = intrinsics.xy * ray + intrinsics.zw;
  vec2 x = intrinsics.x * (vec2(a.x, b.x) - ray.x * vec2(a.z, b.z));
  vec2 y = intrinsics.y * (vec2(a.y, b.y) - ray.y * vec2(a.z, b.z));
  vec2 w = vec2(a.z, b.z);
  planes = vec4(x, y);
  depths = vec3(w, m.z);
  vec3 normal = cross(a, b);
  float area = length(normal);
  normal = area > 0.0 ? normal / area : vec3(0.0);
  vec3 shown = colour.rgb;
  float away = dot(normal, m);
  vec3 back = outer ? normal - 2.0 * away / dot(m, m) * m : -normal; // mirrored across the line of sight, or turned
  if (channel == 1) shown = away > 0.0 ? back : normal;
  if (channel == 4) shown = vec3(texelFetch(values, at, 0).x);
  value = vec4(shown, colour.a);

  vec2 corner = 2.0 * vec2(float(gl_VertexID & 1), float((gl_VertexID >> 1) & 1)) - 1.0;
  float reach = 2.0 * log(255.0 * colour.a);
  float ww = reach * dot(w, w) - m.z * m.z;
  if (ww >= 0.0) { // it passes behind the camera: the whole screen
    gl_Position = vec4(corner, 0.0, 1.0);
    return;
  }
  // the ellipse of rho3 about its middle, and its axes
  vec2 middle = reach * vec2(dot(x, w), dot(y, w)) / ww;
  vec3 spread = vec3(middle * middle, middle.x * middle.y) - reach * vec3(dot(x, x), dot(y, y), dot(x, y)) / ww;
  float mean = 0.5 * (spread.x + spread.y);
  float apart = length(vec2(0.5 * (spread.x - spread.y), spread.z));
  float angle = apart > 0.0 ? 0.5 * atan(spread.z, 0.5 * (spread.x - spread.y)) : 0.0;
  vec2 along = vec2(cos(angle), sin(angle)), across = vec2(-along.y, along.x);
  vec2 half_side = sqrt(max(mean + vec2(apart, -apart), 0.0));
  // the rectangle also holds the disc of rho2 about the projected centre, and a pixel of slack
  vec2 shift = abs(vec2(dot(middle, along), dot(middle, across)));
  half_side = max(half_side, shift + sqrt(0.5 * reach)) + 1.0;
  vec2 place = centre + middle + corner.x * half_side.x * along + corner.y * half_side.y * across;
  gl_Position = vec4(2.0 * place / size - 1.0, 0.0, 1.0);
}
