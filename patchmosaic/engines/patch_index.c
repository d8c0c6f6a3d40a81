/* An index over the patches of training images, and sums over a random sample of them: the compiled part
 * of adaptive.py, which explains the method.
 *
 * Images are (count, channels, height, width), bytes b (for b / 127.5 - 1) or float; a patch is named by
 * the place of its first pixel in that array. Projections have BASIS components, the width of one vector
 * register; vectors of 16 are left to the compiler, which splits them where registers are narrower.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BASIS 16
#define SIDE 4 /* positions projected together */
#define API __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))

typedef float v16 __attribute__((vector_size(64)));
typedef int32_t i16 __attribute__((vector_size(64)));
typedef uint8_t b16 __attribute__((vector_size(16)));
typedef int8_t s16 __attribute__((vector_size(16)));

INLINE v16 all(float a) { return a - (v16){0}; }
INLINE v16 load(const float *from) {
    v16 v;
    memcpy(&v, from, sizeof v);
    return v;
}
INLINE v16 load_bytes(const uint8_t *from) {
    b16 b;
    memcpy(&b, from, sizeof b);
    return __builtin_convertvector(b, v16);
}
INLINE float total(v16 v) {
    float s = 0;
    for (int i = 0; i < 16; i++) s += v[i];
    return s;
}
INLINE float value(const void *images, int bytes, int64_t at) {
    return bytes ? ((const uint8_t *)images)[at] * (1 / 127.5f) - 1 : ((const float *)images)[at];
}

/* The nearest of `blocks` * 16 centres: 2 point . centre - |centre|^2 is largest. Centres come in blocks of
 * 16, component by component; `norms` holds |centre|^2, infinite for a centre that is none. */
INLINE int nearest_centre(const float *point, const float *centres, const float *norms, int blocks) {
    v16 best = all(-INFINITY);
    i16 found = {0};
    for (int b = 0; b < blocks; b++) {
        v16 score = -load(norms + 16 * b), other = {0};
        for (int j = 0; j < BASIS; j += 2) {
            score += all(2 * point[j]) * load(centres + (b * BASIS + j) * 16);
            other += all(2 * point[j + 1]) * load(centres + (b * BASIS + j + 1) * 16);
        }
        score += other;
        const i16 better = score > best;
        best = (v16)(((i16)score & better) | ((i16)best & ~better));
        found = ((i16){0} + 16 * b & better) | (found & ~better);
    }
    int lane = 0;
    for (int i = 1; i < 16; i++) lane = best[i] > best[lane] ? i : lane;
    return found[lane] + lane;
}

typedef struct {
    const void *images;
    int bytes, channels, height, width, patch;
} Bank;

/* Projections of `n` patches that lie next to each other on a row, and their squared lengths. */
INLINE void project(const Bank *bank, const float *basis, int64_t at, int n, float *points, float *lengths) {
    const int P = bank->patch;
    v16 sum[SIDE] = {{0}};
    float square[SIDE] = {0};
    for (int c = 0; c < bank->channels; c++)
        for (int y = 0; y < P; y++) {
            const int64_t row = at + ((int64_t)c * bank->height + y) * bank->width;
            float pixels[SIDE + 128];
            for (int x = 0; x < P + n - 1; x++) pixels[x] = value(bank->images, bank->bytes, row + x);
            for (int x = 0; x < P; x++, basis += BASIS) {
                const v16 weights = load(basis);
                for (int i = 0; i < n; i++) {
                    sum[i] += all(pixels[x + i]) * weights;
                    square[i] += pixels[x + i] * pixels[x + i];
                }
            }
        }
    for (int i = 0; i < n; i++) {
        memcpy(points + i * BASIS, &sum[i], sizeof sum[i]);
        lengths[i] = square[i];
    }
}

/* Whether all pixels of a gray patch are equal. */
static int constant(const Bank *bank, int64_t at) {
    const int size = bank->bytes ? 1 : sizeof(float);
    const char *first = (const char *)bank->images + at * size;
    for (int y = 0; y < bank->patch; y++)
        for (int x = 0; x < bank->patch; x++)
            if (memcmp(first, first + ((int64_t)y * bank->width + x) * size, size)) return 0;
    return 1;
}

