#version 300 es
// The light of one surfel that shines: lobes and a small perceptron (docs/method.md, section 6).
precision highp float;
precision highp int;
precision highp sampler2D;

const int ACROSS = 1024;
const int ROW = 256;
//SIZES
uniform sampler2D surfels; // three texels each: mean, tangents; a quaternion's x, y, z in the last channels
uniform sampler2D lobes; // two amplitudes, one or two sharpnesses
uniform sampler2D axes; // axis, x and y of each lobe
uniform sampler2D weights;
uniform sampler2D places; // the surfel's number
uniform int count;
uniform vec3 eye;
out vec4 light;

vec4 weight(int at) {
  return texelFetch(weights, ivec2(at % ACROSS, at / ACROSS), 0);
}

vec3 perceptron(vec4 x0[PADDED / 4]) {
//LAYERS
}

void main() {
  int number = int(gl_FragCoord.y) * ROW + int(gl_FragCoord.x);
  if (number >= count) discard;
  int surfel = int(texelFetch(places, ivec2(number % ACROSS, number / ACROSS), 0).x);
  ivec2 at = ivec2(3 * (surfel % ROW), surfel / ROW);
  vec4 mean = texelFetch(surfels, at, 0);
  vec4 first = texelFetch(surfels, at + ivec2(1, 0), 0);
  vec4 second = texelFetch(surfels, at + ivec2(2, 0), 0);
  vec3 d = normalize(mean.xyz - eye);
  vec3 n = cross(first.xyz, second.xyz);
  n /= max(length(n), 1e-30);
  if (dot(n, d) > 0.0) n = -n;
  if (!WORLD) { // turned back to the rest pose
    vec3 q = -vec3(mean.w, first.w, second.w);
    float w = sqrt(max(1.0 - dot(q, q), 0.0));
    d += 2.0 * cross(q, cross(q, d) + w * d);
    n += 2.0 * cross(q, cross(q, n) + w * n);
  }
  float facing = -dot(d, n);
  vec3 o = d + 2.0 * facing * n;
  float inputs[PADDED];
  for (int i = 0; i < PADDED; i++) inputs[i] = 0.0;
  int next = 0;
  for (int l = 0; l < LOBES; l++) {
    int place = number * LOBES + l;
    vec4 lobe = texelFetch(lobes, ivec2(place % ACROSS, place / ACROSS), 0);
    float along = dot(o, texelFetch(axes, ivec2(3 * l, 0), 0).xyz);
    float response;
    if (ROUND) {
      response = exp(lobe.z * (along - 1.0));
    } else {
      float x = dot(o, texelFetch(axes, ivec2(3 * l + 1, 0), 0).xyz);
      float y = dot(o, texelFetch(axes, ivec2(3 * l + 2, 0), 0).xyz);
      response = max(along, 0.0) * exp(-lobe.z * x * x - lobe.w * y * y);
    }
    inputs[next++] = lobe.x * response;
    inputs[next++] = lobe.y * response;
  }
  inputs[next++] = facing;
  for (int c = 0; c < 3; c++) inputs[next++] = d[c];
  for (int k = 0; k < OCTAVES; k++) {
    for (int c = 0; c < 3; c++) inputs[next + 3 * k + c] = sin(d[c] * float(1 << k));
    for (int c = 0; c < 3; c++) inputs[next + 3 * OCTAVES + 3 * k + c] = cos(d[c] * float(1 << k));
  }
  inputs[INPUTS] = 1.0;
  vec4 x0[PADDED / 4];
  for (int i = 0; i < PADDED / 4; i++) x0[i] = vec4(inputs[4 * i], inputs[4 * i + 1], inputs[4 * i + 2], inputs[4 * i + 3]);
  light = vec4(perceptron(x0), 1.0);
}
