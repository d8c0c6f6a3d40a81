/* Exact posterior sums over all training patches, on the CPU.
 *
 * The weight of a candidate patch is 2^-D with D = |xs - ys|^2 summed over the patch, where the query xs
 * and the bank ys come in units that absorb 1/(2 s2), sqrt(alpha_bar) and log2(e). For one shift between
 * query position p and bank position q = p + shift, D over all p is a box filter of the squared
 * differences of two images; here that filter runs for a tile of training images at a time, one image
 * a lane of the vector registers. Where patches are large, loading the tile over and over is what takes
 * the time, so that one load serves two shifts.
 *
 * The box filter only ever adds non-negative terms. Running sums would save a few additions a pixel, but
 * the terms that they add and take away again can be 10^5 times larger than the distance that is left,
 * and their rounding errors stay behind. Instead, four neighbouring windows share their common core and
 * extend it to both sides (window_sums below): no cancellation, so D is right to a few parts in 10^7.
 * Distances are kept relative to EXPECTED * (terms), about what they are if only noise sets the images
 * apart, so that float32 has digits left for the differences between near candidates.
 *
 * Images of digits or clothes lie on a ground of one value, and patches of nothing but ground are all
 * alike: they are counted, not compared, and the caller adds them with one weight.
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

/* A tile holds vecs * LANES training images: two vectors share the query's loads and the accumulators,
 * but the rows of the tile that one window needs must stay in the first cache. */
#define MOST_VECS 2
#define SHIFTS 2    /* column shifts that share loads of a tile, where terms are many; at most MOST_VECS */
#define BLOCK 4     /* windows that share a core, horizontally */
#define MOST_ROWS 8 /* the same vertically */
#define COLUMNS(W, P) (((W) + (P) - 1) | 1) /* of a tile; odd, lest rows compete for one place in a cache */
#define EXPECTED 0.7213475f /* of each squared difference, if it is noise alone: log2(e) / 2 */
#define NEVER 3e38f         /* the reference distance before the first candidate */

#define INLINE static inline __attribute__((always_inline))
#define API __attribute__((visibility("default")))

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));

INLINE vf splat(float a) { return a - (vf){0}; }

/* The few operations that compilers do not derive from vector types. A `mask` is what a comparison
 * gives: bits of a mask register, or all-ones and all-zeros lanes. scaled(p, n) is p 2^n for integers
 * n <= 0. */
