/* An index over the patches of training images, and sums over a random sample of them: the compiled part
 * of adaptive.py, which explains the method.
 *
 * Images are (count, channels, height, width), bytes b (for b / 127.5 - 1) or float; a patch is named by
 * the place of its first pixel in that array. Leaves are sorted by BASIS components of a projection, the width
 * of one vector register; codes hold `words` times as many. Bases are (words, channels patch patch, BASIS).
 * Where registers hold fewer than 16 values, 16 are PARTS of them, added in the same order: left to itself,
 * GCC moves wider vectors through memory.
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

#if defined(__AVX512F__)
#define WIDTH 16
#elif defined(__AVX__)
#define WIDTH 8
#else
#define WIDTH 4
#endif
#define PARTS (16 / WIDTH)
#define EACH _Pragma("GCC unroll 4") for (int e = 0; e < PARTS; e++)

typedef float vf __attribute__((vector_size(4 * WIDTH)));
typedef int32_t vi __attribute__((vector_size(4 * WIDTH)));
typedef uint8_t bytes_of_vf __attribute__((vector_size(WIDTH)));
typedef int8_t codes_of_vf __attribute__((vector_size(WIDTH)));
typedef struct {
    vf part[PARTS];
} v16;

INLINE vf all(float a) { return a - (vf){0}; }
INLINE vf load(const float *from) {
    vf v;
    memcpy(&v, from, sizeof v);
    return v;
}
INLINE void store(float *to, vf v) { memcpy(to, &v, sizeof v); }
INLINE v16 all16(float a) {
    v16 v;
    EACH v.part[e] = all(a);
    return v;
}
INLINE vf load_bytes(const uint8_t *from) {
    bytes_of_vf b;
    memcpy(&b, from, sizeof b);
    return __builtin_convertvector(__builtin_convertvector(b, vi), vf); /* at once, GCC goes one by one */
}
INLINE vf load_codes(const int8_t *from) {
    codes_of_vf c;
    memcpy(&c, from, sizeof c);
    return __builtin_convertvector(__builtin_convertvector(c, vi), vf);
}
typedef float v4 __attribute__((vector_size(16)));
typedef int32_t i4 __attribute__((vector_size(16)));

/* `a` where the mask is set, else `b`. */
INLINE vf blend(vi mask, vf a, vf b) { return (vf)(((vi)a & mask) | ((vi)b & ~mask)); }
INLINE vf vmax(vf a, vf b) { return blend(a > b, a, b); }

/* The 16 values four by four, which COMBINE(a, b) makes one of two by two: first those 8 apart. */
#define BY_4(v, COMBINE, result)                                                           \
    do {                                                                                   \
        v4 four_[4];                                                                       \
        memcpy(four_, &(v), sizeof four_);                                                 \
        four_[0] = COMBINE(four_[0], four_[2]), four_[1] = COMBINE(four_[1], four_[3]);    \
        (result) = COMBINE(four_[0], four_[1]);                                            \
    } while (0)
#define SUM(a, b) ((a) + (b))
#define GREATER(a, b) ((v4)(((i4)(a) & ((a) > (b))) | ((i4)(b) & ~((a) > (b)))))

/* Sums of the values whose numbers are equal modulo 4. */
INLINE v4 total_by_4(v16 v) {
    v4 s;
    BY_4(v, SUM, s);
    return s;
}
INLINE float total(v16 v) {
    const v4 s = total_by_4(v);
    return (s[0] + s[1]) + (s[2] + s[3]);
}
INLINE float greatest(v16 v) {
    v4 last;
    BY_4(v, GREATER, last);
    const float a = last[0] > last[1] ? last[0] : last[1], b = last[2] > last[3] ? last[2] : last[3];
    return a > b ? a : b;
}
INLINE float value(const void *images, int bytes, int64_t at) {
    return bytes ? ((const uint8_t *)images)[at] * (1 / 127.5f) - 1 : ((const float *)images)[at];
}

/* The nearest of `blocks` * 16 <= 64 centres: 2 point . centre - |centre|^2 is largest, to about five digits,
 * as the last bits of the score carry the number. Centres come in blocks of 16, component by component;
 * `norms` holds |centre|^2, FAR for a centre that is none. */
