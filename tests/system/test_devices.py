"""Jobs on one machine take different graphics cards."""

from types import SimpleNamespace

import pytest
import torch

from patchmosaic.system.devices import claim_card


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