/* Project the patches of some positions; for the choice of basis and centres. */
API void index_project(const void *images, int bytes, int channels, int height, int width, int patch,
                       const float *basis, const int64_t *places, int64_t n, float *points) {
    const Bank bank = {images, bytes, channels, height, width, patch};
    float length;
    for (int64_t i = 0; i < n; i++) project(&bank, basis, places[i], 1, points + i * BASIS, &length);
}

/* Assign the patches of images [first, last), rows [0, rows) and columns [0, cols) of their first pixels,
 * to leaves: the nearest of 16 `blocks` coarse centres, then the nearest of as many finer ones within.
 * Writes leaf numbers (last - first, rows, cols); constant gray byte patches get `leaves` + their value.
 * Adds to `moments` (leaves + 256, 2 + 2 BASIS): count, sum of squared residuals, sums of components, sums of
 * their squares. */
API void index_assign(const void *images, int bytes, int channels, int height, int width, int patch,
                      const float *basis, const float *coarse, const float *coarse_norms, const float *fine,
                      const float *fine_norms, int blocks, int64_t first, int64_t last, int rows, int cols,
                      uint16_t *leaf, double *moments) {
    const Bank bank = {images, bytes, channels, height, width, patch};
    const int each = 16 * blocks, leaves = each * each, n_moments = 2 + 2 * BASIS;
    for (int64_t image = first; image < last; image++)
        for (int y = 0; y < rows; y++)
            for (int x0 = 0; x0 < cols; x0 += SIDE) {
                const int64_t at = (image * channels * height + y) * width + x0;
                const int n = cols - x0 < SIDE ? cols - x0 : SIDE;
                float points[SIDE * BASIS], lengths[SIDE];
                int ready = 0;
                for (int i = 0; i < n; i++, leaf++) {
                    if (bytes && channels == 1 && constant(&bank, at + i)) {
                        *leaf = leaves + ((const uint8_t *)images)[at + i];
                        moments[(size_t)*leaf * n_moments]++;
                        continue;
                    }
                    if (!ready) { /* whole neighbourhoods are constant and never come here */
                        if (n == SIDE) project(&bank, basis, at, SIDE, points, lengths);
                        else project(&bank, basis, at, n, points, lengths);
                        ready = 1;
                    }
                    const float *point = points + i * BASIS;
                    const int c = nearest_centre(point, coarse, coarse_norms, blocks);
                    const int f = nearest_centre(point, fine + (size_t)c * each * BASIS,
                                                 fine_norms + c * each, blocks);
                    *leaf = c * each + f;
                    double *moment = moments + (size_t)*leaf * n_moments;
                    float residual = lengths[i];
                    for (int j = 0; j < BASIS; j++) {
                        residual -= point[j] * point[j];
                        moment[2 + j] += point[j];
                        moment[2 + BASIS + j] += point[j] * point[j];
                    }
                    moment[0]++;
                    moment[1] += residual > 0 ? residual : 0;
                }
            }
}

/* List the patches of images [first, last) leaf by leaf: where they are, and their projections in units of
 * `steps` (BASIS), rounded and cut to a byte. `leaf` is what index_assign wrote for them; `next` (leaves)
 * begins as the first number in the lists for each leaf. Constant patches, in no leaf, are left out. */
API void index_list(const void *images, int bytes, int channels, int height, int width, int patch,
                    const float *basis, const float *steps, const uint16_t *leaf, int leaves, int64_t first,
                    int64_t last, int rows, int cols, int64_t *next, int32_t *places, int8_t *codes) {
    const Bank bank = {images, bytes, channels, height, width, patch};
    for (int64_t image = first; image < last; image++)
        for (int y = 0; y < rows; y++)
            for (int x0 = 0; x0 < cols; x0 += SIDE) {
                const int64_t at = (image * channels * height + y) * width + x0;
                const int n = cols - x0 < SIDE ? cols - x0 : SIDE;
                float points[SIDE * BASIS], lengths[SIDE];
                int ready = 0;
                for (int i = 0; i < n; i++, leaf++) {
                    if (*leaf >= leaves) continue;
                    if (!ready) {
                        if (n == SIDE) project(&bank, basis, at, SIDE, points, lengths);
                        else project(&bank, basis, at, n, points, lengths);
                        ready = 1;
                    }
                    const int64_t number = next[*leaf]++;
                    places[number] = (int32_t)(at + i);
                    for (int j = 0; j < BASIS; j++) {
                        const float code = points[i * BASIS + j] / steps[j];
                        codes[number * BASIS + j] =
                            (int8_t)lrintf(code < -127 ? -127 : code > 127 ? 127 : code);
                    }
                }
            }
}

