/* Exact posterior sums over all training patches, on the CPU.
 *
 * The weight of a candidate patch is 2^-D with D = |xs - ys|^2 summed over the patch, where the query xs
 * and the bank ys come in units that absorb 1/(2 s2), sqrt(alpha_bar) and log2(e). For one shift between
 * query position p and bank position q = p + shift, D over all p is a box filter of the squared
 * differences of two images; here that filter runs for a tile of training images at a time, one image
 * a lane of the vector registers.
 *
 * The box filter only ever adds non-negative terms. Running sums would save a few additions a pixel, but
 * the terms that they add and take away again can be 10^5 times larger than the distance that is left,
 * and their rounding errors stay behind. Instead, four neighbouring windows share their common core and
 * extend it to both sides (window_sums below): no cancellation, so D is right to a few parts in 10^7.
 * Distances are kept relative to EXPECTED * (terms), about what they are if only noise sets the images
 * apart, so that float32 has digits left for the differences between near candidates.
 *
 * The file is compiled once per instruction set; LANES and the few functions below adapt to it.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#include <immintrin.h>
#elif defined(__AVX__)
#define LANES 8
#include <immintrin.h>
#else
#define LANES 4
#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif
#endif

#define VECS 2              /* vectors a tile: they share the query's loads and the accumulators */
#define TILE (VECS * LANES) /* training images a tile */
#define BLOCK 4             /* windows that share a core, in both directions */
#define EXPECTED 0.7213475f /* of each squared difference, if it is noise alone: log2(e) / 2 */
#define NEVER 3e38f         /* the reference distance before the first candidate */

#define INLINE static inline __attribute__((always_inline))
#define API __attribute__((visibility("default")))

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));

INLINE vf splat(float a) { return a - (vf){0}; }

