#version 300 es
// The colour of every surfel under a light: max(a o S(n) + r(d) + F s R(o) + highlight, 0), one fragment a surfel.
precision highp float;
precision highp int;
precision highp sampler2D;

const int ROW = 256; // surfels in a row of the textures
uniform sampler2D surfels; // three texels each: mean, tangents; a quaternion's x, y, z in the last channels
uniform sampler2D base; // albedo, opacity
uniform sampler2D harmonics; // twelve texels each: red's 15 coefficients and a zero, green's, blue's
uniform sampler2D surface; // share of gloss, share of the light that arrives
uniform vec4 scale[12];
uniform sampler2D highlight;
uniform vec3 eye;
uniform int degree;
uniform bool outer; // normals are those of a mesh's outer side
uniform vec3 shine[9]; // of S
uniform vec3 mirror[16]; // of R
uniform vec3 before[16]; // of R under the learnt light
uniform bool anew;
uniform float incidence;
uniform float darkest;
uniform int show; // the colour, the albedo or the shading
out vec4 colour;

void evaluate(vec3 d, out float values[16]) {
  float x = d.x, y = d.y, z = d.z, xx = x * x, yy = y * y, zz = z * z, inner = 4.0 * zz - xx - yy;
  values[0] = 0.28209479177387814;
  values[1] = -0.4886025119029199 * y;
  values[2] = 0.4886025119029199 * z;
  values[3] = -0.4886025119029199 * x;
  values[4] = 1.0925484305920792 * x * y;
  values[5] = -1.0925484305920792 * y * z;
  values[6] = 0.31539156525252005 * (2.0 * zz - xx - yy);
  values[7] = -1.0925484305920792 * x * z;
  values[8] = 0.5462742152960396 * (xx - yy);
  values[9] = -0.5900435899266435 * y * (3.0 * xx - yy);
  values[10] = 2.890611442640554 * x * y * z;
  values[11] = -0.4570457994644658 * y * inner;
  values[12] = 0.3731763325901154 * z * (2.0 * zz - 3.0 * xx - 3.0 * yy);
  values[13] = -0.4570457994644658 * x * inner;
  values[14] = 1.445305721320277 * z * (xx - yy);
  values[15] = -0.5900435899266435 * x * (xx - 3.0 * yy);
}

void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  vec4 mean = texelFetch(surfels, ivec2(3 * at.x, at.y), 0);
  vec4 first = texelFetch(surfels, ivec2(3 * at.x + 1, at.y), 0);
  vec4 second = texelFetch(surfels, ivec2(3 * at.x + 2, at.y), 0);
  vec4 own = texelFetch(base, at, 0);
  vec2 share = texelFetch(surface, at, 0).rg;
  vec3 seen = normalize(mean.xyz - eye);
  vec3 normal = cross(first.xyz, second.xyz);
  float area = length(normal);
  normal = area > 0.0 ? normal / area : -seen;
  float away = dot(normal, seen);

  float values[16];
  // seen from behind, as at an outline, it is lit as what it is the other side of, not as the head's far side
  vec3 back = outer ? normal - 2.0 * away * seen : -normal;
  evaluate(away > 0.0 ? back : normal, values);
  vec3 shading = vec3(0.0);
  for (int k = 0; k < 9; k++) shading += shine[k] * values[k];
  shading *= share.g;

  float facing = abs(away);
  evaluate(seen - 2.0 * away * normal, values);
  vec3 now = vec3(0.0), then = vec3(0.0);
  for (int k = 0; k < 16; k++) {
    now += mirror[k] * values[k];
    then += before[k] * values[k];
  }
  now = max(now, 0.0);
  then = max(then, 0.0);
  vec3 rgb = own.rgb * shading;
  float fresnel = incidence + (1.0 - incidence) * pow(clamp(1.0 - facing, 0.0, 1.0), 5.0);
  rgb += fresnel * share.r * now;
  vec3 light = texelFetch(highlight, at, 0).rgb;
  rgb += anew ? light * now / max((then.r + then.g + then.b) / 3.0, darkest) : light;
  if (degree > 0) {
    // the view's direction, turned back to the rest pose by the conjugate quaternion
    vec3 q = -vec3(mean.w, first.w, second.w);
    float w = sqrt(max(1.0 - dot(q, q), 0.0));
    evaluate(seen + 2.0 * cross(q, cross(q, seen) + w * seen), values);
    int count = (degree + 1) * (degree + 1);
    for (int c = 0; c < 3; c++) {
      for (int k = 0; k < 4; k++) {
        int texel = 4 * c + k;
        vec4 stored = texelFetch(harmonics, ivec2(12 * at.x + texel, at.y), 0) * scale[texel];
        for (int i = 0; i < 4; i++) {
          if (4 * k + i + 1 < count) rgb[c] += stored[i] * values[4 * k + i + 1];
        }
      }
    }
  }
  colour = vec4(max(show == 1 ? own.rgb : show == 2 ? shading : rgb, 0.0), own.a);
}
