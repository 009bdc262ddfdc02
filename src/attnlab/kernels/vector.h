/* Sixteen floats at a time, in the vector extension of GCC and Clang: the compiler makes of it what the machine has. */
#ifndef ATTNLAB_VECTOR_H
#define ATTNLAB_VECTOR_H

#include <math.h>
#include <string.h>

#define LANES 16

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef float float8 __attribute__((vector_size(32)));
typedef float float4 __attribute__((vector_size(16)));
typedef int ivec __attribute__((vector_size(4 * LANES)));

static inline vec load(const float *from) {
    vec result;
    memcpy(&result, from, sizeof result);
    return result;
}

static inline void store(float *to, vec value) { memcpy(to, &value, sizeof value); }

static inline vec spread(float value) { return value - (vec){0}; }

static inline vec choose(ivec condition, vec yes, vec no) {
    return (vec)((condition & (ivec)yes) | (~condition & (ivec)no));
}

static inline vec clamp(vec x, float low, float high) {
    x = choose(x < low, spread(low), x); /* a NaN passes both comparisons, and stays */
    return choose(x > high, spread(high), x);
}

static inline float total(vec x) {
    float8 low, high;
    memcpy(&low, &x, sizeof low);
    memcpy(&high, (char *)&x + sizeof low, sizeof high);
    low += high;
    float4 first, second;
    memcpy(&first, &low, sizeof first);
    memcpy(&second, (char *)&low + sizeof first, sizeof second);
    first += second;
    return (first[0] + first[1]) + (first[2] + first[3]);
}

/* tanh x = x P(x²) / Q(x²) up to |x| = 8, beyond which float32 knows only ±1; a rational fit of relative error 6e-9,
   so that what is left, 3e-7, is rounding. */
static inline vec tanh_of(vec x) {
    x = clamp(x, -8.0f, 8.0f);
    vec z = x * x;
    vec p = (((1.523064060e-08f * z + 2.189481824e-05f) * z + 3.571607377e-03f) * z + 1.344450582e-01f) * z + 9.999999936e-01f;
    vec q = (((8.522536393e-07f * z + 3.411307405e-04f) * z + 2.616447840e-02f) * z + 4.677783314e-01f) * z + 1.0f;
    return x * p / q;
}

static inline vec sigmoid_of(vec x) { return 0.5f + 0.5f * tanh_of(0.5f * x); }

/* exp x = 2ⁿ 2ᶠ with n = round(x / ln 2) and a polynomial for 2ᶠ, of relative error 3e-9 before rounding. */
static inline vec exp_of(vec x) {
    x = clamp(x, -87.0f, 88.0f) * 1.44269504f;
    vec shifted = x + 12582912.0f; /* 1.5 · 2²³: the sum's last bits are the nearest integer */
    ivec n = (ivec)shifted - (ivec)spread(12582912.0f);
    vec f = x - (shifted - 12582912.0f);
    vec p = (((((1.546974027e-04f * f + 1.340044171e-03f) * f + 9.618025577e-03f) * f + 5.550327190e-02f) * f + 2.402265121e-01f) * f + 6.931472067e-01f) * f + 1.0f;
    return (vec)((ivec)p + (n << 23));
}

#endif
