"""Which engine is chosen: of what is asked for, what there is and where the images are."""

import warnings
from importlib.util import find_spec

import pytest
import torch

from patchmosaic.engines import native
from patchmosaic.engines.base import TOLERANCE, PosteriorSums
from patchmosaic.engines.registry import ENGINES, choose_engine, unavailable_reason
from patchmosaic.system.lazy import load

TRITON = find_spec("triton") is not None
FUSED = pytest.mark.skipif(not TRITON, reason="Triton is not installed")


def chosen(wanted, device, equivariant=True):
    settings = {"equivariant": equivariant, "tolerance": TOLERANCE, "threads": 1}
    return choose_engine(wanted, torch.device(device), **settings)


@pytest.fixture
def compiled(monkeypatch):
    monkeypatch.setattr(native, "unavailable_reason", lambda: "")


@pytest.fixture
def not_compiled(monkeypatch):
    monkeypatch.setattr(native, "unavailable_reason", lambda: "not compiled")


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(
    ("wanted", "device", "equivariant", "name"),
    [
        ("auto", "cpu", True, "exact"),
        ("auto", "cuda", True, "dense"),
        ("dense", "cpu", True, "dense"),
        ("dense", "cuda", True, "dense"),
        ("exact", "cpu", False, "exact"),
        ("adaptive", "cpu", True, "adaptive"),
        ("adaptive", "cpu", False, "exact"),
        pytest.param("exact", "cuda", True, "fused", marks=FUSED),
        pytest.param("fused", "cuda", True, "fused", marks=FUSED),
        pytest.param("adaptive", "cuda", True, "fused", marks=FUSED),
    ],
)
def test_the_engine_asked_for_or_one_alike(wanted, device, equivariant, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert chosen(wanted, device, equivariant).name == name


@pytest.mark.usefixtures("not_compiled")
@pytest.mark.parametrize("wanted", ["auto", "adaptive"])
def test_dense_with_a_warning_where_nothing_is_compiled(monkeypatch, wanted):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.warns(UserWarning, match="fast engines are unavailable .*not compiled"):
        assert chosen(wanted, "cpu").name == "dense"


@pytest.mark.usefixtures("not_compiled")
def test_engines_that_are_unavailable_are_refused(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ValueError, match="engine is 'exact', which is unavailable: not compiled"):
        chosen("exact", "cpu")
    with pytest.raises(ValueError, match="engine is 'fused', which is unavailable"):
        chosen("fused", "cpu")


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_has_what_the_protocol_says(name):
    """And where it is available, its sums over one image are that image."""
    if name == "fused" and not TRITON:
        pytest.skip("Triton is not installed")
    engine = load(ENGINES[name].address)()
    assert engine.name == name
    assert 0 <= engine.least_variance < 1e-3
    assert engine.bytes_a_value in (0, 4, 8)
    if why := unavailable_reason(name, torch.device("cpu")):
        pytest.skip(why)
    image, border = torch.full((1, 1, 3, 3), 0.5), {"boundary": "circular"}
    sums = engine.posterior_sums(
        torch.zeros(1, 1, 3, 3),
        engine.bank(image),
        0.5,
        3,
        candidates="wrapped",
        equivariant=True,
        **border,
    )
    assert isinstance(sums, PosteriorSums)
    torch.testing.assert_close(sums.mean, image.double(), rtol=0, atol=1e-5)
