/* An index over the patches of training images, and sums over a random sample of them: the compiled part
 * of adaptive.py, which explains the method.
 *
 * Images are (count, channels, height, width), bytes b (for b / 127.5 - 1) or float; a patch is named by
 * the place of its first pixel in that array. Leaves are sorted by BASIS components of a projection, the width
 * of one vector register; codes hold `words` times as many. Bases are (words, channels patch patch, BASIS).
 * Vectors of 16 are left to the compiler, which splits them where registers are narrower.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BASIS 16
#define SIDE 8  /* positions projected together */
#define BLOCK 4 /* patches of a leaf that are drawn together: their codes share a cache line or two */
#define MOST_WORDS 2
#define TOGETHER_DRAWN 8 /* queries that share a look at the leaves */
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
    return __builtin_convertvector(__builtin_convertvector(b, i16), v16); /* at once, GCC goes one by one */
}
typedef float v8 __attribute__((vector_size(32)));
typedef float v4 __attribute__((vector_size(16)));

/* Sums of the values whose numbers are equal modulo 4. */
INLINE v4 total_by_4(v16 v) {
    v8 half[2];
    v4 quarter[2];
    memcpy(half, &v, sizeof v);
    half[0] += half[1];
    memcpy(quarter, half, sizeof quarter);
    return quarter[0] + quarter[1];
}
INLINE float total(v16 v) {
    const v4 s = total_by_4(v);
    return (s[0] + s[1]) + (s[2] + s[3]);
}
typedef int32_t i8 __attribute__((vector_size(32)));
typedef int32_t i4 __attribute__((vector_size(16)));
#define GREATER(v, i, a, b) ((v)(((i)(a) & ((a) > (b))) | ((i)(b) & ~((a) > (b)))))
INLINE v16 vmax(v16 a, v16 b) { return GREATER(v16, i16, a, b); }
INLINE float value(const void *images, int bytes, int64_t at) {
    return bytes ? ((const uint8_t *)images)[at] * (1 / 127.5f) - 1 : ((const float *)images)[at];
}

INLINE float greatest(v16 v) {
    v8 half[2];
    v4 quarter[2];
    memcpy(half, &v, sizeof v);
    half[0] = GREATER(v8, i8, half[0], half[1]);
    memcpy(quarter, half, sizeof quarter);
    const v4 last = GREATER(v4, i4, quarter[0], quarter[1]);
    const float a = last[0] > last[1] ? last[0] : last[1], b = last[2] > last[3] ? last[2] : last[3];
    return a > b ? a : b;
}

/* The nearest of `blocks` * 16 <= 64 centres: 2 point . centre - |centre|^2 is largest, to about five digits,
 * as the last bits of the score carry the number. Centres come in blocks of 16, component by component;
 * `norms` holds |centre|^2, FAR for a centre that is none. */
#define FAR 1e30f
INLINE int nearest_centre(const float *point, const float *centres, const float *norms, int blocks) {
    const i16 lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    v16 best = all(-INFINITY);
    for (int b = 0; b < blocks; b++) {
        v16 score = -load(norms + 16 * b), other = {0};
        for (int j = 0; j < BASIS; j += 2) {
            score += all(2 * point[j]) * load(centres + (b * BASIS + j) * 16);
            other += all(2 * point[j + 1]) * load(centres + (b * BASIS + j + 1) * 16);
        }
        best = vmax(best, (v16)(((i16)(score + other) & ~63) | (lane + 16 * b)));
    }
    union {
        float value;
        int32_t bits;
    } found = {greatest(best)};
    return found.bits & 63;
}

typedef struct {
    const void *images;
    int bytes, channels, height, width, patch;
} Bank;

/* One image: its pixels (channels, height, width + SIDE), and for each position of a patch its squared length,
 * and whether it is gray bytes of one value, which stay out of the leaves. */
typedef struct {
    float *pixels, *lengths;
    uint8_t *constant;
    double *sums;
    int *below;
    void *memory;
} View;

static int open_view(View *view, const Bank *bank) {
    const size_t pixels = (size_t)bank->channels * bank->height * (bank->width + SIDE);
    const size_t places = (size_t)(bank->height + 1) * (bank->width + 1);
    char *at = view->memory = calloc(1, 4 * pixels + 13 * places + 4 * bank->width);
    if (!at) return 1;
    view->sums = (double *)at, at += 8 * places;
    view->pixels = (float *)at, at += 4 * pixels;
    view->lengths = (float *)at, at += 4 * places;
    view->below = (int *)at, at += 4 * bank->width;
    view->constant = (uint8_t *)at;
    return 0;
}

