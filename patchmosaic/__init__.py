"""An analytic theory of what convolutional diffusion models draw: machines, samplers, workflow."""


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version

        return version("patchmosaic")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