#define FAR 1e30f
INLINE int nearest_centre(const float *point, const float *centres, const float *norms, int blocks) {
    static const int32_t lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    v16 best = all16(-INFINITY);
    for (int b = 0; b < blocks; b++) {
        vf score[PARTS], other[PARTS] = {{0}};
        EACH score[e] = -load(norms + 16 * b + e * WIDTH);
        for (int j = 0; j < BASIS; j += 2) {
            const float *at = centres + (b * BASIS + j) * 16;
            EACH score[e] += all(2 * point[j]) * load(at + e * WIDTH);
            EACH other[e] += all(2 * point[j + 1]) * load(at + 16 + e * WIDTH);
        }
        EACH {
            vi lane;
            memcpy(&lane, lanes + e * WIDTH, sizeof lane);
            best.part[e] = vmax(best.part[e], (vf)(((vi)(score[e] + other[e]) & ~63) | (lane + 16 * b)));
        }
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

/* Projections of `n` patches that lie next to each other on a row, from pixels with these strides; n is 1 or
 * few enough for their sums to stay in registers. */
INLINE void project(const float *pixels, int64_t plane, int64_t row, int channels, int P, const float *basis,
                    int n, float *points) {
    vf sum[SIDE][PARTS] = {{{0}}};
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < P; y++) {
            const float *from = pixels + c * plane + y * row;
            for (int x = 0; x < P; x++, basis += BASIS)
                for (int i = 0; i < n; i++) EACH sum[i][e] += all(from[x + i]) * load(basis + e * WIDTH);
        }
    for (int i = 0; i < n; i++) EACH store(points + i * BASIS + e * WIDTH, sum[i][e]);
}

/* The same for up to SIDE patches of a view, `n` of which exist; the others are of no use. */
INLINE void project_view(const View *view, const Bank *bank, const float *basis, int y, int x, float *points) {
    const int64_t wide = bank->width + SIDE;
    for (int i = 0; i < SIDE; i += SIDE / PARTS)
        project(view->pixels + y * wide + x + i, bank->height * wide, wide, bank->channels, bank->patch, basis,
                SIDE / PARTS, points + i * BASIS);
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
            v16 squares;
            EACH squares.part[e] = load(point + e * WIDTH) * load(point + e * WIDTH);
            const float residual = lengths[i] - total(squares);
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
    const vf most = all(127), rounding = all(12582912.0f); /* 1.5 * 2^23 */
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
                    for (int j = 0; j < words * BASIS; j += WIDTH) {
                        const float *point = points[j / BASIS] + (x - x0) * BASIS + j % BASIS;
                        vf code = load(point) / load(steps + j);
                        code = -vmax(-vmax(code, -most), -most);
                        const vi whole = __builtin_convertvector((code + rounding) - rounding, vi);
                        const codes_of_vf rounded = __builtin_convertvector(whole, codes_of_vf);
                        memcpy(codes + number * words * BASIS + j, &rounded, sizeof rounded);
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
INLINE vf exp2_nonpositive(vf t) {
    const vf shifter = all(12582912.0f); /* 1.5 * 2^23: rounds */
    const vi kept = t > all(-120.0f);
    t = (vf)((vi)t & kept); /* no infinities below */
    const vf integer = (t + shifter) - shifter, f = t - integer;
    vf p = all(0.00957010191f) * f + all(0.0559178603f);
    p = p * f + all(0.240247448f);
    p = p * f + all(0.693121815f);
    p = p * f + all(0.999999261f);
    return (vf)(((vi)p + (__builtin_convertvector(integer, vi) << 23)) & kept);
}

INLINE float least_of(const float *values, int64_t n) {
    v16 least = all16(-INFINITY); /* of the negative values: the greatest */
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        EACH least.part[e] = vmax(least.part[e], -load(values + i + e * WIDTH));
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
        const vf by = all((float)factor);
        for (int64_t i = 0; i < n; i += 1024) { /* short sums in float, for speed */
            const int64_t stop = i + 1024 < n ? i + 1024 : n;
            v16 full_here = all16(0), rest_here = all16(0);
            for (int64_t j = i; j < stop; j += 16)
                EACH {
                    const vf length = load(lengths + j + e * WIDTH), end = load(ends + j + e * WIDTH);
                    const vi cut = length * by >= end;
                    full_here.part[e] += (vf)((vi)end & cut);
                    rest_here.part[e] += (vf)((vi)length & ~cut);
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
    for (int64_t k = 0; k < leaves; k += 16, coefficients += 16 * terms)
        for (int e = 0; e < 16; e += WIDTH) {
            vf sum[TOGETHER_DRAWN] = {{0}};
            for (int j = 0; j < terms; j++) {
                const vf here = load(coefficients + 16 * j + e);
                for (int q = 0; q < n; q++) sum[q] += all(features[q * terms + j]) * here;
            }
            for (int q = 0; q < n; q++) store(log_density + q * leaves + k + e, sum[q]);
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
    v16 tops = all16(-INFINITY), sums = all16(0), sparse = all16(0);
    for (int k = 0; k < leaves; k += 16)
        EACH tops.part[e] = vmax(tops.part[e], load(log_density + k + e * WIDTH));
    const vf top = all(greatest(tops));
    for (int k = 0; k < leaves; k += 16)
        EACH {
            const vf density = exp2_nonpositive(load(log_density + k + e * WIDTH) - top);
            store(desk->density + k + e * WIDTH, density);
            sums.part[e] += density;
        }
    /* Most leaves have little more than their part of the floor, which can't be more than they hold. */
    const vf share = all((1 - floor) / total(sums)), everywhere = all(floor * BLOCK / start[leaves]);
    int64_t dense = 0;
    for (int k = 0; k < leaves; k += 16) {
        v16 density, beyond;
        EACH {
            const vf least = everywhere * load(desk->blocks + k + e * WIDTH);
            const vf more = share * load(desk->density + k + e * WIDTH);
            density.part[e] = more + least;
            beyond.part[e] = more - least;
            store(desk->density + k + e * WIDTH, density.part[e]);
        }
        if (greatest(beyond) <= 0) {
            EACH sparse.part[e] += density.part[e];
            continue;
        }
        memcpy(desk->dense + dense, &density, sizeof density);
        memcpy(desk->dense_blocks + dense, desk->blocks + k, sizeof density);
        dense += 16;
    }
    double factor = fill(desk->dense, desk->dense_blocks, dense, total(sparse), draws / BLOCK);
    if (2 * floor * BLOCK * factor >= start[leaves]) /* they can, after all */
        factor = fill(desk->density, desk->blocks, leaves, 0, draws / BLOCK);
    int64_t n = 0;
    double left = 0;
    for (int k = 0; k < leaves; k++) {
        if (k % 16 == 0) { /* mostly short leaves, passed together */
            v16 lengths;
            EACH {
                const vf density = load(desk->density + k + e * WIDTH) * all((float)factor);
                const vf most_of = load(desk->blocks + k + e * WIDTH);
                lengths.part[e] = blend(density >= most_of, most_of, density);
            }
            const double here = total(lengths);
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
    const int width = words * BASIS * BLOCK, line = 64;
    float units[MOST_WORDS * BASIS * BLOCK], target[MOST_WORDS * BASIS * BLOCK];
    for (int j = 0; j < width; j++) units[j] = steps[j / BLOCK], target[j] = query[j / BLOCK];
    for (int64_t i = 0; i < n;) {
        if (i + 12 * BLOCK < n)
            for (int w = 0; w < words; w++)
                __builtin_prefetch(codes + w * line +
                                   (int64_t)(desk->number[i + 12 * BLOCK] & -BLOCK) * words * BASIS);
        const int32_t block = desk->number[i] & -BLOCK;
        const int8_t *code = codes + (int64_t)block * words * BASIS;
        v16 square = all16(0);
        for (int j = 0; j < width; j += 16)
            EACH {
                const int at = j + e * WIDTH;
                const vf d = load(target + at) - load_codes(code + at) * load(units + at);
                square.part[e] += d * d;
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
    v16 sums = all16(0);
    for (int64_t i = n; i % 16; i++) desk->distance[i] = INFINITY, desk->first[i] = 1;
    for (int64_t i = 0; i < n; i += 16)
        EACH {
            const int64_t at = i + e * WIDTH;
            const vf length = exp2_nonpositive(all(least) - load(desk->distance + at)) / load(desk->first + at);
            store(desk->length + at, length);
            sums.part[e] += length;
        }
    const float share = (1 - floor) / total(sums), everywhere = floor / n;
    for (int64_t i = 0; i < n; i++) desk->length[i] = share * desk->length[i] + everywhere;
    for (int64_t i = n; i % 16; i++) desk->length[i] = 0;
    const float factor = fill(desk->length, desk->ones, n, 0, draws);
    int64_t kept = 0;
    double left = 0;
    for (int64_t i = 0; i < n; i++) {
        if (i % 16 == 0) { /* mostly short lengths, passed together */
            v16 lengths;
            EACH lengths.part[e] = load(desk->length + i + e * WIDTH) * all(factor);
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
        v16 square = all16(0);
        const float *row = desk->rows;
        for (int c = 0; c < bank->channels; c++) {
            int64_t at = desk->place[i] + c * plane;
            desk->centre[i * bank->channels + c] = value(bank->images, bank->bytes, at + centre);
            for (int y = 0; y < bank->patch; y++, at += width, row += wide)
                for (int v = 0; v < wide; v += 16)
                    EACH {
                        const int64_t j = v + e * WIDTH;
                        const vf pixels = bank->bytes ? load_bytes((const uint8_t *)bank->images + at + j)
                                                      : load((const float *)bank->images + at + j);
                        const vf d = load(row + j) - pixels * load(inside + j);
                        square.part[e] += d * d;
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
        for (int64_t i = 0; i < n; i += WIDTH) /* weights in the place of distances, from here on */
            store(desk.distance + i,
                  exp2_nonpositive(all(least) - load(desk.distance + i)) / load(desk.both + i));
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