static double uniform(uint64_t key) { /* splitmix64 */
    key += 0x9e3779b97f4a7c15u;
    key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9u;
    key = (key ^ (key >> 27)) * 0x94d049bb133111ebu;
    return ((key ^ (key >> 31)) >> 11) * 0x1p-53;
}

/* 2^t for t <= 0, relative error below 3e-6; 0 below -120. */
INLINE float exp2_nonpositive(float t) {
    const float integer = rintf(t), f = t - integer;
    float p = 0.00957010191f * f + 0.0559178603f;
    p = p * f + 0.240247448f;
    p = p * f + 0.693121815f;
    p = p * f + 0.999999261f;
    const int32_t exponent = integer > -120 ? (int32_t)integer : -120;
    union {
        float value;
        int32_t bits;
    } scale = {.bits = (127 + exponent) << 23};
    return integer > -120 ? p * scale.value : 0;
}

INLINE float least_of(const float *values, int64_t n) {
    float least = INFINITY;
    for (int64_t i = 0; i < n; i++) least = values[i] < least ? values[i] : least;
    return least;
}

/* The factor by which lengths >= 0, cut at their `ends` (1 if NULL), add up to `total`, or close to it. */
static double fill(const float *lengths, const float *ends, int64_t n, double total) {
    double factor = 0;
    for (int turn = 0; turn < 50; turn++) {
        double full = 0, rest = 0;
        for (int64_t i = 0; i < n; i += 1024) { /* short sums in float, for speed */
            const int64_t stop = i + 1024 < n ? i + 1024 : n;
            float full_here = 0, rest_here = 0;
            for (int64_t j = i; j < stop; j++) {
                const float end = ends ? ends[j] : 1;
                const int cut = lengths[j] * (float)factor >= end;
                full_here += cut ? end : 0;
                rest_here += cut ? 0 : lengths[j];
            }
            full += full_here;
            rest += rest_here;
        }
        if (rest <= 0 || full >= total) break;
        const double next = (total - full) / rest;
        if (next <= factor * (1 + 1e-6)) break;
        factor = next;
    }
    return factor;
}

/* What one thread needs to draw. The draws: their numbers in the lists of the index, the probabilities of
 * the first draw and of both, and the distances of projections, then of patches, then the weights. */
typedef struct {
    float *rows, *density, *sizes;
    int32_t *number;
    float *first, *both, *distance, *length;
    void *memory;
} Desk;

static int open_desk(Desk *desk, int64_t leaves, int64_t most, int64_t rows) {
    char *at = desk->memory = malloc(4 * (rows + 2 * leaves + 5 * most));
    if (!at) return 1;
    desk->rows = (float *)at, at += 4 * rows;
    desk->density = (float *)at, at += 4 * leaves;
    desk->sizes = (float *)at, at += 4 * leaves;
    desk->number = (int32_t *)at, at += 4 * most;
    desk->first = (float *)at, at += 4 * most;
    desk->both = (float *)at, at += 4 * most;
    desk->distance = (float *)at, at += 4 * most;
    desk->length = (float *)at;
    return 0;
}

/* First draw, from the leaves by `log_density` (base 2): systematic, with points a unit apart from a random
 * start on a line on which each leaf is as long as its expected number of draws, at most its patches.
 * Returns how many; distances are those of the projections. */
static int64_t draw_from_leaves(const Desk *desk, const float *log_density, const int64_t *start, int leaves,
                                double draws, double floor, double point, const int8_t *codes,
                                const float *steps, const float *query, int64_t most) {
    float top = -INFINITY, sum = 0;
    for (int k = 0; k < leaves; k++) top = log_density[k] > top ? log_density[k] : top;
    for (int k = 0; k < leaves; k++) sum += desk->density[k] = exp2_nonpositive(log_density[k] - top);
    const float share = (1 - floor) / sum, everywhere = floor / start[leaves];
    for (int k = 0; k < leaves; k++)
        desk->density[k] = share * desk->density[k] + everywhere * desk->sizes[k];
    const double factor = fill(desk->density, desk->sizes, leaves, draws);
    int64_t n = 0;
    double left = 0;
    for (int k = 0; k < leaves; k++) {
        const int64_t size = start[k + 1] - start[k];
        const double wanted = desk->density[k] * factor, length = wanted < size ? wanted : size;
        const double stride = size / length;
        const float probability = length / size;
        for (; point < left + length && n < most; point++, n++) {
            const int64_t i = (int64_t)((point - left) * stride);
            desk->number[n] = (int32_t)(start[k] + (i < size ? i : size - 1));
            desk->first[n] = probability;
        }
        left += length;
    }
    const v16 units = load(steps), target = load(query);
    for (int64_t i = 0; i < n; i++) {
        if (i + 24 < n) __builtin_prefetch(codes + (int64_t)desk->number[i + 24] * BASIS);
        s16 code;
        memcpy(&code, codes + (int64_t)desk->number[i] * BASIS, sizeof code);
        const v16 d = target - __builtin_convertvector(code, v16) * units;
        desk->distance[i] = total(d * d);
    }
    return n;
}

