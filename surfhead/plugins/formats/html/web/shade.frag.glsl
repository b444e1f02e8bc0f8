#version 300 es
// The colour of every surfel from where the eye is: max(SH(d) + 0.5 + highlight, 0), one fragment a surfel.
precision highp float;
precision highp int;
precision highp sampler2D;

const int ROW = 256; // surfels in a row of the textures
uniform sampler2D surfels; // three texels each: mean, tangents; a quaternion's x, y, z in the last channels
uniform sampler2D base; // constant colour, opacity
uniform sampler2D harmonics; // twelve texels each: red's 15 coefficients and a zero, green's, blue's
uniform vec4 scale[12];
uniform sampler2D highlight;
uniform vec3 eye;
uniform int degree;
out vec4 colour;

void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  vec4 mean = texelFetch(surfels, ivec2(3 * at.x, at.y), 0);
  vec4 first = texelFetch(surfels, ivec2(3 * at.x + 1, at.y), 0);
  vec4 second = texelFetch(surfels, ivec2(3 * at.x + 2, at.y), 0);
  vec4 own = texelFetch(base, at, 0);
  vec3 rgb = own.rgb + texelFetch(highlight, at, 0).rgb;
  if (degree > 0) {
    // the view's direction, turned back to the rest pose by the conjugate quaternion
    vec3 q = -vec3(mean.w, first.w, second.w);
    float w = sqrt(max(1.0 - dot(q, q), 0.0));
    vec3 d = normalize(mean.xyz - eye);
    d += 2.0 * cross(q, cross(q, d) + w * d);
    float x = d.x, y = d.y, z = d.z, xx = x * x, yy = y * y, zz = z * z;
    vec4 basis[4];
    basis[0] = vec4(-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x, 0.0);
    basis[1] = vec4(0.0);
    basis[2] = vec4(0.0);
    basis[3] = vec4(0.0);
    if (degree > 1) {
      basis[0].w = 1.0925484305920792 * x * y;
      basis[1] = vec4(-1.0925484305920792 * y * z, 0.31539156525252005 * (2.0 * zz - xx - yy),
                      -1.0925484305920792 * x * z, 0.5462742152960396 * (xx - yy));
    }
    if (degree > 2) {
      float inner = 4.0 * zz - xx - yy;
      basis[2] = vec4(-0.5900435899266435 * y * (3.0 * xx - yy), 2.890611442640554 * x * y * z,
                      -0.4570457994644658 * y * inner, 0.3731763325901154 * z * (2.0 * zz - 3.0 * xx - 3.0 * yy));
      basis[3] = vec4(-0.4570457994644658 * x * inner, 1.445305721320277 * z * (xx - yy),
                      -0.5900435899266435 * x * (xx - 3.0 * yy), 0.0);
    }
    for (int c = 0; c < 3; c++) {
      for (int k = 0; k < 4; k++) {
        int texel = 4 * c + k;
        rgb[c] += dot(texelFetch(harmonics, ivec2(12 * at.x + texel, at.y), 0) * scale[texel], basis[k]);
      }
    }
  }
  colour = vec4(max(rgb, 0.0), own.a);
}
