/* Additive scores s = e · tanh(q + k) and their gradients, without a tensor that holds the tanh of every pair.

   queries [groups, num_queries, dim], keys [groups, num_keys, dim], energy [dim], scores [groups, num_queries, num_keys].
   dim is a multiple of LANES. A call does the groups from `first` to before `last`. */
#include "vector.h"

void additive_scores(long first, long last, long num_queries, long num_keys, long dim, const float *queries,
                     const float *keys, const float *energy, float *scores) {
    for (long group = first; group < last; group++)
        for (long i = 0; i < num_queries; i++) {
            const float *query = queries + (group * num_queries + i) * dim;
            float *row = scores + (group * num_queries + i) * num_keys;
            for (long j = 0; j < num_keys; j++) {
                const float *key = keys + (group * num_keys + j) * dim;
                vec sum = {0};
                for (long d = 0; d < dim; d += LANES)
                    sum += load(energy + d) * tanh_of(load(query + d) + load(key + d));
                row[j] = total(sum);
            }
        }
}

/* With t = tanh(q + k):  ds/de = t,  ds/dq = ds/dk = e (1 - t²).
   The gradients of queries and keys are added up without e; of_energy has a row for each group. All start at zero. */
void additive_gradients(long first, long last, long num_queries, long num_keys, long dim, const float *queries,
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
                    vec t = tanh_of(query + load(keys + there));
                    vec inner = of_row[j] * (1.0f - t * t);
                    row_sum += of_row[j] * t;
                    query_sum += inner;
                    store(of_keys + there, load(of_keys + there) + inner);
                }
                store(of_queries + at, query_sum);
                energy_sum += row_sum; /* a sum of sums: of all pairs in one go it would lose digits */
            }
            store(of_energy + group * dim + d, energy_sum);
        }
}