static void look(const View *view, const Bank *bank, int64_t image, int rows, int cols) {
    const int C = bank->channels, H = bank->height, W = bank->width, P = bank->patch, wide = W + SIDE;
    const int64_t first = image * C * H * W;
    for (int64_t i = 0; i < (int64_t)C * H; i++)
        for (int x = 0; x < W; x++)
            view->pixels[i * wide + x] = value(bank->images, bank->bytes, first + i * W + x);
    double *sums = view->sums; /* of squares, above and to the left: (H + 1, W + 1) */
    for (int y = 0; y < H; y++) {
        double row = 0;
        for (int x = 0; x < W; x++) {
            for (int c = 0; c < C; c++) {
                const double pixel = view->pixels[((int64_t)c * H + y) * wide + x];
                row += pixel * pixel;
            }
            sums[(y + 1) * (W + 1) + x + 1] = sums[y * (W + 1) + x + 1] + row;
        }
    }
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < cols; x++) {
            const double *low = sums + (y + P) * (W + 1) + x, *high = sums + y * (W + 1) + x;
            view->lengths[y * cols + x] = (low[P] - low[0]) - (high[P] - high[0]);
        }
    memset(view->constant, 0, (size_t)rows * cols);
    if (!bank->bytes || C > 1) return;
    int *below = view->below; /* rows from here down that go on with P equal pixels, all of them alike */
    memset(below, 0, sizeof(int) * W);
    for (int y = H - 1; y >= 0; y--)
        for (int x = W - 1, run = 0; x >= 0; x--) {
            const uint8_t *pixel = (const uint8_t *)bank->images + first + y * W + x;
            run = x < W - 1 && pixel[0] == pixel[1] ? run + 1 : 1;
            below[x] = run < P ? 0 : y < H - 1 && pixel[0] == pixel[W] ? below[x] + 1 : 1;
            if (y < rows && x < cols) view->constant[y * cols + x] = below[x] >= P;
        }
}

/* Projections of `n` patches that lie next to each other on a row, from pixels with these strides. */
INLINE void project(const float *pixels, int64_t plane, int64_t row, int channels, int P, const float *basis,
                    int n, float *points) {
    v16 sum[SIDE] = {{0}};
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < P; y++) {
            const float *from = pixels + c * plane + y * row;
            for (int x = 0; x < P; x++, basis += BASIS) {
                const v16 weights = load(basis);
                for (int i = 0; i < n; i++) sum[i] += all(from[x + i]) * weights;
            }
        }
    memcpy(points, sum, n * sizeof *sum);
}

/* The same for up to SIDE patches of a view, `n` of which exist; the others are of no use. */
INLINE void project_view(const View *view, const Bank *bank, const float *basis, int y, int x, float *points) {
    const int64_t wide = bank->width + SIDE;
    project(view->pixels + y * wide + x, bank->height * wide, wide, bank->channels, bank->patch, basis, SIDE,
            points);
}

/* Project the patches of some positions, for the choice of basis and centres. */
API int index_project(const void *images, int bytes, int channels, int height, int width, int patch,
                      const float *basis, const int64_t *places, int64_t n, float *points) {
    float *pixels = malloc(sizeof(float) * channels * patch * patch);
    if (!pixels) return 1;
    for (int64_t i = 0; i < n; i++) {
        for (int r = 0; r < channels * patch; r++)
            for (int x = 0; x < patch; x++)
                pixels[r * patch + x] =
                    value(images, bytes,
                          places[i] + ((int64_t)(r / patch) * height + r % patch) * width + x);
        project(pixels, patch * patch, patch, channels, patch, basis, 1, points + i * BASIS);
    }
    free(pixels);
    return 0;
}

/* At most `each` centres of n points (n, BASIS) by k-means, from the first points on, in the layout of
 * nearest_centre; and the nearest centre of each point. `sums` has room for (each, BASIS + 1). */
