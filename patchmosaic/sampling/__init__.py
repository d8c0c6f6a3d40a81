"""The reverse process: schedule, noise, samples, trajectories, locality scales."""
