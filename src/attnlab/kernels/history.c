/* A recurrent network that attends to its own earlier states, forward and backward through time.

   h_t = cell([x_t ; c_t], h_{t-1}),  c_t = Σ_i p_i h_i,  p = softmax(score(q_t, k_i)),  i < t - 1

   What of the gates comes from x_t is made beforehand, for all steps at once, and the gradients of all weights are made
   afterwards, from the gradients of the gates; here is only what must go step by step. A thread takes ROWS examples
   through all of time, so that their states and the weights stay in its cache, and never waits for another.

   Layouts, all float32: states and cells [batch, time + 1, hidden], where place t + 1 holds h_t and place 0 zeros; the
   others [batch, time, width]. hidden, score_dim and all widths are multiples of PANEL. */
#include "vector.h"
#include <stdlib.h>

#define ROWS 8
#define PANEL 32 /* columns of a weight matrix that are multiplied at once, and stored side by side */
#define WIDE 8   /* vectors of a row that a sum over items keeps in registers */
#define BLOCK 32 /* items that are scored and summed together */

enum { RNN, GRU, LSTM };

typedef struct {
    long batch, time, hidden, cell, window;
    long additive;   /* 1: e · tanh(q + k); 0: q · k */
    long projected;  /* width of what each state is mapped to for the scores: 0, keys alone, or queries and keys */
    long query_at, key_at; /* where those begin in it; -1: the state itself, unmapped */
    long score_dim, weights_stride;
    float scale;     /* of q · k; 1 where additive */
    const long *lengths;                                 /* [batch]: later steps look back at nothing that lies behind */
    const float *context_to_gates, *state_to_gates, *state_to_scores;  /* packed, [in, out] */
    const float *gates_to_context, *gates_to_state, *scores_to_state;  /* packed, [in, out]: the same, transposed */
    const float *state_bias;                             /* [gates], of a GRU, which keeps it apart */
    const float *score_bias, *energy;                    /* [projected], [score_dim] */
    float *gates;       /* in: W x + b; out: the gates' values */
    float *recalled;    /* of a GRU: U h + b' of its candidate */
    float *states, *cells, *contexts, *scored, *weights; /* weights: [batch, time, weights_stride] */
    /* backward */
    float *of_states;   /* in: gradient of the states, place 0 unused; changed */
    float *of_contexts; /* in: gradient of the contexts; changed */
    float *of_gates, *of_recalled; /* out; of_recalled [batch, time, gates] of a GRU: what passed through U */
    float *of_scored, *of_energy;  /* out, zero before; of_energy [batch, score_dim] */
} History;

static inline long num_gates(const History *p) { return p->cell == LSTM ? 4 : p->cell == GRU ? 3 : 1; }

/* out[r] += in[r] · weights for ROWS rows; weights are packed [out_dim / PANEL, in_dim, PANEL]. */
static void multiply(const float *const *in, long in_dim, const float *weights, long out_dim, float *const *out) {
    for (long column = 0; column < out_dim; column += PANEL, weights += in_dim * PANEL) {
        vec sums[ROWS][PANEL / LANES];
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < PANEL / LANES; v++) sums[r][v] = load(out[r] + column + v * LANES);
        for (long k = 0; k < in_dim; k++) {
            vec first = load(weights + k * PANEL), second = load(weights + k * PANEL + LANES);
#pragma GCC unroll 8
            for (int r = 0; r < ROWS; r++) {
                sums[r][0] += in[r][k] * first;
                sums[r][1] += in[r][k] * second;
            }
        }
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < PANEL / LANES; v++) store(out[r] + column + v * LANES, sums[r][v]);
    }
}

/* The items [from, to) that step t of an example may look at. */
static inline void reach(const History *p, long example, long t, long *from, long *to) {
    *to = t - 1;
    *from = p->window > 0 && *to > p->window ? *to - p->window : 0;
    if (*to > p->lengths[example]) *to = p->lengths[example];
    if (*to < *from) *to = *from;
}

/* Where example's query of step t, and its items' keys, lie. */
static inline const float *query_of(const History *p, long example, long t) {
    if (p->query_at < 0) return p->states + (example * (p->time + 1) + t) * p->hidden;
    return p->scored + (example * p->time + t - 1) * p->projected + p->query_at;
}

static inline const float *keys_of(const History *p, long example, long *stride) {
    if (p->key_at < 0) {
        *stride = p->hidden;
        return p->states + (example * (p->time + 1) + 1) * p->hidden;
    }
    *stride = p->projected;
    return p->scored + example * p->time * p->projected + p->key_at;
}