API void index_centres(const float *points, int64_t n, int each, int steps, float *centres, float *norms,
                       int32_t *nearest, double *sums) {
    const int found = n < each ? (int)n : each;
    for (int k = 0; k < found; k++) {
        for (int j = 0; j < BASIS; j++) sums[k * (BASIS + 1) + j] = points[k * BASIS + j];
        sums[k * (BASIS + 1) + BASIS] = 1;
    }
    memset(centres, 0, sizeof(float) * each * BASIS);
    for (int k = found; k < each; k++) norms[k] = FAR;
    for (int step = 0; step <= steps; step++) {
        for (int k = 0; k < found; k++) {
            const double *sum = sums + k * (BASIS + 1);
            if (!sum[BASIS]) continue; /* an empty one stays where it was */
            norms[k] = 0;
            for (int j = 0; j < BASIS; j++) {
                const float mean = sum[j] / sum[BASIS];
                centres[(k / 16 * BASIS + j) * 16 + k % 16] = mean;
                norms[k] += mean * mean;
            }
        }
        memset(sums, 0, sizeof(double) * each * (BASIS + 1));
        for (int64_t i = 0; i < n; i++) {
            const float *point = points + i * BASIS;
            nearest[i] = nearest_centre(point, centres, norms, each / 16);
            double *sum = sums + nearest[i] * (BASIS + 1);
            for (int j = 0; j < BASIS; j++) sum[j] += point[j];
            sum[BASIS]++;
        }
    }
}

/* Assign the patches of images [first, last), rows [0, rows) and columns [0, cols) of their first pixels,
 * to leaves: the nearest of each[0] centres, then the nearest of the each[1] finer ones within, and so on.
 * `centres` and `norms` hold those of one level after the other. The finest, more than a cache holds, are
 * looked up group by group for TOGETHER images.
 * Writes leaf numbers (last - first, rows, cols); constant gray byte patches get `leaves` + their value.
 * Adds to `moments` (leaves + 256, 2): counts, and sums of squared residuals. Returns 0, or 1 when memory
 * is short. */
#define TOGETHER 64
API int index_assign(const void *images, int bytes, int channels, int height, int width, int patch,
                     const float *basis, const float *centres, const float *norms, const int32_t *each,
                     int levels, int64_t first, int64_t last, int rows, int cols, uint16_t *leaf,
                     double *moments) {
    const Bank bank = {images, bytes, channels, height, width, patch};
    int groups = 1, before = 0; /* of the finest centres, and how many centres come before them */
    for (int level = 0; level < levels - 1; level++) before += groups *= each[level];
    const int finest = each[levels - 1], leaves = groups * finest;
    const int64_t most = (int64_t)TOGETHER * rows * cols;
    View view;
    if (open_view(&view, &bank)) return 1;
    float *points = malloc(sizeof(float) * (BASIS + 1) * most), *lengths = points + BASIS * most;
    int32_t *order = malloc(sizeof(int32_t) * (2 * most + groups + 1)), *place = order + most;
    int32_t *begins = place + most;
    uint16_t *group = malloc(sizeof(uint16_t) * most);
    const int failed = !points || !order || !group;
    for (int64_t image = first; image < last && !failed; image += TOGETHER) {
        int64_t n = 0; /* patches in leaves, their place in `leaf`, and the number of all */
        int32_t all_here = 0;
        memset(begins, 0, sizeof(int32_t) * (groups + 1));
        for (int64_t i = image; i < last && i < image + TOGETHER; i++) {
            look(&view, &bank, i, rows, cols);
            for (int y = 0; y < rows; y++)
                for (int x0 = 0; x0 < cols; x0 += SIDE) {
                    float projected[SIDE * BASIS];
                    int ready = 0;
                    for (int x = x0; x < x0 + SIDE && x < cols; x++, all_here++) {
                        if (view.constant[y * cols + x]) {
                            const int64_t at = (i * height + y) * width + x;
                            leaf[all_here] = leaves + ((const uint8_t *)images)[at];
                            moments[leaf[all_here] * 2]++;
                            continue;
                        }
                        if (!ready) project_view(&view, &bank, basis, y, x0, projected), ready = 1;
                        const float *point = projected + (x - x0) * BASIS;
                        int chosen = 0, begin = 0, count = 1; /* of this level: where it begins, how many */
                        for (int level = 0; level < levels - 1; level++) {
                            const int here = begin + chosen * each[level];
                            chosen = chosen * each[level] +
                                     nearest_centre(point, centres + (size_t)here * BASIS, norms + here,
                                                    each[level] / 16);
                            begin += count *= each[level];
                        }
                        memcpy(points + n * BASIS, point, sizeof(float) * BASIS);
                        lengths[n] = view.lengths[y * cols + x];
                        place[n] = all_here;
                        begins[(group[n] = chosen) + 1]++;
                        n++;
                    }
                }
        }
        for (int g = 0; g < groups; g++) begins[g + 1] += begins[g];
        for (int64_t i = 0; i < n; i++) order[begins[group[i]]++] = i;
        for (int64_t k = 0; k < n; k++) {
            const int64_t i = order[k];
            const int here = group[i] * finest;
            const float *point = points + i * BASIS;
            const int chosen = here + nearest_centre(point, centres + (size_t)(before + here) * BASIS,
                                                     norms + before + here, finest / 16);
            const v16 along = load(point);
            const float residual = lengths[i] - total(along * along);
            leaf[place[i]] = chosen;
            moments[chosen * 2]++;
            moments[chosen * 2 + 1] += residual > 0 ? residual : 0;
        }
        leaf += all_here;
    }
    free(view.memory), free(points), free(order), free(group);
    return failed;
}

