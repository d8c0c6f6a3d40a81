"""How sums over candidates are computed: dense, native, adaptive, fused."""