/* context += Σ weight_i value_i, WIDE vectors of it at a time. */
static void weighted_sum(const float *weights, const float *values, long stride, long from, long to, long dim,
                         float *context) {
    long d = 0;
    for (; d + WIDE * LANES <= dim; d += WIDE * LANES) {
        vec sums[WIDE];
        for (int v = 0; v < WIDE; v++) sums[v] = load(context + d + v * LANES);
        for (long i = from; i < to; i++) {
            const float *value = values + i * stride + d;
#pragma GCC unroll 8
            for (int v = 0; v < WIDE; v++) sums[v] += weights[i] * load(value + v * LANES);
        }
        for (int v = 0; v < WIDE; v++) store(context + d + v * LANES, sums[v]);
    }
    for (; d < dim; d += LANES) {
        vec sum = load(context + d);
        for (long i = from; i < to; i++) sum += weights[i] * load(values + i * stride + d);
        store(context + d, sum);
    }
}

/* out[0 … count) = exp(scores - highest), whose sum it returns. */
static float exponentials(const float *scores, long count, float highest, float *out) {
    float sum = 0;
    long i = 0;
    for (; i + LANES <= count; i += LANES) {
        vec value = exp_of(load(scores + i) - highest);
        store(out + i, value);
        sum += total(value);
    }
    for (; i < count; i++) {
        out[i] = expf(scores[i] - highest);
        sum += out[i];
    }
    return sum;
}

/* BLOCK items at a time, which are still in the nearest cache when their values are summed after their scores. */
static void look_back(const History *p, long example, long t) {
    long from, to, stride, H = p->hidden, D = p->score_dim;
    reach(p, example, t, &from, &to);
    if (to == from) return;
    float *row = p->weights + (example * p->time + t) * p->weights_stride;
    float *context = p->contexts + (example * p->time + t) * H;
    const float *query = query_of(p, example, t), *keys = keys_of(p, example, &stride);
    const float *values = p->states + (example * (p->time + 1) + 1) * H;
    float highest = -INFINITY, sum = 0;
    for (long start = from; start < to; start += BLOCK) {
        long end = start + BLOCK < to ? start + BLOCK : to;
        float before = highest, strengths[BLOCK];
        for (long i = start; i < end; i++) {
            const float *key = keys + i * stride;
            vec score = {0};
            if (p->additive)
                for (long d = 0; d < D; d += LANES)
                    score += load(p->energy + d) * tanh_of(load(query + d) + load(key + d));
            else
                for (long d = 0; d < D; d += LANES) score += load(query + d) * load(key + d);
            row[i] = p->scale * total(score);
            highest = row[i] > highest ? row[i] : highest;
        }
        if (start > from && highest > before) { /* what was summed so far counts for less */
            float less = expf(before - highest);
            sum *= less;
            for (long d = 0; d < H; d += LANES) store(context + d, less * load(context + d));
        }
        sum += exponentials(row + start, end - start, highest, strengths);
        weighted_sum(strengths - start, values, H, start, end, H, context);
    }
    for (long d = 0; d < H; d += LANES) store(context + d, load(context + d) / sum);
    exponentials(row + from, to - from, highest, row + from);
    for (long i = from; i < to; i++) row[i] /= sum;
}

/* The gates' values, in place, and the new state, from what was added up for them. */
static void advance(const History *p, long example, long t) {
    long H = p->hidden;
    float *gates = p->gates + (example * p->time + t) * H * num_gates(p);
    float *state = p->states + (example * (p->time + 1) + t) * H, *cell = p->cells + (example * (p->time + 1) + t) * H;
    if (p->cell == RNN)
        for (long d = 0; d < H; d += LANES) {
            vec h = tanh_of(load(gates + d));
            store(gates + d, h);
            store(state + H + d, h);
        }
    else if (p->cell == LSTM)
        for (long d = 0; d < H; d += LANES) {
            vec i = sigmoid_of(load(gates + d)), f = sigmoid_of(load(gates + H + d));
            vec g = tanh_of(load(gates + 2 * H + d)), o = sigmoid_of(load(gates + 3 * H + d));
            vec c = f * load(cell + d) + i * g;
            store(gates + d, i), store(gates + H + d, f), store(gates + 2 * H + d, g), store(gates + 3 * H + d, o);
            store(cell + H + d, c);
            store(state + H + d, o * tanh_of(c));
        }
    else {
        const float *own = p->recalled + (example * p->time + t) * 3 * H; /* U h + b' */
        for (long d = 0; d < H; d += LANES) {
            vec r = sigmoid_of(load(gates + d) + load(own + d)), z = sigmoid_of(load(gates + H + d) + load(own + H + d));
            vec n = tanh_of(load(gates + 2 * H + d) + r * load(own + 2 * H + d));
            store(gates + d, r), store(gates + H + d, z), store(gates + 2 * H + d, n);
            store(state + H + d, n + z * (load(state + d) - n));
        }
    }
}