/* List the patches of images [first, last) leaf by leaf: where they are, and their projections in units of
 * `steps` (words BASIS), rounded and cut to a byte. `leaf` is what index_assign wrote for them; `next` (leaves)
 * begins as the first number in the lists for each leaf. Constant patches, in no leaf, are left out. Returns
 * 0, or 1 when memory is short. */
API int index_list(const void *images, int bytes, int channels, int height, int width, int patch,
                   const float *basis, int words, const float *steps, const uint16_t *leaf, int leaves,
                   int64_t first, int64_t last, int rows, int cols, int64_t *next, int32_t *places,
                   int8_t *codes) {
    const Bank bank = {images, bytes, channels, height, width, patch};
    View view;
    if (open_view(&view, &bank)) return 1;
    const v16 most = all(127), rounding = all(12582912.0f); /* 1.5 * 2^23 */
    const int64_t terms = (int64_t)channels * patch * patch;
    for (int64_t image = first; image < last; image++) {
        look(&view, &bank, image, rows, cols);
        for (int y = 0; y < rows; y++)
            for (int x0 = 0; x0 < cols; x0 += SIDE) {
                float points[MOST_WORDS][SIDE * BASIS];
                int ready = 0;
                for (int x = x0; x < x0 + SIDE && x < cols; x++, leaf++) {
                    if (*leaf >= leaves) continue;
                    for (; ready < words; ready++)
                        project_view(&view, &bank, basis + ready * terms * BASIS, y, x0, points[ready]);
                    const int64_t number = next[*leaf]++;
                    places[number] = (int32_t)((image * channels * height + y) * width + x);
                    for (int w = 0; w < words; w++) {
                        v16 code = load(points[w] + (x - x0) * BASIS) / load(steps + w * BASIS);
                        code = -vmax(-vmax(code, -most), -most);
                        const i16 whole = __builtin_convertvector((code + rounding) - rounding, i16);
                        const s16 rounded = __builtin_convertvector(whole, s16);
                        memcpy(codes + (number * words + w) * BASIS, &rounded, sizeof rounded);
                    }
                }
            }
    }
    free(view.memory);
    return 0;
}

static double uniform(uint64_t key) { /* splitmix64 */
    key += 0x9e3779b97f4a7c15u;
    key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9u;
    key = (key ^ (key >> 27)) * 0x94d049bb133111ebu;
    return ((key ^ (key >> 31)) >> 11) * 0x1p-53;
}

/* Put the patches of leaves [first, last), of `sizes` from `start` on, in random order, so that each block
 * is a random sample of its leaf; and their codes component by component within each block. Writes the means
 * of the codes (leaves, words BASIS), and of their squares. */
API void index_mix(const int64_t *start, const int32_t *sizes, int words, int first, int last, int32_t *places,
                   int8_t *codes, double *means, double *squares) {
    const int width = words * BASIS;
    for (int k = first; k < last; k++) {
        int32_t *place = places + start[k];
        int8_t *code = codes + start[k] * width, swapped[MOST_WORDS * BASIS * BLOCK];
        int64_t sum[MOST_WORDS * BASIS] = {0}, square[MOST_WORDS * BASIS] = {0};
        for (int64_t i = 0; i < sizes[k]; i++)
            for (int j = 0; j < width; j++) {
                sum[j] += code[i * width + j];
                square[j] += code[i * width + j] * code[i * width + j];
            }
        for (int j = 0; j < width; j++) {
            means[(int64_t)k * width + j] = (double)sum[j] / sizes[k];
            squares[(int64_t)k * width + j] = (double)square[j] / sizes[k];
        }
        for (int64_t i = sizes[k] - 1; i > 0; i--) {
            const int64_t j = (int64_t)(uniform(((uint64_t)k << 32) + i) * (i + 1));
            const int32_t kept = place[i];
            place[i] = place[j], place[j] = kept;
            memcpy(swapped, code + i * width, width);
            memmove(code + i * width, code + j * width, width);
            memcpy(code + j * width, swapped, width);
        }
        for (int64_t i = 0; i < start[k + 1] - start[k]; i += BLOCK) {
            memcpy(swapped, code + i * width, BLOCK * width);
            for (int m = 0; m < BLOCK; m++)
                for (int j = 0; j < width; j++) code[i * width + j * BLOCK + m] = swapped[m * width + j];
        }
    }
}

