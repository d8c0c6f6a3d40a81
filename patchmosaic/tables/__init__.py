"""Tables of numbers: ours, the paper's, and what moved."""
