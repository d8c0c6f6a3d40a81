"""What do convolutional diffusion networks draw, and can it be told from their training patches?

A tour of the package, whose rooms follow the work. A machine answers for trained networks what a
noisy image was, from patches of training images alone:

>>> import torch
>>> from patchmosaic.machines.local import EquivariantLocalScoreMachine
>>> images = torch.rand(50, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
>>> machine = EquivariantLocalScoreMachine(images, boundary="zeros")
>>> x_t = images[:2]  # noisy images would come here
>>> machine.posterior_mean(x_t, alpha_bar=0.5, patch_size=3).shape
torch.Size([2, 1, 8, 8])

Put in the place of a network, it draws images from noise, by the same reverse process:

>>> from patchmosaic.sampling.sampler import machine_x0, sample, seed_noise
>>> from patchmosaic.sampling.schedule import reverse_times
>>> scales = {t: 3 for t in reverse_times(4)}  # the locality scale P at each time t
>>> noise = seed_noise([0, 1], (1, 8, 8))
>>> predicted = sample(machine_x0(machine, None, scales), noise, steps=4)

How like a network's images these are is a correlation per seed:

>>> from patchmosaic.analysis.agreement import pearson_r
>>> pearson_r(predicted, predicted).round(6).tolist()
[1.0, 1.0]

system: files, arrays, memory and devices of the computer. datasets: images by digest, and banks of
them. engines: sums over candidate patches. machines: IS, ES, LS, ELS and others, with brute force
and audits. sampling: schedule, reverse process, calibration of P(t). networks: architectures,
training, networks that users bring. analysis: statistics. tables, figures, publish: what is
printed, drawn and published. Each room imports only from those before it.
"""


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version

        return version("patchmosaic")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