/* Second draw, among the first: as probable as the projection says that the weight is large, over the
 * probability of the first draw. Keeps the drawn at the front and returns how many. */
static int64_t draw_again(const Desk *desk, int64_t n, double draws, double floor, double point) {
    memcpy(desk->both, desk->first, n * sizeof(float));
    if (n <= draws) return n;
    const float least = least_of(desk->distance, n);
    float sum = 0;
    for (int64_t i = 0; i < n; i++)
        desk->length[i] = exp2_nonpositive(least - desk->distance[i]) / desk->first[i];
    for (int64_t i = 0; i < n; i++) sum += desk->length[i];
    for (int64_t i = 0; i < n; i++)
        desk->length[i] = (float)(1 - floor) / sum * desk->length[i] + (float)floor / n;
    const float factor = fill(desk->length, NULL, n, draws);
    int64_t kept = 0;
    double left = 0;
    for (int64_t i = 0; i < n; i++) {
        const float length = desk->length[i] * factor, probability = length < 1 ? length : 1;
        int keep = probability >= 1;
        if (!keep && (left += probability) > point) keep = 1, point++;
        if (!keep) continue;
        desk->number[kept] = desk->number[i];
        desk->first[kept] = desk->first[i];
        desk->both[kept++] = desk->first[i] * probability;
    }
    return kept;
}

/* Distances of the query, in `rows` of a multiple of 16 values, from the drawn patches. */
INLINE void measure(const Desk *desk, const Bank *bank, const int32_t *places, int64_t n, const float *inside,
                    int wide) {
    const int64_t plane = (int64_t)bank->height * bank->width, width = bank->width;
    const int size = bank->bytes ? 1 : sizeof(float);
    for (int64_t i = 0; i < n; i++) {
        if (i + 8 < n) {
            const int64_t ahead = places[desk->number[i + 8]];
            for (int c = 0; c < bank->channels; c++)
                for (int y = 0; y < bank->patch; y += 2)
                    __builtin_prefetch((const char *)bank->images + size * (ahead + c * plane + y * width));
        }
        v16 square = {0};
        const float *row = desk->rows;
        for (int c = 0; c < bank->channels; c++) {
            int64_t at = places[desk->number[i]] + c * plane;
            for (int y = 0; y < bank->patch; y++, at += width, row += wide)
                for (int v = 0; v < wide; v += 16) {
                    const v16 pixels = bank->bytes ? load_bytes((const uint8_t *)bank->images + at + v)
                                                   : load((const float *)bank->images + at + v);
                    const v16 d = load(row + v) - pixels * load(inside + v);
                    square += d * d;
                }
        }
        desk->distance[i] = total(square);
    }
}

/* Posterior sums of query patches over a random sample of the indexed patches.
 *
 * Queries (n, channels patch patch) come in the units of the images plus, for bytes, an offset that
 * makes |query - scale pixel|^2 the log2 weight (see adaptive.py); `points` (n, BASIS) and `steps` (BASIS) are
 * the projected queries and the steps of the codes in those units; `log_density` (n, leaves) is log2 of how
 * densely to draw from each leaf as a whole; `firsts` and `seconds` (n) are the numbers of first and second
 * draws. Constant patches (counted by value in `constants`, or NULL) are summed exactly. Writes per query
 * result (n, 4 + channels): the least distance, the sum of weights relative to it, the sums of weighted values,
 * and what the first and the second draw add to the square of the standard error of their ratio (estimates;
 * means over channels). Returns 0, or 1 when memory is short. */
