/* Scores s = e · f(q + k), where f is tanh or relu, and their gradients, without a tensor that holds f of every pair.

   queries [groups, num_queries, dim], keys [groups, num_keys, dim], energy [dim], scores [groups, num_queries, num_keys].
   dim is a multiple of LANES. A call does the groups from `first` to before `last`. */
#include "vector.h"

enum { TANH, RELU };

static inline vec f_of(vec x, int kind) { return kind == TANH ? tanh_of(x) : choose(x < 0.0f, (vec){0}, x); }

/* f'(x), from f(x). */
static inline vec slope_of(vec f, int kind) { return kind == TANH ? 1.0f - f * f : choose(f > 0.0f, spread(1.0f), (vec){0}); }

static inline __attribute__((always_inline)) void scores_of(int kind, long first, long last, long num_queries, long num_keys, long dim, const float *queries,
                     const float *keys, const float *energy, float *scores) {
    for (long group = first; group < last; group++)
        for (long i = 0; i < num_queries; i++) {
            const float *query = queries + (group * num_queries + i) * dim;
            float *row = scores + (group * num_queries + i) * num_keys;
            for (long j = 0; j < num_keys; j++) {
                const float *key = keys + (group * num_keys + j) * dim;
                vec sum = {0};
                for (long d = 0; d < dim; d += LANES)
                    sum += load(energy + d) * f_of(load(query + d) + load(key + d), kind);
                row[j] = total(sum);
            }
        }
}

/* ds/de = f(q + k),  ds/dq = ds/dk = e f'(q + k).
   The gradients of queries and keys are added up without e; of_energy has a row for each group. All start at zero. */
static inline __attribute__((always_inline)) void gradients_of(int kind, long first, long last, long num_queries, long num_keys, long dim, const float *queries,
                        const float *keys, const float *of_scores, float *of_queries, float *of_keys,
                        float *of_energy) {
    for (long group = first; group < last; group++)
        for (long d = 0; d < dim; d += LANES) {
            vec energy_sum = {0};
            for (long i = 0; i < num_queries; i++) {
                long at = (group * num_queries + i) * dim + d;
                const float *of_row = of_scores + (group * num_queries + i) * num_keys;
                vec query = load(queries + at), query_sum = {0}, row_sum = {0};
                for (long j = 0; j < num_keys; j++) {
                    long there = (group * num_keys + j) * dim + d;
                    vec f = f_of(query + load(keys + there), kind);
                    vec inner = of_row[j] * slope_of(f, kind);
                    row_sum += of_row[j] * f;
                    query_sum += inner;
                    store(of_keys + there, load(of_keys + there) + inner);
                }
                store(of_queries + at, query_sum);
                energy_sum += row_sum; /* a sum of sums: of all pairs in one go it would lose digits */
            }
            store(of_energy + group * dim + d, energy_sum);
        }
}

#define SCORES long first, long last, long num_queries, long num_keys, long dim, const float *queries, const float *keys
#define GIVEN first, last, num_queries, num_keys, dim, queries, keys

void additive_scores(SCORES, const float *energy, float *scores) { scores_of(TANH, GIVEN, energy, scores); }

void relu_scores(SCORES, const float *energy, float *scores) { scores_of(RELU, GIVEN, energy, scores); }

void additive_gradients(SCORES, const float *of_scores, float *of_queries, float *of_keys, float *of_energy) {
    gradients_of(TANH, GIVEN, of_scores, of_queries, of_keys, of_energy);
}

void relu_gradients(SCORES, const float *of_scores, float *of_queries, float *of_keys, float *of_energy) {
    gradients_of(RELU, GIVEN, of_scores, of_queries, of_keys, of_energy);
}