/* 2^t for t <= 0, relative error below 3e-6; 0 from -120 on. */
INLINE v16 exp2_nonpositive(v16 t) {
    const v16 shifter = all(12582912.0f); /* 1.5 * 2^23: rounds */
    const i16 kept = t > all(-120.0f);
    t = (v16)((i16)t & kept); /* no infinities below */
    const v16 integer = (t + shifter) - shifter, f = t - integer;
    v16 p = all(0.00957010191f) * f + all(0.0559178603f);
    p = p * f + all(0.240247448f);
    p = p * f + all(0.693121815f);
    p = p * f + all(0.999999261f);
    return (v16)(((i16)p + (__builtin_convertvector(integer, i16) << 23)) & kept);
}

INLINE float least_of(const float *values, int64_t n) {
    v16 least = all(-INFINITY); /* of the negative values: the greatest */
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) least = vmax(least, -load(values + i));
    float found = -greatest(least);
    for (; i < n; i++) found = values[i] < found ? values[i] : found;
    return found;
}

/* The factor by which `n` lengths >= 0, cut at their `ends`, and others of the total length `uncut` add up to
 * `sum`, or close to it. Both arrays are padded to a multiple of 16 with lengths 0. */
static double fill(const float *lengths, const float *ends, int64_t n, double uncut, double sum) {
    double factor = 0;
    for (int turn = 0; turn < 50; turn++) {
        double full = 0, rest = uncut;
        const v16 by = all((float)factor);
        for (int64_t i = 0; i < n; i += 1024) { /* short sums in float, for speed */
            const int64_t stop = i + 1024 < n ? i + 1024 : n;
            v16 full_here = {0}, rest_here = {0};
            for (int64_t j = i; j < stop; j += 16) {
                const v16 length = load(lengths + j), end = load(ends + j);
                const i16 cut = length * by >= end;
                full_here += (v16)((i16)end & cut);
                rest_here += (v16)((i16)length & ~cut);
            }
            full += total(full_here);
            rest += total(rest_here);
        }
        if (rest <= 0 || full >= sum) break;
        const double next = (sum - full) / rest;
        if (next <= factor * (1 + 1e-6)) break;
        factor = next;
    }
    return factor;
}

/* Log2 of how densely to draw from each leaf for n queries, (n, leaves): products of their `features` (n, terms)
 * with the `coefficients` (leaves / 16, terms, 16). */
INLINE void densities(const float *coefficients, int64_t leaves, const float *features, int terms, int n,
                      float *log_density) {
    for (int64_t k = 0; k < leaves; k += 16, coefficients += 16 * terms) {
        v16 sum[TOGETHER_DRAWN] = {{0}};
        for (int j = 0; j < terms; j++) {
            const v16 here = load(coefficients + 16 * j);
            for (int q = 0; q < n; q++) sum[q] += all(features[q * terms + j]) * here;
        }
        for (int q = 0; q < n; q++) memcpy(log_density + q * leaves + k, &sum[q], sizeof *sum);
    }
}

/* What one thread needs to draw. The draws: their numbers in the lists of the index, the probabilities of
 * the first draw and of both, and the distances of projections, then of patches, then the weights. */
typedef struct {
    float *rows, *log_density, *density, *blocks, *dense, *dense_blocks, *ones;
    int32_t *number, *place;
    float *first, *both, *distance, *length, *centre;
    void *memory;
} Desk;