API int index_sample(const void *images, int bytes, int channels, int height, int width, int patch,
                     const int32_t *places, const int8_t *codes, const int64_t *start, int leaves,
                     const float *queries, const float *points, const float *steps, const int64_t *constants,
                     float scale, const float *log_density, const int64_t *firsts, const int64_t *seconds,
                     const uint64_t *keys, double floor, int64_t first, int64_t last, double *result) {
    const Bank bank = {images, bytes, channels, height, width, patch};
    const int P = patch, wide = (P + 15) / 16 * 16;
    const int64_t plane = (int64_t)height * width, centre = (int64_t)(P / 2) * width + P / 2;
    const float step = bytes ? scale / 127.5f : scale;
    int64_t most = 0;
    for (int64_t q = first; q < last; q++) most = firsts[q] > most ? firsts[q] : most;
    most = (most < start[leaves] ? most : start[leaves]) + 64;
    Desk desk;
    if (open_desk(&desk, leaves, most, (int64_t)channels * P * wide)) return 1;
    for (int k = 0; k < leaves; k++) desk.sizes[k] = start[k + 1] - start[k];
    float inside[64];
    for (int x = 0; x < 64; x++) inside[x] = x < P ? step : 0;

    for (int64_t q = first; q < last; q++) {
        const float *query = queries + q * channels * P * P;
        for (int r = 0; r < channels * P; r++)
            for (int x = 0; x < wide; x++) desk.rows[r * wide + x] = x < P ? query[r * P + x] : 0;
        int64_t n = draw_from_leaves(&desk, log_density + q * leaves, start, leaves, firsts[q], floor,
                                     uniform(keys[q]), codes, steps, points + q * BASIS, most);
        n = draw_again(&desk, n, seconds[q], floor, uniform(keys[q] + 1));
        if (wide == 16) measure(&desk, &bank, places, n, inside, 16);
        else measure(&desk, &bank, places, n, inside, wide);
        double least = least_of(desk.distance, n);

        double constant_distance[256];
        if (constants) {
            double squares = 0, linear = 0;
            for (int j = 0; j < P * P; j++) {
                squares += (double)query[j] * query[j];
                linear += query[j];
            }
            for (int b = 0; b < 256; b++) {
                const double pixel = (double)step * b;
                constant_distance[b] = squares - 2 * pixel * linear + P * P * pixel * pixel;
                if (constants[b] && constant_distance[b] < least) least = constant_distance[b];
            }
        }
        double weight = 0, weighted[4] = {0}, *out = result + q * (4 + channels);
        for (int64_t i = 0; i < n; i++) {
            const double w = exp2f((float)least - desk.distance[i]) / desk.both[i];
            weight += w;
            desk.distance[i] = w; /* from here on */
            for (int c = 0; c < channels; c++)
                weighted[c] += w * value(images, bytes, places[desk.number[i]] + c * plane + centre);
        }
        for (int b = 0; constants && b < 256; b++)
            if (constants[b]) {
                const double w = constants[b] * exp2(least - constant_distance[b]);
                weight += w;
                weighted[0] += w * (b / 127.5 - 1);
            }

        /* The variance of a systematic sample from the differences of neighbours (Wolter, 1984), shared out
         * between the two draws as if each patch were drawn on its own. */
        double alone[2] = {0}, differences = 0;
        for (int c = 0; c < channels; c++) {
            double before = 0;
            int begun = 0;
            for (int64_t i = 0; i < n; i++) {
                if (desk.both[i] >= 1) continue;
                const double again = desk.both[i] / desk.first[i];
                const double off = desk.distance[i] *
                                   (value(images, bytes, places[desk.number[i]] + c * plane + centre) -
                                    weighted[c] / weight);
                alone[0] += (1 - desk.first[i]) * again * off * off;
                alone[1] += (1 - again) * off * off;
                const double here = off * sqrt(1 - desk.both[i]);
                if (begun) differences += (here - before) * (here - before) / 2;
                before = here;
                begun = 1;
            }
        }
        const double both = alone[0] + alone[1];
        const double variance = differences / channels / (weight * weight);
        out[0] = least;
        out[1] = weight;
        for (int c = 0; c < channels; c++) out[2 + c] = weighted[c];
        for (int e = 0; e < 2; e++) out[2 + channels + e] = both > 0 ? variance * alone[e] / both : 0;
    }
    free(desk.memory);
    return 0;
}
