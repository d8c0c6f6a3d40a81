"""The UNets that EDM's networks are made of: DDPM++ and NCSN++ (Song et al. 2021), ADM.

ADM is from Dhariwal and Nichol 2021; all as Karras et al. 2022 (arXiv 2206.00364, table 1 and
appendix F) describe them. Settings and weights have the names of the published files, so that these
load by name; what only the training uses (dropout, augmentation) is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.functional import silu

from patchmosaic.networks.edm_header import UNetSettings

CHANNELS_A_GROUP, MOST_GROUPS = 4, 32
MOST_PERIOD = 10_000  # the positional embedding's wave lengths are 2 pi to 2 pi times this


@dataclass(frozen=True)
class Family:
    """How the blocks of one architecture differ from another's.

    scales: whether the embedding scales and shifts what is normalised, or is added to it before.
    eps: of the normalisation. head: channels of a head of attention; 0: one head has all. gain: on
    every sum with what skips a layer. projects: whether a skip that only resamples is convolved.
    endpoint: whether the slowest wave of the positional embedding has the longest period.
    """

    scales: bool
    eps: float
    head: int
    gain: float
    projects: bool
    endpoint: bool


FAMILIES = {
    "SongUNet": Family(False, 1e-6, 0, math.sqrt(0.5), True, True),
    "DhariwalUNet": Family(True, 1e-5, 64, 1.0, False, False),
}


class Resampling(nn.Module):
    """Twice or half the size by a separable filter; the published files keep the filter."""

    resample_filter: Tensor

    def __init__(self, taps: tuple[int, ...], doubles: bool) -> None:
        super().__init__()
        line = torch.tensor(taps, dtype=torch.float32)
        self.register_buffer(
            "resample_filter", torch.outer(line, line)[None, None] / sum(taps) ** 2
        )
        self.doubles, self.padding = doubles, (len(taps) - 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        return _resampled(x, self.resample_filter, self.doubles, self.padding)


class Conv(nn.Conv2d):
    """A convolution that keeps the size, of an image that is resampled before it.

    ``resamples`` is the filter and "up", "down", or "down after" for one that is resampled
    afterwards, with what the convolution finds beyond the border.
    """

    resample_filter: Tensor

    def __init__(
        self, inputs: int, outputs: int, side: int, resamples: tuple[tuple[int, ...], str] | None
    ) -> None:
        super().__init__(inputs, outputs, side, padding=side // 2)
        self.how = ""
        if resamples:
            filtering = Resampling(resamples[0], resamples[1] == "up")
            self.how, self.reach = resamples[1], filtering.padding
            self.register_buffer("resample_filter", filtering.resample_filter)

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "down after":
            padding = self.kernel_size[0] // 2 + self.reach
            x = F.conv2d(x, self.weight, self.bias, padding=padding)
            return _resampled(x, self.resample_filter, False, 0)
        if self.how:
            x = _resampled(x, self.resample_filter, self.how == "up", self.reach)
        return super().forward(x)


def _resampled(x: Tensor, kernel: Tensor, doubles: bool, padding: int) -> Tensor:
    channels = x.shape[1]
    kernel = kernel.to(x.dtype).expand(channels, -1, -1, -1)  # the same for each channel
    if doubles:
        return F.conv_transpose2d(x, 4 * kernel, stride=2, padding=padding, groups=channels)
    return F.conv2d(x, kernel, stride=2, padding=padding, groups=channels)


def _norm(channels: int, eps: float) -> nn.GroupNorm:
    return nn.GroupNorm(min(MOST_GROUPS, channels // CHANNELS_A_GROUP), channels, eps)


class Block(nn.Module):
    """Two 3 x 3 convolutions around the embedding, what skips them, and attention where asked."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embedded: int,
        family: Family,
        resamples: tuple[tuple[int, ...], str] | None = None,
        attends: bool = False,
    ) -> None:
        super().__init__()
        self.family = family
        self.norm0 = _norm(inputs, family.eps)
        self.conv0 = Conv(inputs, outputs, 3, resamples)
        self.affine = nn.Linear(embedded, outputs * (2 if family.scales else 1))
        self.norm1 = _norm(outputs, family.eps)
        self.conv1 = Conv(outputs, outputs, 3, None)
        self.skip: nn.Module | None = None
        if outputs != inputs or (resamples and family.projects):
            self.skip = Conv(inputs, outputs, 1, resamples)
        elif resamples:
            self.skip = Resampling(resamples[0], resamples[1] == "up")
        self.heads = 0
        if attends:
            self.heads = outputs // family.head if family.head else 1
        if self.heads:
            self.norm2 = _norm(outputs, family.eps)
            self.qkv = Conv(outputs, 3 * outputs, 1, None)
            self.proj = Conv(outputs, outputs, 1, None)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv0(silu(self.norm0(x)))
        told = self.affine(embedding)[:, :, None, None]  # (B, outputs or 2 outputs, 1, 1)
        if self.family.scales:
            scale, shift = told.chunk(2, dim=1)
            h = self.norm1(h) * (1 + scale) + shift
        else:
            h = self.norm1(h + told)
        h = self.conv1(silu(h)) + (x if self.skip is None else self.skip(x))
        h = self.family.gain * h
        return self.family.gain * (h + self._attended(h)) if self.heads else h

    def _attended(self, h: Tensor) -> Tensor:
        batch, channels, *sides = h.shape
        # The published layout: within each head, channels of query, key and value take turns.
        split = self.qkv(self.norm2(h)).view(batch, self.heads, channels // self.heads, 3, -1)
        query, key, value = (part.transpose(2, 3) for part in split.unbind(3))  # (B, heads, HW, c)
        found = F.scaled_dot_product_attention(query, key, value)
        return self.proj(found.transpose(2, 3).reshape(batch, channels, *sides))


class PositionalEmbedding(nn.Module):
    """Cosines, then sines, of geometrically spaced frequencies: (B, channels) of numbers (B,)."""

    def __init__(self, channels: int, endpoint: bool) -> None:
        super().__init__()
        self.steps, self.last = channels // 2, channels // 2 - (1 if endpoint else 0)

    def forward(self, number: Tensor) -> Tensor:
        exponents = torch.arange(self.steps, device=number.device) / max(self.last, 1)
        angles = number[:, None] * MOST_PERIOD**-exponents
        return torch.cat([angles.cos(), angles.sin()], dim=1)


class FourierEmbedding(nn.Module):
    """The same of random frequencies, which the published files keep."""

    freqs: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("freqs", torch.zeros(channels // 2))

    def forward(self, number: Tensor) -> Tensor:
        angles = number[:, None] * (2 * math.pi * self.freqs)
        return torch.cat([angles.cos(), angles.sin()], dim=1)


class EdmUNet(nn.Module):
    """One of these networks: (B, channels, size, size) of such, noise levels (B,) and classes.

    Args:
        settings: its settings.
        channels, size: of the images; the size is halved for every resolution but the first.
        labels: number of classes, 0 for none.
    """

    def __init__(self, settings: UNetSettings, channels: int, size: int, labels: int) -> None:
        super().__init__()
        self.settings, self.labels = settings, labels
        self.family = FAMILIES[settings.model_type]
        self.of_song = settings.model_type == "SongUNet"
        noise = settings.model_channels * settings.channel_mult_noise
        embedded = settings.model_channels * settings.channel_mult_emb
        self.map_noise: nn.Module = (
            FourierEmbedding(noise)
            if settings.embedding_type == "fourier"
            else PositionalEmbedding(noise, self.family.endpoint)
        )
        if labels:
            self.map_label = nn.Linear(
                labels, noise if self.of_song else embedded, bias=self.of_song
            )
        if settings.augment_dim:
            self.map_augment = nn.Linear(settings.augment_dim, noise, bias=False)
        self.map_layer0 = nn.Linear(noise, embedded)
        self.map_layer1 = nn.Linear(embedded, embedded)
        self._add_blocks(channels, size, embedded)

    def _add_blocks(self, channels: int, size: int, embedded: int) -> None:
        settings, family, taps = self.settings, self.family, self.settings.resample_filter
        last, turns = len(settings.channel_mult) - 1, settings.num_blocks

        def block(inputs: int, outputs: int, how: str = "", attends: bool = False) -> Block:
            return Block(inputs, outputs, embedded, family, (taps, how) if how else None, attends)

        widths = [settings.model_channels * factor for factor in settings.channel_mult]
        sides = [size >> level for level in range(last + 1)]
        here = settings.model_channels if self.of_song else widths[0]
        self.enc = nn.ModuleDict({f"{size}x{size}_conv": Conv(channels, here, 3, None)})
        skips, aside = [here], channels
        for level, (side, width) in enumerate(zip(sides, widths, strict=True)):
            at = f"{side}x{side}"
            if level:
                self.enc[f"{at}_down"] = block(here, here, "down")
                skips.append(here)
                if settings.encoder_type == "residual":
                    self.enc[f"{at}_aux_residual"] = Conv(aside, here, 3, (taps, "down after"))
                    aside = here
            for turn in range(turns):
                self.enc[f"{at}_block{turn}"] = block(
                    here, width, attends=side in settings.attn_resolutions
                )
                here = width
                skips.append(here)
        self.dec = nn.ModuleDict()
        for level in range(last, -1, -1):
            side, width = sides[level], widths[level]
            at = f"{side}x{side}"
            if level == last:
                self.dec[f"{at}_in0"] = block(here, here, attends=True)
                self.dec[f"{at}_in1"] = block(here, here)
            else:
                self.dec[f"{at}_up"] = block(here, here, "up")
            for turn in range(turns + 1):
                attends = side in settings.attn_resolutions
                attends = attends and (turn == turns or not self.of_song)
                self.dec[f"{at}_block{turn}"] = block(here + skips.pop(), width, "", attends)
                here = width
        norm, conv = _norm(here, family.eps), Conv(here, channels, 3, None)
        if self.of_song:
            self.dec[f"{size}x{size}_aux_norm"], self.dec[f"{size}x{size}_aux_conv"] = norm, conv
        else:
            self.out_norm, self.out_conv = norm, conv

    def embed(self, level: Tensor, classes: Tensor | None) -> Tensor:
        """(B, embedding) of noise levels (B,) and classes int64 (B,)."""
        told = self.map_noise(level)
        if self.of_song:
            told = torch.cat([*reversed(told.chunk(2, dim=1))], dim=1)  # sines first
        named = None
        if self.labels and classes is not None:
            named = F.one_hot(classes, self.labels).to(told.dtype)
        if named is not None and self.of_song:
            told = told + self.map_label(named * math.sqrt(self.labels))
        told = self.map_layer1(silu(self.map_layer0(told)))
        if named is not None and not self.of_song:
            told = told + self.map_label(named)
        return silu(told)

    def forward(self, x: Tensor, level: Tensor, classes: Tensor | None = None) -> Tensor:
        embedding = self.embed(level, classes)
        (_, first), *layers = self.enc.items()
        h, aside = first(x), x
        skips = [h]
        for name, layer in layers:
            if name.endswith("_aux_residual"):
                aside = (h + layer(aside)) / math.sqrt(2)
                h = skips[-1] = aside
            else:
                h = layer(h, embedding)
                skips.append(h)
        for name, layer in self.dec.items():
            if "_aux_" in name:
                break
            h = layer(torch.cat([h, skips.pop()], dim=1) if "_block" in name else h, embedding)
        if not self.of_song:
            return self.out_conv(silu(self.out_norm(h)))
        *_, norm, conv = self.dec.values()
        return conv(silu(norm(h)))