/* Where the ROWS rows of a group lie; those behind the last example lie in a place that nobody reads. */
static void point(float **rows_at, float *base, long first, long rows, long count, long place, long width,
                  float *waste) {
    for (int r = 0; r < ROWS; r++)
        rows_at[r] = r < rows ? base + ((first + r) * count + place) * width : waste;
}

void history_forward(long first_group, long last_group, const History *p) {
    long H = p->hidden, N = num_gates(p) * H, T = p->time;
    long widest = N > p->projected ? N : p->projected;
    float *waste = calloc((size_t)widest, sizeof(float));
    for (long first = first_group * ROWS; first < last_group * ROWS && first < p->batch; first += ROWS) {
        long rows = p->batch - first < ROWS ? p->batch - first : ROWS;
        float *in[ROWS], *out[ROWS];
        for (long t = 0; t < T; t++) {
            for (long r = 0; r < rows; r++) look_back(p, first + r, t);
            point(out, p->gates, first, rows, T, t, N, waste);
            if (t > 1) { /* before, there is nothing to look back at */
                point(in, p->contexts, first, rows, T, t, H, waste);
                multiply((const float *const *)in, H, p->context_to_gates, N, out);
            }
            if (p->cell == GRU) {
                point(out, p->recalled, first, rows, T, t, N, waste);
                for (long r = 0; r < rows; r++) memcpy(out[r], p->state_bias, (size_t)N * sizeof(float));
            }
            if (t > 0) {
                point(in, p->states, first, rows, T + 1, t, H, waste);
                multiply((const float *const *)in, H, p->state_to_gates, N, out);
            }
            for (long r = 0; r < rows; r++) advance(p, first + r, t);
            if (p->projected) {
                point(in, p->states, first, rows, T + 1, t + 1, H, waste);
                point(out, p->scored, first, rows, T, t, p->projected, waste);
                for (long r = 0; r < rows; r++) memcpy(out[r], p->score_bias, (size_t)p->projected * sizeof(float));
                multiply((const float *const *)in, H, p->state_to_scores, p->projected, out);
            }
        }
    }
    free(waste);
}

/* From the gradient of h_t and, of an LSTM, of its cell, those of the gates' sums; what reaches h_{t-1} (and the cell
   before) without passing through the gates is added there. */
static void retreat(const History *p, long example, long t, float *of_cell) {
    long H = p->hidden;
    long at = (example * p->time + t) * H * num_gates(p);
    const float *gates = p->gates + at;
    float *of_gates = p->of_gates + at;
    const float *state = p->states + (example * (p->time + 1) + t) * H;
    const float *cell = p->cells + (example * (p->time + 1) + t) * H;
    float *of_state = p->of_states + (example * (p->time + 1) + t) * H;
    if (p->cell == RNN)
        for (long d = 0; d < H; d += LANES) {
            vec h = load(gates + d);
            store(of_gates + d, load(of_state + H + d) * (1.0f - h * h));
        }
    else if (p->cell == LSTM)
        for (long d = 0; d < H; d += LANES) {
            vec i = load(gates + d), f = load(gates + H + d), g = load(gates + 2 * H + d), o = load(gates + 3 * H + d);
            vec tanh_c = tanh_of(load(cell + H + d)), of_h = load(of_state + H + d);
            vec of_c = load(of_cell + d) + of_h * o * (1.0f - tanh_c * tanh_c);
            store(of_gates + d, of_c * g * i * (1.0f - i));
            store(of_gates + H + d, of_c * load(cell + d) * f * (1.0f - f));
            store(of_gates + 2 * H + d, of_c * i * (1.0f - g * g));
            store(of_gates + 3 * H + d, of_h * tanh_c * o * (1.0f - o));
            store(of_cell + d, of_c * f);
        }
    else {
        const float *own = p->recalled + at;
        float *of_own = p->of_recalled + at;
        for (long d = 0; d < H; d += LANES) {
            vec r = load(gates + d), z = load(gates + H + d), n = load(gates + 2 * H + d);
            vec of_h = load(of_state + H + d);
            vec of_n = of_h * (1.0f - z) * (1.0f - n * n), of_r = of_n * load(own + 2 * H + d) * r * (1.0f - r);
            vec of_z = of_h * (load(state + d) - n) * z * (1.0f - z);
            store(of_gates + d, of_r), store(of_gates + H + d, of_z), store(of_gates + 2 * H + d, of_n);
            store(of_own + d, of_r), store(of_own + H + d, of_z), store(of_own + 2 * H + d, of_n * r);
            store(of_state + d, load(of_state + d) + of_h * z);
        }
    }
}

