/* How many 512-bit additions, and pairs of an addition and a multiply-add, a core does in a second:
 * what benchmarks/README.md compares the exact kernel with. Needs AVX-512. A row a run:
 *
 *   cc -O3 -funroll-all-loops -march=x86-64-v4 benchmarks/adders.c -o adders
 *   ./adders > benchmarks/adders.csv
 */
#include <immintrin.h>
#include <stdio.h>
#include <time.h>

enum { CHAINS = 8, TIMES = 40000000, RUNS = 5 }; /* as many chains as hide the latency */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

int main(void) {
    __m512 sum[CHAINS], product[CHAINS];
    const __m512 c = _mm512_set1_ps(0.999f);
    for (int k = 0; k < CHAINS; k++) sum[k] = product[k] = _mm512_set1_ps(k);
    puts("additions_of_16_per_second_and_core,beside_multiply_adds");
    for (int run = 0; run < RUNS; run++) {
        double began = now();
        for (long i = 0; i < TIMES; i++)
            for (int k = 0; k < CHAINS; k++) __asm__ volatile("vaddps %1,%0,%0" : "+v"(sum[k]) : "v"(c));
        const double additions = (double)TIMES * CHAINS / (now() - began);
        began = now();
        for (long i = 0; i < TIMES; i++)
            for (int k = 0; k < CHAINS; k++) {
                __asm__ volatile("vfmadd213ps %1,%1,%0" : "+v"(product[k]) : "v"(c));
                __asm__ volatile("vaddps %1,%0,%0" : "+v"(sum[k]) : "v"(c));
            }
        const double both = (double)TIMES * CHAINS / (now() - began);
        printf("%.3g,%.3g\n", additions, both);
    }
    return 0;
}