#if LANES == 16
INLINE vf vmin(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE vf vmax(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE int any_below(vf a, float b) {
    return _mm512_cmp_ps_mask((__m512)a, _mm512_set1_ps(b), _CMP_LT_OQ) != 0;
}
#elif LANES == 8
INLINE vf vmin(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
INLINE vf vmax(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE int any_below(vf a, float b) {
    return _mm256_movemask_ps(_mm256_cmp_ps((__m256)a, _mm256_set1_ps(b), _CMP_LT_OQ)) != 0;
}
#elif defined(__SSE2__)
INLINE vf vmin(vf a, vf b) { return (vf)_mm_min_ps((__m128)a, (__m128)b); }
INLINE vf vmax(vf a, vf b) { return (vf)_mm_max_ps((__m128)a, (__m128)b); }
INLINE int any_below(vf a, float b) {
    return _mm_movemask_ps(_mm_cmplt_ps((__m128)a, _mm_set1_ps(b))) != 0;
}
#elif defined(__aarch64__)
INLINE vf vmin(vf a, vf b) { return (vf)vminq_f32((float32x4_t)a, (float32x4_t)b); }
INLINE vf vmax(vf a, vf b) { return (vf)vmaxq_f32((float32x4_t)a, (float32x4_t)b); }
INLINE int any_below(vf a, float b) { return vminvq_f32((float32x4_t)a) < b; }
#else
INLINE vf vmin(vf a, vf b) {
    for (int i = 0; i < LANES; i++) a[i] = a[i] < b[i] ? a[i] : b[i];
    return a;
}
INLINE vf vmax(vf a, vf b) {
    for (int i = 0; i < LANES; i++) a[i] = a[i] > b[i] ? a[i] : b[i];
    return a;
}
INLINE int any_below(vf a, float b) {
    int any = 0;
    for (int i = 0; i < LANES; i++) any |= a[i] < b;
    return any;
}
#endif

/* 2^t for t <= 0, relative error below 3e-6; anything below 2^-125 becomes 2^-125. */
INLINE vf exp2_nonpositive(vf t) {
    const vf shifter = splat(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    t = vmax(t, splat(-125.0f));
    vf u = t + shifter;
    vf f = t - (u - shifter); /* in [-1/2, 1/2] */
    vf p = splat(0.00957010191f) * f + splat(0.0559178603f); /* minimax for the relative error */
    p = p * f + splat(0.240247448f);
    p = p * f + splat(0.693121815f);
    p = p * f + splat(0.999999261f);
    return (vf)((vi)p + ((vi)u << 23)); /* the integer goes into the exponent bits */
}

/* One query, its running sums, and the tile of training images at hand. Positions: p in the query, q in
 * the bank, q = p + (dy, dx). Images carry h pixels of border (zeros or wrapped). */
typedef struct {
    int channels, height, width, patch;
    int vcols;           /* columns of the tile: width + 2 h */
    int xcols;           /* columns of the extended query */
    const float *query;  /* at position (0, 0), channel 0; layout (row, channel, column) */
    const float *tile;   /* at position (0, 0), channel 0; layout (row, channel, column, TILE) */
    float *lanes;        /* (height * width, 1 + channels, LANES): sums of weights and weighted values */
    float *nearest;      /* (height * width): smallest distance so far; weights are relative to it */
    float *cutoff;       /* (height * width): candidates beyond it are neglected */
    double *sums;        /* (1 + channels, height * width): what earlier tiles left */
    vf *windows;         /* (BLOCK, vcols + BLOCK, VECS): vertical window sums of one block of rows */
} Job;

/* A new nearest candidate: bring the sums so far to its scale. Rare: about log(candidates) times. */
static __attribute__((noinline)) void lower_reference(const Job *job, int p, vf distance) {
    float nearest = distance[0];
    for (int i = 1; i < LANES; i++) nearest = distance[i] < nearest ? distance[i] : nearest;
    const float factor = exp2f(nearest - job->nearest[p]);
    const int pixels = job->height * job->width;
    float *lanes = job->lanes + (size_t)p * (1 + job->channels) * LANES;
    for (int i = 0; i < (1 + job->channels) * LANES; i++) lanes[i] *= factor;
    for (int i = 0; i < 1 + job->channels; i++) job->sums[(size_t)i * pixels + p] *= factor;
    job->nearest[p] = nearest;
}

/* Add the candidates of one position pair, `centre` being their central pixels (channel 0). */
INLINE void absorb(const Job *job, int channels, int p, const vf *distance, const float *centre,
                   float margin) {
    vf nearest = distance[0];
    for (int k = 1; k < VECS; k++) nearest = vmin(nearest, distance[k]);
    if (!any_below(nearest, job->cutoff[p])) return;
    if (any_below(nearest, job->nearest[p])) {
        lower_reference(job, p, nearest);
        if (job->nearest[p] + margin < job->cutoff[p]) job->cutoff[p] = job->nearest[p] + margin;
    }
    const vf reference = splat(job->nearest[p]);
    vf weight[VECS];
    for (int k = 0; k < VECS; k++) weight[k] = exp2_nonpositive(reference - distance[k]);
    vf *sum = (vf *)job->lanes + (size_t)p * (1 + channels);
    vf total = weight[0];
    for (int k = 1; k < VECS; k++) total += weight[k];
    sum[0] += total;
    for (int c = 0; c < channels; c++) {
        const vf *value = (const vf *)(centre + (size_t)c * job->vcols * TILE);
        vf weighted = sum[1 + c];
        for (int k = 0; k < VECS; k++) weighted += weight[k] * value[k];
        sum[1 + c] = weighted;
    }
}

/* Sums over n neighbouring windows of length P: out[i] = start + term(i) + ... + term(i + P - 1), n = 1, 2, 4.
 * TERM_ADD(j, s) must give term(j) + s. Their common core is summed once, then extended to the right
 * (running forwards) and to the left (running backwards): P + n - 1 terms and n - 1 further additions.
 * Windows shorter than n + 2 are done in halves. */
#define WINDOW_SUMS(P, n, first, start, out, TERM_ADD)                            \
    do {                                                                          \
        vf right_ = start, left_ = {0};                                           \
        for (int j_ = (n) - 1; j_ < (P); j_++) right_ = TERM_ADD(first + j_, right_); \
        out[(first)] = right_;                                                    \
        for (int i_ = 1; i_ < (n); i_++)                                          \
            out[(first) + i_] = right_ = TERM_ADD(first + (P) - 1 + i_, right_);  \
        for (int i_ = (n) - 2; i_ >= 0; i_--) {                                   \
            left_ = TERM_ADD(first + i_, left_);                                  \
            out[(first) + i_] += left_;                                           \
        }                                                                         \
    } while (0)

/* Vertical window sums of squared differences, `rows` output rows, columns [0, cols) of tile and query
 * (both pointing at the first row and column of the first window). */
INLINE void vertical(const Job *job, int P, int channels, int rows, const float *tile,
                     const float *query, int cols) {
    const size_t trow = (size_t)channels * job->vcols * TILE, xrow = (size_t)channels * job->xcols;
    const size_t pitch = (size_t)(job->vcols + BLOCK) * VECS;
    const vf start = splat(-EXPECTED * P * channels);
    for (int col = 0; col < cols; col++) {
        const float *restrict t0 = tile + (size_t)col * TILE;
        const float *restrict x0 = query + col;
        vf *restrict to = job->windows + (size_t)col * VECS;
#pragma GCC unroll 2
        for (int k = 0; k < VECS; k++) {
            vf out[BLOCK];
#define SQUARES(j, s)                                                                           \
    ({                                                                                          \
        vf s_ = (s);                                                                            \
        for (int c_ = 0; c_ < channels; c_++) {                                                 \
            vf d_ = splat(x0[(j) * xrow + (size_t)c_ * job->xcols]) -                           \
                    ((const vf *)(t0 + (j) * trow + (size_t)c_ * job->vcols * TILE))[k];        \
            s_ = d_ * d_ + s_;                                                                  \
        }                                                                                       \
        s_;                                                                                     \
    })
            if (rows == 4 && P == 3) {
                WINDOW_SUMS(P, 2, 0, start, out, SQUARES);
                WINDOW_SUMS(P, 2, 2, start, out, SQUARES);
            } else if (P == 1) {
                for (int r = 0; r < rows; r++) out[r] = SQUARES(r, start);
            } else {
                WINDOW_SUMS(P, rows, 0, start, out, SQUARES);
            }
            for (int r = 0; r < rows; r++) to[r * pitch + k] = out[r];
        }
    }
}

/* Horizontal window sums of row r, then weights: `count` pixels from p on; `centre` is the tile's pixel
 * that faces p. */
INLINE void horizontal(const Job *job, int P, int channels, const vf *windows, int p, int count,
                       const float *centre, float margin) {
    for (int col = 0; col < count; col += BLOCK) {
        vf distance[BLOCK][VECS];
        for (int k = 0; k < VECS; k++) {
            const vf *from = windows + (size_t)col * VECS + k;
            vf out[BLOCK];
#define WINDOW(j, s) (from[(size_t)(j) * VECS] + (s))
            if (P == 1) {
                for (int i = 0; i < BLOCK; i++) out[i] = from[(size_t)i * VECS];
            } else if (P == 3) {
                WINDOW_SUMS(P, 2, 0, (vf){0}, out, WINDOW);
                WINDOW_SUMS(P, 2, 2, (vf){0}, out, WINDOW);
            } else {
                WINDOW_SUMS(P, BLOCK, 0, (vf){0}, out, WINDOW);
            }
            for (int i = 0; i < BLOCK; i++) distance[i][k] = out[i];
        }
        const int n = count - col < BLOCK ? count - col : BLOCK;
        for (int i = 0; i < n; i++)
            absorb(job, channels, p + col + i, distance[i], centre + (size_t)(col + i) * TILE, margin);
    }
}

/* Bank positions q0 <= q < q1 in both directions for one shift; p = q - shift, modulo the image. */
INLINE void shift_block(const Job *job, int P, int channels, int rows, int y, int dy, int x0, int x1,
                        int dx, float margin) {
    const int h = P / 2, H = job->height, W = job->width;
    const size_t trow = (size_t)channels * job->vcols * TILE, xrow = (size_t)channels * job->xcols;
    vertical(job, P, channels, rows, job->tile + (y - h) * (ptrdiff_t)trow + (x0 - h) * TILE,
             job->query + (y - dy - h) * (ptrdiff_t)xrow + (x0 - dx - h), x1 - x0 + 2 * h);
    for (int r = 0; r < rows; r++) {
        const int row = y + r - dy < 0 ? y + r - dy + H : y + r - dy;
        const vf *windows = job->windows + (size_t)r * (job->vcols + BLOCK) * VECS;
        const float *centre = job->tile + (y + r) * (ptrdiff_t)trow;
        int from = x0;
        while (from < x1) { /* p runs up to the image's edge and goes on at column 0 */
            const int wrapped = from < dx;
            const int to = wrapped && dx < x1 ? dx : x1;
            horizontal(job, P, channels, windows + (size_t)(from - x0) * VECS,
                       row * W + from - dx + (wrapped ? W : 0), to - from,
                       centre + (ptrdiff_t)from * TILE, margin);
            from = to;
        }
    }
}

INLINE void shift(const Job *job, int P, int channels, int y0, int y1, int dy, int x0, int x1, int dx,
                  float margin) {
    int y = y0;
    for (; y + 4 <= y1; y += 4) shift_block(job, P, channels, 4, y, dy, x0, x1, dx, margin);
    if (y + 2 <= y1) {
        shift_block(job, P, channels, 2, y, dy, x0, x1, dx, margin);
        y += 2;
    }
    if (y < y1) shift_block(job, P, channels, 1, y, dy, x0, x1, dx, margin);
}

/* The same code with patch size and channels as constants where that pays. */
typedef void shift_function(const Job *, int, int, int, int, int, int, int, float);
#define SHIFT(name, P, channels)                                                                   \
    static void name(const Job *job, int y0, int y1, int dy, int x0, int x1, int dx, int unused,   \
                     float margin) {                                                               \
        (void)unused;                                                                              \
        shift(job, P, channels, y0, y1, dy, x0, x1, dx, margin);                                   \
    }
SHIFT(shift_any, job->patch, job->channels)
SHIFT(shift_p1, 1, job->channels)
SHIFT(shift_p3, 3, job->channels)
SHIFT(shift_gray_any, job->patch, 1)
SHIFT(shift_gray_p3, 3, 1)
SHIFT(shift_gray_p5, 5, 1)
SHIFT(shift_gray_p7, 7, 1)
SHIFT(shift_gray_p9, 9, 1)
SHIFT(shift_rgb_any, job->patch, 3)
SHIFT(shift_rgb_p3, 3, 3)
SHIFT(shift_rgb_p5, 5, 3)
SHIFT(shift_rgb_p7, 7, 3)
SHIFT(shift_rgb_p9, 9, 3)

static shift_function *choose(int P, int channels) {
    if (P == 1) return shift_p1;
    if (channels == 1)
        return P == 3 ? shift_gray_p3 : P == 5 ? shift_gray_p5 : P == 7 ? shift_gray_p7
             : P == 9 ? shift_gray_p9 : shift_gray_any;
    if (channels == 3)
        return P == 3 ? shift_rgb_p3 : P == 5 ? shift_rgb_p5 : P == 7 ? shift_rgb_p7
             : P == 9 ? shift_rgb_p9 : shift_rgb_any;
    return P == 3 ? shift_p3 : shift_any;
}

static int modulo(int a, int n) { return (a % n + n) % n; }
static int min(int a, int b) { return a < b ? a : b; }
static int max(int a, int b) { return a > b ? a : b; }

/* Which candidates a query pixel has; the values are those of patchmosaic/engines/native.py. */
enum { ZEROS = 0, WRAPPED = 1, INTERIOR = 2 };

/* All relative shifts of one query and one tile. */
static void all_shifts(const Job *job, int mode, int equivariant, float margin) {
    const int h = job->patch / 2, H = job->height, W = job->width;
    shift_function *f = choose(job->patch, job->channels);
    if (!equivariant) {
        f(job, 0, H, 0, 0, W, 0, 0, margin);
    } else if (mode == ZEROS) {
        /* Pixel pairs that cut the border alike: unshifted, all rows; shifted, both rows interior.
         * The same for columns, independently. */
        for (int dy = 1 - H; dy < H; dy++) {
            const int y0 = dy ? max(h, h + dy) : 0, y1 = dy ? min(H - h, H - h + dy) : H;
            for (int dx = 1 - W; dx < W && y0 < y1; dx++) {
                const int x0 = dx ? max(h, h + dx) : 0, x1 = dx ? min(W - h, W - h + dx) : W;
                if (x0 < x1) f(job, y0, y1, dy, x0, x1, dx, 0, margin);
            }
        }
    } else {
        const int edge = mode == INTERIOR ? h : 0;
        for (int dy = 0; dy < H; dy++)
            for (int dx = 0; dx < W; dx++)
                f(job, edge, H - edge, dy, edge, W - edge, dx, 0, margin);
    }
}

/* Training images [first, first + TILE) as (row, channel, column, lane), scaled, with borders. Lanes
 * beyond the last image get a value so far away that their weights vanish. */
static void fill_tile(float *tile, const void *bank, int bytes, int64_t first, int64_t count, float scale,
                      float far_away, int C, int H, int W, int h, int wrap) {
    const int64_t image = (int64_t)C * H * W;
    for (int row = -h; row < H + h; row++)
        for (int c = 0; c < C; c++)
            for (int col = -h; col < W + h; col++, tile += TILE) {
                const int inside = row >= 0 && row < H && col >= 0 && col < W;
                if (!inside && !wrap) {
                    memset(tile, 0, TILE * sizeof(float));
                    continue;
                }
                const int64_t at = ((int64_t)c * H + modulo(row, H)) * W + modulo(col, W);
                for (int lane = 0; lane < TILE; lane++) {
                    const int64_t index = (first + lane) * image + at;
                    if (first + lane >= count) tile[lane] = far_away;
                    else if (bytes) tile[lane] = (((const uint8_t *)bank)[index] / 127.5f - 1) * scale;
                    else tile[lane] = ((const float *)bank)[index] * scale;
                }
            }
}

/* The query over rows [-h - H, H + h) and columns [-h - W, W + h), as (row, channel, column). */
static void extend_query(float *to, const float *query, int C, int H, int W, int h, int wrap) {
    for (int row = -h - H; row < H + h; row++)
        for (int c = 0; c < C; c++)
            for (int col = -h - W; col < W + h; col++) {
                const int inside = row >= 0 && row < H && col >= 0 && col < W;
                *to++ = inside || wrap ? query[(c * H + modulo(row, H)) * W + modulo(col, W)] : 0;
            }
}

/* Empty the lanes into double sums, so that float sums stay short (one tile), and tighten the cutoff:
 * what is neglected weighs at most 2^-margin of the largest weight times the number of candidates, and
 * now that the sum is known, of the sum. */
static void flush(const Job *job, float margin) {
    const int pixels = job->height * job->width, n = 1 + job->channels;
    for (int p = 0; p < pixels; p++) {
        float *lanes = job->lanes + (size_t)p * n * LANES;
        for (int i = 0; i < n; i++) {
            double sum = 0;
            for (int l = 0; l < LANES; l++) sum += lanes[i * LANES + l];
            job->sums[(size_t)i * pixels + p] += sum;
        }
        memset(lanes, 0, sizeof(float) * n * LANES);
        if (job->sums[p] > 0) {
            const float cutoff = job->nearest[p] + margin - (float)log2(job->sums[p]);
            if (cutoff < job->cutoff[p]) job->cutoff[p] = cutoff;
        }
    }
}

static void *aligned(void *pointer) { return (void *)(((uintptr_t)pointer + 63) & ~(uintptr_t)63); }

API int native_lanes(void) { return LANES; }

/* Add training images [first, last) of a bank (count, C, H, W), float or bytes, to the state of the
 * queries (queries, C, H, W). State: nearest and cutoff (queries, H, W), sums (queries, 1 + C, H, W);
 * to begin, nearest and cutoff hold 3e38 and sums 0. Returns 0, or 1 when memory is short. */
API int native_accumulate(const float *queries, int n_queries, const void *bank, int bytes, int64_t first,
                          int64_t last, float scale, float far_away, int C, int H, int W, int patch,
                          int mode, int equivariant, float margin, float *nearest, float *cutoff,
                          double *sums) {
    const int h = patch / 2, wrap = mode != ZEROS;
    const int vcols = W + 2 * h, xcols = 2 * W + 2 * h;
    const size_t pixels = (size_t)H * W;
    const size_t tile_size = (size_t)(H + 2 * h) * C * vcols * TILE;
    const size_t query_size = (size_t)(2 * H + 2 * h) * C * xcols;
    const size_t windows_size = (size_t)BLOCK * (vcols + BLOCK) * TILE;
    const size_t lanes_size = pixels * (1 + C) * LANES;
    float *memory = calloc(tile_size + windows_size + lanes_size + n_queries * query_size + 16, 4);
    if (!memory) return 1;
    float *tile = aligned(memory), *windows = tile + tile_size, *lanes = windows + windows_size;
    float *extended = lanes + lanes_size;
    for (int b = 0; b < n_queries; b++)
        extend_query(extended + b * query_size, queries + b * C * pixels, C, H, W, h, wrap);
    for (int64_t image = first; image < last; image += TILE) {
        fill_tile(tile, bank, bytes, image, last, scale, far_away, C, H, W, h, wrap);
        for (int b = 0; b < n_queries; b++) {
            const Job job = {
                .channels = C, .height = H, .width = W, .patch = patch, .vcols = vcols, .xcols = xcols,
                .query = extended + b * query_size + ((size_t)(H + h) * C) * xcols + W + h,
                .tile = tile + ((size_t)h * C * vcols + h) * TILE,
                .lanes = lanes, .nearest = nearest + b * pixels, .cutoff = cutoff + b * pixels,
                .sums = sums + b * (1 + C) * pixels, .windows = (vf *)windows,
            };
            all_shifts(&job, mode, equivariant, margin);
            flush(&job, margin);
        }
    }
    free(memory);
    return 0;
}
