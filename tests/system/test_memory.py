"""What does not fit in memory is refused before it is made, with the bytes that it needs."""

import pytest
import torch

from patchmosaic.datasets.images import to_float
from patchmosaic.engines import adaptive
from patchmosaic.machines.local import EquivariantLocalScoreMachine
from patchmosaic.system import memory
from patchmosaic.system.memory import require_memory

IMAGES = torch.zeros(10, 1, 8, 8)


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)


@pytest.mark.usefixtures("little_memory")
def test_names_what_and_how_much():
    require_memory(1000, "a thing")
    with pytest.raises(MemoryError, match=r"a thing would take 1,001 bytes .* 1,000 are available"):
        require_memory(1001, "a thing")


@pytest.mark.usefixtures("little_memory")
def test_images_as_floats():
    with pytest.raises(MemoryError, match="10 images as float32 would take 2,560 bytes"):
        to_float((127.5 * (IMAGES + 1)).to(torch.uint8).numpy())


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(("engine", "size"), [("exact", "2,560"), ("adaptive", "5,120")])
def test_banks(engine, size):
    machine = EquivariantLocalScoreMachine(IMAGES, engine=engine)
    if machine.engine != engine:
        pytest.skip("native engine: not compiled")
    with pytest.raises(MemoryError, match=rf"{engine} engine's bank of 10 images .* {size} bytes"):
        machine.posterior_mean(IMAGES[:1], 0.5, 3)


@pytest.mark.usefixtures("little_memory")
def test_a_label_takes_the_memory_of_its_images():
    labels = torch.tensor([0] * 3 + [1] * 7)
    machine = EquivariantLocalScoreMachine(IMAGES, labels, engine="dense")
    machine.posterior_mean(IMAGES[:1], 0.5, 3, torch.tensor([0]))
    with pytest.raises(MemoryError, match="dense engine's bank of 7 images would take 1,792 bytes"):
        machine.posterior_mean(IMAGES[:1], 0.5, 3, torch.tensor([1]))


@pytest.mark.usefixtures("little_memory")
def test_index():
    bank = adaptive.AdaptiveBank(IMAGES)
    with pytest.raises(MemoryError, match="index of patches of P = 3 would take 13,680 bytes"):
        bank.index(3, False, 1)