#if LANES == 16
typedef __mmask16 mask;
INLINE mask below(vf a, float b) {
    return _mm512_cmp_ps_mask((__m512)a, _mm512_set1_ps(b), _CMP_LT_OQ);
}
INLINE mask either(mask a, mask b) { return _kor_mask16(a, b); }
INLINE int any(mask m) { return !_kortestz_mask16_u8(m, m); }
INLINE vf vmin(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE vf nearest_integer(vf a) { return (vf)_mm512_roundscale_ps((__m512)a, 0); }
INLINE vf scaled(vf p, vf n) { return (vf)_mm512_scalef_ps((__m512)p, (__m512)n); }
#else
typedef vi mask;
INLINE mask below(vf a, float b) { return a < splat(b); }
INLINE mask either(mask a, mask b) { return a | b; }
#if LANES == 8
INLINE int any(mask m) { return _mm256_movemask_ps((__m256)m) != 0; }
INLINE vf vmin(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
#elif defined(__SSE2__)
INLINE int any(mask m) { return _mm_movemask_ps((__m128)m) != 0; }
INLINE vf vmin(vf a, vf b) { return (vf)_mm_min_ps((__m128)a, (__m128)b); }
#elif defined(__aarch64__)
INLINE int any(mask m) { return vmaxvq_u32((uint32x4_t)m) != 0; }
INLINE vf vmin(vf a, vf b) { return (vf)vminq_f32((float32x4_t)a, (float32x4_t)b); }
#else
INLINE int any(mask m) { return (m[0] | m[1] | m[2] | m[3]) != 0; }
INLINE vf vmin(vf a, vf b) {
    const vi less = a < b;
    return (vf)(((vi)a & less) | ((vi)b & ~less));
}
#endif
INLINE vf nearest_integer(vf a) { /* for |a| < 2^22; what it gives beyond, scaled() takes to 0 */
    const vf shifter = splat(12582912.0f); /* 1.5 * 2^23 */
    return (a + shifter) - shifter;
}
INLINE vf scaled(vf p, vf n) {
    const vi normal = n > splat(-120.0f); /* beyond: 0 */
    return (vf)((((vi)p + (__builtin_convertvector(n, vi) << 23))) & normal);
}
#endif

/* t[i] becomes 2^t[i], for t <= 0; relative error below 3e-6. Stage by stage over n vectors, so that
 * their chains of dependent operations overlap. */
INLINE void exp2_nonpositive(int n, vf *t) {
    vf integer[MOST_VECS], p[MOST_VECS];
#define STAGE for (int i = 0; i < n; i++)
    STAGE integer[i] = nearest_integer(t[i]);
    STAGE t[i] = t[i] - integer[i]; /* the fraction, in [-1/2, 1/2] */
    STAGE p[i] = splat(0.00957010191f) * t[i] + splat(0.0559178603f); /* minimax, relative error */
    STAGE p[i] = p[i] * t[i] + splat(0.240247448f);
    STAGE p[i] = p[i] * t[i] + splat(0.693121815f);
    STAGE p[i] = p[i] * t[i] + splat(0.999999261f);
    STAGE t[i] = scaled(p[i], integer[i]);
#undef STAGE
}

/* One query, its running sums, and the tile of training images at hand. Positions: p in the query, q in
 * the bank, q = p + (dy, dx). Images carry h pixels of border (zeros or wrapped). */
typedef struct {
    int channels, height, width, patch;
    const float *query;  /* at position (0, 0), channel 0; layout (row, channel, column) */
    const float *tile;   /* at position (0, 0), channel 0; layout (row, channel, column, image) */
    float *lanes;        /* (height * width, 1 + channels, LANES): sums of weights and weighted values */
    float *nearest;      /* (height * width): smallest distance so far; weights are relative to it */
    float *cutoff;       /* (height * width): candidates beyond it are neglected */
    double *sums;        /* (1 + channels, height * width): what earlier tiles left */
    vf *windows;         /* (SHIFTS, MOST_ROWS, COLUMNS + BLOCK, vecs): vertical sums of a block of rows */
    float margin;        /* the cutoff lies this far beyond the nearest */
    const int *extents;  /* (height, 2): columns [from, to) of each row outside which the tile is ground */
    int wraps;           /* whether windows go on at the other side */
    int *grounds;        /* (height, width + 1): changes along a row of the number of grounds, an image */
    double *counts;      /* (height * width): candidates that are ground, so far */
    const float *ground; /* (height * width): their distance */
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
    if (nearest + job->margin < job->cutoff[p]) job->cutoff[p] = nearest + job->margin;
}

/* Add the candidates of `n` neighbouring position pairs, the first at p in the query; `centre` points
 * at their central pixels in the tile. */
INLINE void absorb(const Job *job, int channels, int vecs, int vcols, int p, int n,
                   vf distance[BLOCK][MOST_VECS], const float *centre) {
    vf nearest[BLOCK];
    mask counts = {0}, record = {0};
    for (int i = 0; i < n; i++) {
        nearest[i] = distance[i][0];
        for (int k = 1; k < vecs; k++) nearest[i] = vmin(nearest[i], distance[i][k]);
        counts = either(counts, below(nearest[i], job->cutoff[p + i]));
    }
    if (!any(counts)) return;
    for (int i = 0; i < n; i++)
        record = either(record, below(nearest[i], job->nearest[p + i]));
    if (any(record))
        for (int i = 0; i < n; i++)
            if (any(below(nearest[i], job->nearest[p + i]))) lower_reference(job, p + i, nearest[i]);

    for (int i = 0; i < n; i++) {
        vf *sum = (vf *)job->lanes + (ptrdiff_t)(p + i) * (1 + channels);
        vf weight[MOST_VECS], total = {0};
        for (int k = 0; k < vecs; k++) weight[k] = splat(job->nearest[p + i]) - distance[i][k];
        exp2_nonpositive(vecs, weight);
        for (int k = 0; k < vecs; k++) total += weight[k];
        sum[0] += total;
        for (int c = 0; c < channels; c++) {
            const vf *value = (const vf *)(centre + ((ptrdiff_t)c * vcols + i) * vecs * LANES);
            vf weighted = sum[1 + c];
            for (int k = 0; k < vecs; k++) weighted += weight[k] * value[k];
            sum[1 + c] = weighted;
        }
    }
}

/* Sums over n neighbouring windows of length P, for `each` vector k of a pixel:
 * out[i][k] = start + term(i) + ... + term(i + P - 1), n = 1, 2, 4. TERM_ADD(j, k, s) is term(j) + s.
 * Their common core is summed once, then extended to the right (running forwards) and to the left
 * (running backwards): P + n - 1 terms and n - 1 further additions. Windows shorter than n are done in
 * parts. */
#define EACH for (int k_ = 0; k_ < each; k_++)
#define WINDOW_SUMS(P, n, first, start, out, TERM_ADD)                                     \
    do {                                                                                   \
        vf right_[MOST_VECS], left_[MOST_VECS];                                            \
        EACH right_[k_] = start;                                                           \
        EACH left_[k_] = (vf){0};                                                          \
        for (int j_ = (n) - 1; j_ < (P); j_++)                                             \
            EACH right_[k_] = TERM_ADD((first) + j_, k_, right_[k_]);                      \
        EACH out[first][k_] = right_[k_];                                                  \
        for (int i_ = 1; i_ < (n); i_++)                                                   \
            EACH out[(first) + i_][k_] = right_[k_] =                                      \
                TERM_ADD((first) + (P) - 1 + i_, k_, right_[k_]);                          \
        for (int i_ = (n) - 2; i_ >= 0; i_--) {                                            \
            EACH left_[k_] = TERM_ADD((first) + i_, k_, left_[k_]);                        \
            EACH out[(first) + i_][k_] += left_[k_];                                       \
        }                                                                                  \
    } while (0)
#define PART(P, n) ((P) >= (n) ? (n) : (P) >= 4 ? 4 : (P) >= 2 ? 2 : 1)
#define ALL_WINDOW_SUMS(P, n, start, out, TERM_ADD)                                        \
    do {                                                                                   \
        _Pragma("GCC unroll 8") for (int f_ = 0; f_ < (n); f_ += PART(P, n))               \
            WINDOW_SUMS(P, PART(P, n), f_, start, out, TERM_ADD);                          \
    } while (0)

/* Vertical window sums of squared differences, `rows` output rows, columns [0, cols) of the tile, for column
 * shifts that follow one another; tile and query point at the first row and column of the first window of
 * the first shift. At once are done either the vectors of a pixel, which share the query's load, or one
 * vector for all shifts, which share the tile's. */
INLINE void vertical(const Job *job, int P, int channels, int vecs, int width, int rows, int shifts,
                     const float *tile, const float *query, int cols) {
    const int vcols = COLUMNS(width, P), xcols = 2 * width + P - 1;
    const ptrdiff_t plane = (ptrdiff_t)vcols * vecs * LANES, trow = channels * plane;
    const ptrdiff_t xrow = (ptrdiff_t)channels * xcols;
    const ptrdiff_t pitch = (ptrdiff_t)(vcols + BLOCK) * vecs;
    const int vectors = shifts == 1 ? vecs : 1, each = shifts * vectors;
    const vf start = splat(-EXPECTED * P * channels);
    vf *to = job->windows;
    for (int i = 0; i < cols * vecs; i += vectors, tile += vectors * LANES, to += vectors) {
        const float *pixel = query + i / vecs;
#define SQUARES(j, k, s)                                                                             \
    ({                                                                                               \
        vf s_ = (s);                                                                                 \
        for (int c_ = 0; c_ < channels; c_++) {                                                      \
            vf d_ = splat(pixel[(j) * xrow + c_ * xcols - (k) / vectors]) -                          \
                    ((const vf *)(tile + (j) * trow + c_ * plane))[(k) % vectors];                   \
            s_ = d_ * d_ + s_;                                                                       \
        }                                                                                            \
        s_;                                                                                          \
    })
        vf out[MOST_ROWS][MOST_VECS];
        ALL_WINDOW_SUMS(P, rows, start, out, SQUARES);
        for (int r = 0; r < rows; r++)
            for (int k = 0; k < each; k++)
                to[(k / vectors * MOST_ROWS + r) * pitch + k % vectors] = out[r][k];
    }
}

/* Horizontal window sums along one row, then weights: `count` pixels from p on; `centre` is the tile's
 * pixel that faces p. */
INLINE void horizontal(const Job *job, int P, int channels, int vecs, int width, const vf *windows,
                       int p, int count, const float *centre) {
    const int each = vecs;
    for (int col = 0; col < count; col += BLOCK) {
#define WINDOW(j, k, s) (windows[(j) * vecs + (k)] + (s))
        vf distance[BLOCK][MOST_VECS];
        ALL_WINDOW_SUMS(P, BLOCK, (vf){0}, distance, WINDOW);
        if (count - col >= BLOCK)
            absorb(job, channels, vecs, COLUMNS(width, P), p + col, BLOCK, distance, centre);
        else
            for (int i = 0; i < count - col; i++)
                absorb(job, channels, vecs, COLUMNS(width, P), p + col + i, 1, &distance[i],
                       centre + i * vecs * LANES);
        windows += BLOCK * vecs;
        centre += BLOCK * vecs * LANES;
    }
}

/* The columns [from, to) of bank rows [y, y + rows) at which a window sees more than ground. */
INLINE void seen(const Job *job, int h, int W, int rows, int y, int *from, int *to) {
    const int H = job->height;
    int first = W, last = 0;
    for (int row = y - h; row < y + rows + h; row++) {
        if (!job->wraps && (row < 0 || row >= H)) continue;
        const int *extent = job->extents + 2 * (((row % H) + H) % H);
        first = extent[0] < first ? extent[0] : first;
        last = extent[1] > last ? extent[1] : last;
    }
    const int beyond = job->wraps && (first < h || last + h > W); /* seen from the other side as well */
    *from = first >= last ? W : beyond ? 0 : first - h;
    *to = first >= last ? W : beyond ? W : last + h;
}

/* Count the bank columns [from, to) of a query row as ground for the query columns that dx pairs. */
INLINE void count_ground(const Job *job, int W, int row, int dx, int from, int to) {
    int *grounds = job->grounds + (ptrdiff_t)row * (W + 1);
    if (from >= to) return;
    if (from < dx) { /* query columns run up to the edge and go on at column 0 */
        grounds[from - dx + W]++;
        grounds[to < dx ? to - dx + W : W]--;
        from = dx;
    }
    if (from >= to) return;
    grounds[from - dx]++;
    grounds[to - dx]--;
}

/* The loops that take the time, with patch size, channels and width as constants where that pays; what calls
 * them is compiled once. */
typedef void vertical_function(const Job *, const float *tile, const float *query, int cols);
typedef void horizontal_function(const Job *, const vf *windows, int p, int count, const float *centre);
typedef struct {
    int patch, channels, width; /* 0: any */
    int vecs;
    vertical_function *vertical[SHIFTS][4]; /* of at least 1, 2, 4 and 8 rows; NULL where not shared */
    horizontal_function *horizontal;
} Kernel;

/* CHEAP or, where terms are many, so that sharing loads and sums pays, DEAR: (patch, channels, width), 0 for
 * any. The first that fits is taken. Processors of before 2013 make do with the general ones, which take a
 * fifth of the time to compile. */
#if defined(__x86_64__) && LANES == 4
#define SPECIAL(CHEAP, DEAR)
#else
#define SPECIAL(CHEAP, DEAR)                                                                          \
    CHEAP(3, 1, 32) CHEAP(5, 1, 32) CHEAP(7, 1, 32)                                                   \
    DEAR(9, 1, 32) DEAR(11, 1, 32) DEAR(13, 1, 32) DEAR(15, 1, 32) DEAR(17, 1, 32)                    \
    CHEAP(3, 3, 32) DEAR(5, 3, 32) DEAR(7, 3, 32) DEAR(9, 3, 32) DEAR(11, 3, 32) DEAR(13, 3, 32)      \
    DEAR(15, 3, 32) DEAR(17, 3, 32)
#endif
#define KERNELS(CHEAP, DEAR)                                                                          \
    SPECIAL(CHEAP, DEAR)                                                                              \
    CHEAP(1, 0, 0) CHEAP(3, 0, 0) DEAR(0, 1, 0) DEAR(0, 3, 0) DEAR(0, 0, 0)
#define VECS(width) ((width) ? MOST_VECS : 1)
#define CONSTANTS(P, C, W) (P) ? (P) : job->patch, (C) ? (C) : job->channels, VECS(W), (W) ? (W) : job->width

#define VERTICAL(P, C, W, rows, shifts)                                                               \
    static void vertical_##P##_##C##_##rows##_##shifts(const Job *job, const float *tile,             \
                                                       const float *query, int cols) {                \
        vertical(job, CONSTANTS(P, C, W), rows, shifts, tile, query, cols);                           \
    }
#define HORIZONTAL(P, C, W)                                                                           \
    static void horizontal_##P##_##C(const Job *job, const vf *windows, int p, int count,             \
                                     const float *centre) {                                           \
        horizontal(job, CONSTANTS(P, C, W), windows, p, count, centre);                               \
    }