/* The gradient of step t's context, taken back to the items and the query. */
static void look_back_gradient(const History *p, long example, long t, float *of_scores) {
    long from, to, stride, H = p->hidden, D = p->score_dim;
    reach(p, example, t, &from, &to);
    if (to == from) return;
    const float *weights = p->weights + (example * p->time + t) * p->weights_stride;
    const float *query = query_of(p, example, t), *keys = keys_of(p, example, &stride);
    const float *values = p->states + (example * (p->time + 1) + 1) * H;
    const float *context = p->contexts + (example * p->time + t) * H;
    const float *of_context = p->of_contexts + (example * p->time + t) * H;
    float *of_values = p->of_states + (example * (p->time + 1) + 1) * H;
    float *of_keys = p->key_at < 0 ? of_values : p->of_scored + example * p->time * p->projected + p->key_at;
    float *of_query = p->query_at < 0 ? p->of_states + (example * (p->time + 1) + t) * H
                                      : p->of_scored + (example * p->time + t - 1) * p->projected + p->query_at;
    vec sum = {0};
    for (long d = 0; d < H; d += LANES) sum += load(of_context + d) * load(context + d);
    float mean = total(sum); /* Σ p_i ∂p_i, since c = Σ p_i v_i */
    for (long i = from; i < to; i++) {
        const float *value = values + i * H, *key = keys + i * stride;
        float *of_value = of_values + i * H, *of_key = of_keys + i * stride;
        sum = (vec){0};
        for (long d = 0; d < H; d += LANES) {
            vec of = load(of_context + d);
            sum += of * load(value + d);
            store(of_value + d, load(of_value + d) + weights[i] * of);
        }
        float of_score = of_scores[i] = p->scale * weights[i] * (total(sum) - mean);
        if (!p->additive)
            for (long d = 0; d < D; d += LANES) {
                store(of_query + d, load(of_query + d) + of_score * load(key + d));
                store(of_key + d, load(of_key + d) + of_score * load(query + d));
            }
    }
    if (!p->additive) return;
    float *of_energy = p->of_energy + example * D;
    for (long d = 0; d < D; d += LANES) {
        vec of_e = {0}, of_q = {0}, q = load(query + d), e = load(p->energy + d);
        for (long i = from; i < to; i++) {
            vec th = tanh_of(q + load(keys + i * stride + d));
            vec inner = of_scores[i] * (1.0f - th * th);
            of_e += of_scores[i] * th;
            of_q += inner;
            store(of_keys + i * stride + d, load(of_keys + i * stride + d) + e * inner);
        }
        store(of_energy + d, load(of_energy + d) + of_e);
        store(of_query + d, load(of_query + d) + e * of_q);
    }
}

void history_backward(long first_group, long last_group, const History *p) {
    long H = p->hidden, N = num_gates(p) * H, T = p->time;
    long widest = N > p->projected ? N : p->projected;
    float *waste = calloc((size_t)widest, sizeof(float)), *of_scores = calloc((size_t)T, sizeof(float));
    float *of_cells = malloc((size_t)(ROWS * H) * sizeof(float));
    const float *of_own = p->cell == GRU ? p->of_recalled : p->of_gates;
    for (long first = first_group * ROWS; first < last_group * ROWS && first < p->batch; first += ROWS) {
        long rows = p->batch - first < ROWS ? p->batch - first : ROWS;
        float *in[ROWS], *out[ROWS];
        memset(of_cells, 0, (size_t)(ROWS * H) * sizeof(float));
        for (long t = T - 1; t >= 0; t--) {
            if (p->projected) { /* all that looked at h_t, or asked with it, has been seen */
                point(in, p->of_scored, first, rows, T, t, p->projected, waste);
                point(out, p->of_states, first, rows, T + 1, t + 1, H, waste);
                multiply((const float *const *)in, p->projected, p->scores_to_state, H, out);
            }
            for (long r = 0; r < rows; r++) retreat(p, first + r, t, of_cells + r * H);
            if (t > 0) {
                point(in, (float *)of_own, first, rows, T, t, N, waste);
                point(out, p->of_states, first, rows, T + 1, t, H, waste);
                multiply((const float *const *)in, N, p->gates_to_state, H, out);
            }
            if (t > 1) {
                point(in, p->of_gates, first, rows, T, t, N, waste);
                point(out, p->of_contexts, first, rows, T, t, H, waste);
                multiply((const float *const *)in, N, p->gates_to_context, H, out);
                for (long r = 0; r < rows; r++) look_back_gradient(p, first + r, t, of_scores);
            }
        }
    }
    free(waste), free(of_scores), free(of_cells);
}
