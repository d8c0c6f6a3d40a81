"""Jobs on one machine take different graphics cards."""

from types import SimpleNamespace

import pytest
import torch

from patchmosaic.system.devices import choose_device, claim_card


@pytest.fixture
def chosen(monkeypatch):
    """The cards that were made the current one, on a machine of two cards."""
    cards = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"id{index}")
    )
    monkeypatch.setattr(torch.cuda, "set_device", cards.append)
    return cards


def test_a_claimed_card_is_left_to_its_job(chosen, tmp_path):
    first, second = claim_card(tmp_path / "new"), claim_card(tmp_path / "new")
    assert chosen == [0, 1]
    assert claim_card(tmp_path / "new") is None
    assert chosen == [0, 1]
    first.close()
    third = claim_card(tmp_path / "new")
    assert chosen == [0, 1, 0]
    second.close()
    third.close()


@pytest.mark.parametrize(
    ("wanted", "has_card", "found"),
    [
        ("cpu", True, "cpu"),
        ("cuda", True, "cuda"),
        ("auto", True, "cuda"),
        ("cpu", False, "cpu"),
        ("auto", False, "cpu"),
    ],
)
def test_device_is_chosen(monkeypatch, wanted, has_card, found):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_card)
    assert choose_device(wanted).type == found


def test_devices_that_are_not_there_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="PyTorch finds no graphics card here: choose cpu"):
        choose_device("cuda")
    with pytest.raises(ValueError, match="device is 'tpu': choose one of cpu, cuda, auto"):
        choose_device("tpu")