static int open_desk(Desk *desk, int64_t leaves, int64_t most, int64_t rows, int channels) {
    char *at = desk->memory = malloc(4 * (rows + (4 + TOGETHER_DRAWN) * leaves + (7 + channels) * most));
    if (!at) return 1;
    desk->rows = (float *)at, at += 4 * rows;
    desk->log_density = (float *)at, at += 4 * TOGETHER_DRAWN * leaves;
    desk->dense = (float *)at, at += 4 * leaves;
    desk->dense_blocks = (float *)at, at += 4 * leaves;
    desk->density = (float *)at, at += 4 * leaves;
    desk->blocks = (float *)at, at += 4 * leaves;
    desk->ones = (float *)at, at += 4 * most;
    desk->number = (int32_t *)at, at += 4 * most;
    desk->first = (float *)at, at += 4 * most;
    desk->both = (float *)at, at += 4 * most;
    desk->distance = (float *)at, at += 4 * most;
    desk->length = (float *)at, at += 4 * most;
    desk->place = (int32_t *)at, at += 4 * most;
    desk->centre = (float *)at; /* (most, channels) */
    for (int64_t i = 0; i < most; i++) desk->ones[i] = 1;
    return 0;
}

/* First draw, of blocks from the leaves by `log_density` (base 2, padded with -infinity to a multiple of 16
 * leaves): systematic, with points a unit apart from a random start on a line on which each leaf is as long
 * as its expected number of blocks drawn, at most all of its blocks. Returns how many patches; distances are
 * those of the projections. */
static int64_t draw_from_leaves(const Desk *desk, const float *log_density, const int64_t *start,
                                const int32_t *sizes, int leaves, double draws, double floor, double point,
                                const int8_t *codes, int words, const float *steps, const float *query,
                                int64_t most) {
    v16 tops = all(-INFINITY), sums = {0};
    for (int k = 0; k < leaves; k += 16) tops = vmax(tops, load(log_density + k));
    float top = tops[0];
    for (int i = 1; i < 16; i++) top = tops[i] > top ? tops[i] : top;
    for (int k = 0; k < leaves; k += 16) {
        const v16 density = exp2_nonpositive(load(log_density + k) - all(top));
        memcpy(desk->density + k, &density, sizeof density);
        sums += density;
    }
    /* Most leaves have little more than their part of the floor, which can't be more than they hold. */
    const v16 share = all((1 - floor) / total(sums)), everywhere = all(floor * BLOCK / start[leaves]);
    v16 sparse = {0};
    int64_t dense = 0;
    for (int k = 0; k < leaves; k += 16) {
        const v16 blocks = load(desk->blocks + k), least = everywhere * blocks;
        const v16 more = share * load(desk->density + k), density = more + least;
        memcpy(desk->density + k, &density, sizeof density);
        if (greatest(more - least) <= 0) {
            sparse += density;
            continue;
        }
        memcpy(desk->dense + dense, &density, sizeof density);
        memcpy(desk->dense_blocks + dense, &blocks, sizeof blocks);
        dense += 16;
    }
    double factor = fill(desk->dense, desk->dense_blocks, dense, total(sparse), draws / BLOCK);
    if (2 * floor * BLOCK * factor >= start[leaves]) /* they can, after all */
        factor = fill(desk->density, desk->blocks, leaves, 0, draws / BLOCK);
    int64_t n = 0;
    double left = 0;
    for (int k = 0; k < leaves; k++) {
        if (k % 16 == 0) { /* mostly short leaves, passed together */
            const v16 density = load(desk->density + k) * all((float)factor), all_of = load(desk->blocks + k);
            const i16 cut = density >= all_of;
            const double here = total((v16)(((i16)all_of & cut) | ((i16)density & ~cut)));
            if (left + here * (1 + 1e-5) < point) {
                left += here;
                k += 15;
                continue;
            }
        }
        const float blocks = desk->blocks[k];
        const double wanted = desk->density[k] * factor, length = wanted < blocks ? wanted : blocks;
        const double stride = blocks / length;
        const float probability = length / blocks;
        for (; point < left + length && n + BLOCK <= most; point++) {
            int64_t block = (int64_t)((point - left) * stride);
            block = block < blocks ? block : (int64_t)blocks - 1;
            for (int m = 0; m < BLOCK && block * BLOCK + m < sizes[k]; m++, n++) {
                desk->number[n] = (int32_t)(start[k] + block * BLOCK + m);
                desk->first[n] = probability;
            }
        }
        left += length;
    }
    const int vectors = words * BASIS * BLOCK / 16, line = 64;
    v16 units[MOST_WORDS * BASIS * BLOCK / 16], target[MOST_WORDS * BASIS * BLOCK / 16];
    for (int v = 0; v < vectors; v++)
        for (int i = 0; i < 16; i++) {
            units[v][i] = steps[(16 * v + i) / BLOCK];
            target[v][i] = query[(16 * v + i) / BLOCK];
        }
    for (int64_t i = 0; i < n;) {
        if (i + 12 * BLOCK < n)
            for (int w = 0; w < words; w++)
                __builtin_prefetch(codes + w * line +
                                   (int64_t)(desk->number[i + 12 * BLOCK] & -BLOCK) * words * BASIS);
        const int32_t block = desk->number[i] & -BLOCK;
        v16 square = {0};
        for (int v = 0; v < vectors; v++) {
            s16 code;
            memcpy(&code, codes + (int64_t)block * words * BASIS + 16 * v, sizeof code);
            const v16 whole = __builtin_convertvector(__builtin_convertvector(code, i16), v16);
            const v16 d = target[v] - whole * units[v];
            square += d * d;
        }
        const v4 distance = total_by_4(square);
        for (int m = 0; m < BLOCK && i < n && (desk->number[i] & -BLOCK) == block; m++, i++)
            desk->distance[i] = distance[m];
    }
    return n;
}

