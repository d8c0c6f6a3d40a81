"""What samples say: agreement, its intervals, and where it comes from."""