#define CHEAP(P, C, W)                                                                                \
    HORIZONTAL(P, C, W) VERTICAL(P, C, W, 1, 1) VERTICAL(P, C, W, 2, 1) VERTICAL(P, C, W, 4, 1)
#define DEAR(P, C, W)                                                                                 \
    HORIZONTAL(P, C, W) VERTICAL(P, C, W, 8, 1) VERTICAL(P, C, W, 4, 2) VERTICAL(P, C, W, 8, 2)
KERNELS(CHEAP, DEAR)
#undef CHEAP
#undef DEAR

static const Kernel kernels[] = {
#define OF(P, C, rows, shifts) vertical_##P##_##C##_##rows##_##shifts
#define CHEAP(P, C, W)                                                                                \
    {P, C, W, VECS(W), {{OF(P, C, 1, 1), OF(P, C, 2, 1), OF(P, C, 4, 1)}}, horizontal_##P##_##C},
#define FOUR(f, last) {f, f, f, last}
#define DEAR(P, C, W)                                                                                 \
    {P, C, W, VECS(W),                                                                                \
     {FOUR(OF(P, C, 8, 1), OF(P, C, 8, 1)), FOUR(OF(P, C, 4, 2), OF(P, C, 8, 2))},                    \
     horizontal_##P##_##C},
    KERNELS(CHEAP, DEAR)};

static const Kernel *choose(int patch, int channels, int width) {
    const Kernel *kernel = kernels;
    while ((kernel->patch && kernel->patch != patch) ||
           (kernel->channels && kernel->channels != channels) ||
           (kernel->width && kernel->width != width))
        kernel++;
    return kernel;
}

/* Bank columns x0 <= q < x1 that a shift by dx pairs with query columns q - dx, modulo the width. */
typedef struct {
    int dx, x0, x1;
} Shift;

/* Bank rows [y, y + used) and all column shifts, which follow one another. The sums are of 2^log_rows windows,
 * at least as many, so that their number is a constant. */
static void row_block(const Job *job, const Kernel *kernel, int log_rows, int used, int y, int dy,
                      const Shift *shifts, int n_shifts) {
    const int P = job->patch, h = P / 2, W = job->width, H = job->height;
    const int vecs = kernel->vecs, pixel = vecs * LANES, vcols = COLUMNS(W, P);
    const int together = kernel->vertical[SHIFTS - 1][0] ? SHIFTS : 1;
    const ptrdiff_t trow = (ptrdiff_t)job->channels * vcols * pixel;
    const ptrdiff_t xrow = (ptrdiff_t)job->channels * (2 * W + P - 1);
    int from_seen, to_seen, rows_of_query[MOST_ROWS];
    seen(job, h, W, used, y, &from_seen, &to_seen);
    for (int r = 0; r < used; r++) rows_of_query[r] = y + r - dy < 0 ? y + r - dy + H : y + r - dy;
    for (int s = 0; s < n_shifts; s += together) {
        const int each = n_shifts - s < together ? n_shifts - s : together;
        int x0[SHIFTS], x1[SHIFTS], first = W, last = 0; /* columns of each shift, and of any */
        for (int k = 0; k < each; k++) {
            const int dx = shifts[s + k].dx, from_all = shifts[s + k].x0, to_all = shifts[s + k].x1;
            const int from = from_seen < from_all ? from_all : from_seen < to_all ? from_seen : to_all;
            const int whole = from + (to_seen - from + BLOCK - 1) / BLOCK * BLOCK; /* where there is room */
            const int to = to_seen <= from ? from : whole < to_all ? whole : to_all;
            if (from > from_all || to < to_all)
                for (int r = 0; r < used; r++) {
                    count_ground(job, W, rows_of_query[r], dx, from_all, from);
                    count_ground(job, W, rows_of_query[r], dx, to, to_all);
                }
            if (from < to && from < first) first = from;
            if (from < to && to > last) last = to;
            x0[k] = from, x1[k] = to;
        }
        if (first >= last) continue;
        const float *tile = job->tile + (y - h) * trow + (first - h) * pixel;
        const float *query = job->query + (y - dy - h) * xrow + (first - shifts[s].dx - h);
        kernel->vertical[each - 1][log_rows](job, tile, query, last - first + 2 * h);
        for (int k = 0; k < each; k++)
            for (int r = 0; r < used; r++) {
                const int dx = shifts[s + k].dx;
                const vf *windows = job->windows + (ptrdiff_t)(k * MOST_ROWS + r) * (vcols + BLOCK) * vecs;
                const float *centre = job->tile + (y + r) * trow;
                for (int from = x0[k], to; from < x1[k]; from = to) {
                    const int wrapped = from < dx; /* query columns run to the edge, go on at column 0 */
                    to = wrapped && dx < x1[k] ? dx : x1[k];
                    kernel->horizontal(job, windows + (from - first) * vecs,
                                       rows_of_query[r] * W + from - dx + (wrapped ? W : 0), to - from,
                                       centre + (ptrdiff_t)from * pixel);
                }
            }
    }
}

/* Bank rows [y0, y1), paired with query rows dy above, modulo the height. */
static void rows(const Job *job, const Kernel *kernel, int y0, int y1, int dy, const Shift *shifts, int n) {
    const int most = kernel->vertical[0][3] ? 3 : 2;
    for (int y = y0; y < y1;) {
        int log_rows = most; /* least that hold what is left */
        while (log_rows && 1 << (log_rows - 1) >= y1 - y) log_rows--;
        const int used = 1 << log_rows < y1 - y ? 1 << log_rows : y1 - y;
        row_block(job, kernel, log_rows, used, y, dy, shifts, n);
        y += used;
    }
}

/* Add the squared differences of rows [y0, y1) to the vertical sums of columns [x0 - h, x1 + h). */
INLINE void add_rows(const Job *job, int vecs, int y0, int y1, Shift shift) {
    const int P = job->patch, h = P / 2, W = job->width, channels = job->channels;
    const int pixel = vecs * LANES, vcols = COLUMNS(W, P), xcols = 2 * W + P - 1;
    const int cols = shift.x1 - shift.x0 + 2 * h;
    for (int y = y0; y < y1; y++)
        for (int c = 0; c < channels; c++) {
            const vf *tile =
                (const vf *)(job->tile + (((ptrdiff_t)y * channels + c) * vcols + shift.x0 - h) * pixel);
            const float *query =
                job->query + ((ptrdiff_t)y * channels + c) * xcols + shift.x0 - shift.dx - h;
            vf *sum = job->windows;
            for (int col = 0; col < cols; col++, tile += vecs, sum += vecs)
                for (int k = 0; k < vecs; k++) {
                    const vf d = splat(query[col]) - tile[k];
                    sum[k] = d * d + sum[k];
                }
        }
}

/* The rows whose patches cut the upper or lower border of a broken boundary. Beyond the border there is
 * nothing to add, so that going inwards each row of windows has one row of terms more than the last. */
INLINE void border_rows(const Job *job, const Kernel *kernel, int vecs, const Shift *shifts, int n) {
    const int P = job->patch, h = P / 2, W = job->width, H = job->height, channels = job->channels;
    const int top = h < H ? h : H, bottom = H - h > top ? H - h : top, vcols = COLUMNS(W, P);
    for (int s = 0; s < n; s++) {
        const Shift shift = shifts[s];
        const vf start = splat(-EXPECTED * P * channels);
        for (int side = 0; side < 2; side++) {
            for (int i = 0; i < (shift.x1 - shift.x0 + 2 * h) * vecs; i++) job->windows[i] = start;
            if (side == 0) add_rows(job, vecs, 0, top, shift);
            else add_rows(job, vecs, H - top, H, shift);
            for (int i = 0; i < (side == 0 ? top : H - bottom); i++) {
                const int y = side == 0 ? i : H - 1 - i, next = side == 0 ? y + h : y - h;
                if (0 <= next && next < H) add_rows(job, vecs, next, next + 1, shift);
                kernel->horizontal(job, job->windows, y * W + shift.x0 - shift.dx, shift.x1 - shift.x0,
                                   job->tile + ((ptrdiff_t)y * channels * vcols + shift.x0) * vecs * LANES);
            }
        }
    }
}

static int modulo(int a, int n) { return (a % n + n) % n; }
static int min(int a, int b) { return a < b ? a : b; }
static int max(int a, int b) { return a > b ? a : b; }

/* Which candidates a query pixel has; the values are those of patchmosaic/engines/native.py. */
enum { ZEROS = 0, WRAPPED = 1, INTERIOR = 2 };

/* Positions q of one axis that a shift d pairs with query positions. In the broken boundary, pairs cut
 * the border alike: unshifted, all positions; shifted, both interior. */
static void axis(int mode, int size, int h, int d, int *from, int *to) {
    if (mode == ZEROS) {
        *from = d ? max(h, h + d) : 0;
        *to = d ? min(size - h, size - h + d) : size;
    } else {
        *from = mode == INTERIOR ? h : 0;
        *to = size - *from;
    }
}

/* The shifts along one axis, for which there are pairs; returns how many. */
static int all_columns(int mode, int size, int h, Shift *shifts) {
    int n = 0, from, to;
    for (int d = mode == ZEROS ? 1 - size : 0; d < size; d++) {
        axis(mode, size, h, d, &from, &to);
        if (from < to) shifts[n++] = (Shift){d, from, to};
    }
    return n;
}

/* All relative shifts of one query and one tile, for the query rows [row, row_end). */
static void all_shifts(const Job *job, const Kernel *kernel, int mode, int equivariant, int row, int row_end,
                       Shift *shifts) {
    const int h = job->patch / 2, H = job->height;
    if (!equivariant) {
        shifts[0] = (Shift){0, 0, job->width};
        rows(job, kernel, row, row_end, 0, shifts, 1);
        return;
    }
    const int n = all_columns(mode, job->width, h, shifts);
    for (int dy = mode == ZEROS ? 1 - H : 0; dy < H; dy++) {
        int from, to;
        axis(mode, H, h, dy, &from, &to);
        for (int turn = 0; turn < (mode == ZEROS ? 1 : 2); turn++) { /* past the last row, on at row 0 */
            const int y0 = max(from, row + dy - turn * H), y1 = min(to, row_end + dy - turn * H);
            if (y0 < y1) rows(job, kernel, y0, y1, dy, shifts, n);
        }
    }
}

/* Training images [first, first + lanes) as (row, channel, column, lane), scaled, with borders. Lanes
 * beyond the last image get a value so far away that their weights vanish. Of a broken boundary's border
 * rows alone, what lies between is left out. `transposed`: rows and columns of the bank change places. */
static void fill_tile(float *tile, int lanes, const void *bank, int bytes, int64_t first, int64_t count,
                      float scale, float far_away, int C, int H, int W, int h, int wrap, int border,
                      int transposed) {
    const int64_t image = (int64_t)C * H * W, along = transposed ? H : 1, across = transposed ? 1 : W;
    for (int row = -h; row < H + h; row++)
        for (int c = 0; c < C; c++, tile += COLUMNS(W, 2 * h + 1) * lanes) {
            const int inside = row >= 0 && row < H;
            if (border && (!inside || (row >= 2 * h && row < H - 2 * h))) continue;
            if (!wrap) memset(tile, 0, sizeof(float) * (W + 2 * h) * lanes);
            if (!inside && !wrap) continue;
            const int from = wrap ? -h : 0, to = wrap ? W + h : W;
            const int64_t at = (int64_t)c * H * W + modulo(row, H) * across;
            for (int lane = 0; lane < lanes; lane++) {
                const int64_t start = (first + lane) * image + at;
                float *pixel = tile + (h + from) * lanes + lane;
                for (int col = from; col < to; col++, pixel += lanes) {
                    const int64_t place = start + (wrap ? modulo(col, W) : col) * along;
                    if (first + lane >= count) *pixel = far_away;
                    else if (bytes) *pixel = (((const uint8_t *)bank)[place] / 127.5f - 1) * scale;
                    else *pixel = ((const float *)bank)[place] * scale;
                }
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

/* The logarithm of a normal number, rounded down. */
static int whole_log2(double a) {
    int64_t bits;
    memcpy(&bits, &a, sizeof bits);
    return (int)(bits >> 52) - 1023;
}

/* Empty the lanes into double sums, so that float sums stay short (one tile), and the grounds of a tile of
 * so many images into counts, and tighten the cutoff: what is neglected weighs at most 2^-margin of the
 * largest weight times the number of candidates, and now that the sum is known, of the sum. */
static void flush(const Job *job, int row, int row_end, int images) {
    const int pixels = job->height * job->width, n = 1 + job->channels;
    int grounds = 0, *change = job->grounds + (ptrdiff_t)row * (job->width + 1);
    for (int p = row * job->width; p < row_end * job->width; p++) {
        grounds += *change;
        *change++ = 0;
        job->counts[p] += (double)grounds * images;
        if ((p + 1) % job->width == 0) {
            grounds = 0;
            *change++ = 0;
        }
        if (job->counts[p] > 0) {
            const float cutoff = job->ground[p] + job->margin - (float)whole_log2(job->counts[p]);
            if (cutoff < job->cutoff[p]) job->cutoff[p] = cutoff;
        }
        float *lanes = job->lanes + (size_t)p * n * LANES;
        for (int i = 0; i < n; i++) {
            double sum[LANES / 2];
            for (int l = 0; l < LANES / 2; l++)
                sum[l] = (double)lanes[i * LANES + l] + lanes[i * LANES + LANES / 2 + l];
            for (int half = LANES / 4; half; half /= 2)
                for (int l = 0; l < half; l++) sum[l] += sum[l + half];
            job->sums[(size_t)i * pixels + p] += sum[0];
        }
        memset(lanes, 0, sizeof(float) * n * LANES);
        if (job->sums[p] > 0) {
            const float cutoff = job->nearest[p] + job->margin - (float)whole_log2(job->sums[p]);
            if (cutoff < job->cutoff[p]) job->cutoff[p] = cutoff;
        }
    }
}

/* Numbers too small for all their digits count for nothing here, but a processor may take a hundred times as
 * long over them. From here to the end of the block that says FLUSH_SUBNORMALS they are 0, in this thread. */
static uint64_t flush_subnormals(void) {
    uint64_t before = 0;
#if defined(__SSE2__)
    before = _mm_getcsr();
    _mm_setcsr((unsigned)before | 0x8040); /* results, and what they are computed from */
#elif defined(__aarch64__)
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | 1 << 24));
#endif
    return before;
}
static void restore_subnormals(const uint64_t *before) {
#if defined(__SSE2__)
    _mm_setcsr((unsigned)*before);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(*before));
#else
    (void)before;
#endif
}
#define FLUSH_SUBNORMALS \
    __attribute__((cleanup(restore_subnormals), unused)) const uint64_t before_ = flush_subnormals()

static void *aligned(void *pointer) { return (void *)(((uintptr_t)pointer + 63) & ~(uintptr_t)63); }

API int native_lanes(void) { return LANES; }

/* Add training images [first, last) of a bank (count, C, H, W), float or bytes, to the state of the
 * queries (queries, C, H, W), for the query rows [row, row_end), or for a broken boundary with `border` those
 * rows whose patches cut the upper or lower border. `transposed`: rows and columns of the bank change places,
 * and H and W are those of queries and state. State: nearest and cutoff (queries, H, W), sums (queries,
 * 1 + C, H, W), counts (queries, H, W); to begin, nearest and cutoff hold 3e38, sums and counts 0.
 *
 * `extents` (count, H, 2): columns [from, to) of each row of each image outside which there is only ground;
 * `ground` (queries, H, W): distances of patches of nothing else. Such candidates may be counted instead
 * of added. Without extents, and with `border`, all are added. Returns 0, or 1 when memory is short. */
API int native_accumulate(const float *queries, int n_queries, const void *bank, int bytes, int64_t first,
                          int64_t last, float scale, float far_away, int C, int H, int W, int patch,
                          int mode, int equivariant, int border, int transposed, int row, int row_end,
                          float margin, const int16_t *extents, const float *ground, float *nearest,
                          float *cutoff, double *sums, double *counts) {
    FLUSH_SUBNORMALS;
    const int h = patch / 2, wrap = mode != ZEROS;
    const Kernel *kernel = choose(patch, C, W);
    const int group = kernel->vecs * LANES;
    const int vcols = COLUMNS(W, patch), xcols = 2 * W + 2 * h;
    const size_t pixels = (size_t)H * W;
    const size_t tile_size = (size_t)(H + 2 * h + MOST_ROWS) * C * vcols * group; /* rows beyond: unused */
    /* A second shift, where it has no pairs, may read a column before a row: another row, or rows unused. */
    const size_t query_size = (size_t)(2 * H + 2 * h + MOST_ROWS) * C * xcols;
    const size_t windows_size = (size_t)SHIFTS * MOST_ROWS * (vcols + BLOCK) * group;
    const size_t lanes_size = pixels * (1 + C) * LANES;
    float *memory = calloc(tile_size + windows_size + lanes_size + n_queries * query_size + 16, 4);
    Shift *shifts = malloc((2 * W + 2) * sizeof(Shift));
    int *grounds = calloc((size_t)H * (W + 1) + 2 * H, sizeof(int)), *seen_columns = grounds + H * (W + 1);
    if (!memory || !shifts || !grounds) {
        free(memory);
        free(shifts);
        free(grounds);
        return 1;
    }
    float *tile = aligned(memory), *windows = tile + tile_size, *lanes = windows + windows_size;
    float *extended = lanes + lanes_size;
    for (int b = 0; b < n_queries; b++)
        extend_query(extended + b * query_size, queries + b * C * pixels, C, H, W, h, wrap);
    for (int64_t image = first; image < last; image += group) {
        fill_tile(tile, group, bank, bytes, image, last, scale, far_away, C, H, W, h, wrap, border,
                  transposed);
        const int images = min(group, (int)(last - image));
        for (int row = 0; row < H; row++) {
            int *extent = seen_columns + 2 * row, known = extents && !border;
            extent[0] = known ? W : 0;
            extent[1] = known ? 0 : W;
            for (int i = 0; known && i < images; i++) {
                const int16_t *own = extents + ((image + i) * H + row) * 2;
                extent[0] = min(extent[0], own[0]);
                extent[1] = max(extent[1], own[1]);
            }
        }
        for (int b = 0; b < n_queries; b++) {
            const Job job = {
                .channels = C, .height = H, .width = W, .patch = patch,
                .query = extended + b * query_size + ((size_t)(H + h) * C) * xcols + W + h,
                .tile = tile + ((size_t)h * C * vcols + h) * group,
                .lanes = lanes, .nearest = nearest + b * pixels, .cutoff = cutoff + b * pixels,
                .sums = sums + b * (1 + C) * pixels, .windows = (vf *)windows, .margin = margin,
                .extents = seen_columns, .wraps = wrap, .grounds = grounds,
                .counts = counts + b * pixels, .ground = ground + b * pixels,
            };
            if (border) {
                const int top = min(h, H);
                const int n = all_columns(mode, W, h, shifts);
                if (kernel->vecs == 2) border_rows(&job, kernel, 2, shifts, n); /* each with a constant */
                else border_rows(&job, kernel, 1, shifts, n);
                flush(&job, 0, top, images);
                flush(&job, max(H - h, top), H, images);
            } else {
                all_shifts(&job, kernel, mode, equivariant, row, row_end, shifts);
                flush(&job, row, row_end, images);
            }
        }
    }
    free(memory);
    free(shifts);
    free(grounds);
    return 0;
}