/* Second draw, among the first: as probable as the projection says that the weight is large, over the
 * probability of the first draw. Keeps the drawn at the front and returns how many. */
static int64_t draw_again(const Desk *desk, int64_t n, double draws, double floor, double point,
                          const int32_t *places) {
    if (n <= draws) {
        memcpy(desk->both, desk->first, n * sizeof(float));
        return n;
    }
    const float least = least_of(desk->distance, n);
    v16 sums = {0};
    for (int64_t i = n; i % 16; i++) desk->distance[i] = INFINITY, desk->first[i] = 1;
    for (int64_t i = 0; i < n; i += 16) {
        const v16 length = exp2_nonpositive(all(least) - load(desk->distance + i)) / load(desk->first + i);
        memcpy(desk->length + i, &length, sizeof length);
        sums += length;
    }
    const float share = (1 - floor) / total(sums), everywhere = floor / n;
    for (int64_t i = 0; i < n; i++) desk->length[i] = share * desk->length[i] + everywhere;
    for (int64_t i = n; i % 16; i++) desk->length[i] = 0;
    const float factor = fill(desk->length, desk->ones, n, 0, draws);
    int64_t kept = 0;
    double left = 0;
    for (int64_t i = 0; i < n; i++) {
        if (i % 16 == 0) { /* mostly short lengths, passed together */
            const v16 lengths = load(desk->length + i) * all(factor);
            const double here = total(lengths);
            if (here < 1 && left + here * (1 + 1e-5) < point) {
                left += here;
                i += 15;
                continue;
            }
        }
        const float length = desk->length[i] * factor, probability = length < 1 ? length : 1;
        int keep = probability >= 1;
        if (!keep && (left += probability) > point) keep = 1, point++;
        if (!keep) continue;
        __builtin_prefetch(places + desk->number[i]);
        desk->number[kept] = desk->number[i];
        desk->first[kept] = desk->first[i];
        desk->both[kept++] = desk->first[i] * probability;
    }
    return kept;
}

