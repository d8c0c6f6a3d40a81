"""A predictor of one's own: the Wiener filter, which would be right if images were Gaussian."""

import torch

from patchmosaic.machines.base import Machine


class WienerFilter(Machine):
    """mu + U diag(lam / (lam + sigma^2)) U^T (z - mu), in float64, for each class.

    z = x_t / sqrt(alpha_bar) and sigma^2 = (1 - alpha_bar) / alpha_bar; mu is the mean of the
    training images, lam and U are eigenvalues and eigenvectors of their covariance.
    """

    def __init__(self, images, labels=None):
        super().__init__(images, labels)
        self.fits = {label: self.fit(label) for label in self.known_labels or [None]}

    def fit(self, label):
        images = self.bank(label).flatten(1).double()  # (n, C H W)
        mu = images.mean(0)
        lam, u = torch.linalg.eigh((images - mu).T @ (images - mu) / len(images))
        return mu, lam.clamp(min=1e-12), u

    def mean(self, x_t, alpha_bar, patch_size, label):
        mu, lam, u = self.fits[label]
        z = x_t.flatten(1).double() / alpha_bar**0.5
        gain = lam / (lam + (1 - alpha_bar) / alpha_bar)
        return (mu + ((z - mu) @ u * gain) @ u.T).view(x_t.shape)


build = WienerFilter