/* Distances of the query, in `rows` of a multiple of 16 values, from the drawn patches; their centres. */
INLINE void measure(const Desk *desk, const Bank *bank, int64_t n, const float *inside, int wide) {
    const int64_t plane = (int64_t)bank->height * bank->width, width = bank->width;
    const int64_t centre = (bank->patch / 2) * (width + 1);
    const int size = bank->bytes ? 1 : sizeof(float);
    for (int64_t i = 0; i < n; i++) {
        if (i + 12 < n) {
            const int64_t ahead = desk->place[i + 12];
            for (int c = 0; c < bank->channels; c++)
                for (int y = 0; y < bank->patch; y += 2)
                    __builtin_prefetch((const char *)bank->images + size * (ahead + c * plane + y * width));
        }
        v16 square = {0};
        const float *row = desk->rows;
        for (int c = 0; c < bank->channels; c++) {
            int64_t at = desk->place[i] + c * plane;
            desk->centre[i * bank->channels + c] = value(bank->images, bank->bytes, at + centre);
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
 * makes |query - scale pixel|^2 the log2 weight (see adaptive.py); `points` (n, words BASIS) and `steps` (words BASIS)
 * are the projected queries and the steps of the codes in those units; `coefficients` and `features` tell how
 * densely to draw from each leaf (see densities); `firsts` and `seconds` (n) are the numbers of first and second
 * draws. Constant patches (counted by value in `constants`, or NULL) are summed exactly. Writes per query
 * result (n, 4 + channels): the least distance, the sum of weights relative to it, the sums of weighted values,
 * and what the first and the second draw add to the square of the standard error of their ratio (estimates;
 * means over channels). Returns 0, or 1 when memory is short. */
API int index_sample(const void *images, int bytes, int channels, int height, int width, int patch,
                     const int32_t *places, const int8_t *codes, const int64_t *start, const int32_t *sizes,
                     int words, int leaves,
                     const float *queries, const float *points, const float *steps, const int64_t *constants,
                     float scale, const float *coefficients, const float *features, int terms,
                     const int64_t *firsts, const int64_t *seconds,
                     const uint64_t *keys, double floor, int64_t first, int64_t last, double *result) {
    const Bank bank = {images, bytes, channels, height, width, patch};
    const int P = patch, wide = (P + 15) / 16 * 16;
    const float step = bytes ? scale / 127.5f : scale;
    int64_t most = 0;
    for (int64_t q = first; q < last; q++) most = firsts[q] > most ? firsts[q] : most;
    most = ((most < start[leaves] ? most : start[leaves]) + 64 + 15) / 16 * 16;
    Desk desk;
    if (open_desk(&desk, leaves, most, (int64_t)channels * P * wide, channels)) return 1;
    for (int k = 0; k < leaves; k++) desk.blocks[k] = (start[k + 1] - start[k]) / BLOCK;
    float inside[64];
    for (int x = 0; x < 64; x++) inside[x] = x < P ? step : 0;

    for (int64_t q = first; q < last; q++) {
        const int together = (int)(q - first) % TOGETHER_DRAWN;
        if (!together && last - q >= TOGETHER_DRAWN)
            densities(coefficients, leaves, features + q * terms, terms, TOGETHER_DRAWN, desk.log_density);
        else if (!together)
            densities(coefficients, leaves, features + q * terms, terms, (int)(last - q), desk.log_density);
        const float *query = queries + q * channels * P * P;
        for (int r = 0; r < channels * P; r++)
            for (int x = 0; x < wide; x++) desk.rows[r * wide + x] = x < P ? query[r * P + x] : 0;
        int64_t n = draw_from_leaves(&desk, desk.log_density + together * leaves, start, sizes, leaves, firsts[q], floor,
                                     uniform(keys[q]), codes, words, steps, points + q * words * BASIS, most);
        n = draw_again(&desk, n, seconds[q], floor, uniform(keys[q] + 1), places);
        for (int64_t i = 0; i < n; i++) desk.place[i] = places[desk.number[i]];
        if (wide == 16) measure(&desk, &bank, n, inside, 16);
        else measure(&desk, &bank, n, inside, wide);
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
        for (int64_t i = n; i % 16; i++) desk.distance[i] = INFINITY, desk.both[i] = 1;
        for (int64_t i = 0; i < n; i += 16) { /* weights in the place of distances, from here on */
            const v16 w = exp2_nonpositive(all(least) - load(desk.distance + i)) / load(desk.both + i);
            memcpy(desk.distance + i, &w, sizeof w);
        }
        for (int64_t i = 0; i < n; i++) {
            weight += desk.distance[i];
            for (int c = 0; c < channels; c++)
                weighted[c] += desk.distance[i] * desk.centre[i * channels + c];
        }
        for (int b = 0; constants && b < 256; b++)
            if (constants[b]) {
                const double w = constants[b] * exp2(least - constant_distance[b]);
                weight += w;
                weighted[0] += w * (b / 127.5 - 1);
            }

        /* The variance of a systematic sample from the differences of neighbouring blocks (Wolter, 1984),
         * shared out between the two draws as if each patch were drawn on its own. */
        double alone[2] = {0}, differences = 0;
        for (int c = 0; c < channels; c++) {
            const float mean = weighted[c] / weight;
            double before = 0, here = 0;
            int32_t block = -1, begun = 0;
            for (int64_t i = 0; i <= n; i++) {
                if (i < n && desk.both[i] >= 1) continue;
                if (i == n || desk.number[i] / BLOCK != block) { /* the block before is whole */
                    if (begun > 1) differences += (here - before) * (here - before) / 2;
                    if (i == n) break;
                    before = here, here = 0;
                    block = desk.number[i] / BLOCK;
                    begun++;
                }
                const float again = desk.both[i] / desk.first[i];
                const float off = desk.distance[i] * (desk.centre[i * channels + c] - mean);
                alone[0] += (1 - desk.first[i]) * again * off * off;
                alone[1] += (1 - again) * off * off;
                here += off * sqrtf(1 - desk.both[i]);
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
