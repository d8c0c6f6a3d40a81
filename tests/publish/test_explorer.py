"""The mosaic explorer: its candidates against brute force, and its page in headless Chromium."""

import json

import accessibility
import chromium
import numpy as np
import pytest
from damage import empty, flip_bit, truncate
from made_pages import SIZE, STATEMENT, TOP, exploration
from origins import brute_force

from patchmosaic.analysis.agreement import pearson_r
from patchmosaic.machines import brute_force as reference
from patchmosaic.publish.explorer import random_part
from patchmosaic.publish.explorer_page import (
    Exploration,
    load_explorations,
    render_explorer,
    save_explorations,
)
from patchmosaic.sampling.schedule import alpha_bar
from patchmosaic.system.arrays import ArrayError
from workflow.experiment import EXPLORED, MOST_PAGE_BYTES, explorer_bytes


@pytest.mark.parametrize(("boundary", "channels"), [("zeros", 1), ("circular", 3)])
def test_candidates_and_prediction_are_those_of_brute_force(boundary, channels):
    found = exploration(3, boundary, channels)
    assert found.times.tolist() == [1.0, 0.6, 0.2]
    assert found.step.tolist() == [0, 2, 4]
    assert found.patch_sizes.tolist() == [5, 3, 3]
    bank = found.part / 127.5 - 1
    for moment, (t, size) in enumerate(zip(found.times, found.patch_sizes, strict=True)):
        x, mean = found.machine[moment]
        arguments = (alpha_bar(t), size, boundary, "wrapped")
        np.testing.assert_allclose(mean, reference.equivariant_local(x, bank, *arguments))
        named, entropy = zip(*brute_force(x, bank, *arguments, TOP), strict=True)
        image, row, col, weight = np.array(named).transpose(1, 2, 0).reshape(4, TOP, SIZE, SIZE)
        np.testing.assert_allclose(found.weight[moment], weight, rtol=1e-3, atol=1e-30)
        seen = weight > 1e-30
        for name, values in {"image": image, "row": row, "col": col}.items():
            np.testing.assert_array_equal(getattr(found, name)[moment][seen], values[seen])
        np.testing.assert_allclose(
            found.entropy[moment], np.reshape(entropy, (SIZE, SIZE)), atol=1e-3
        )
        # The others are followed from the same noise, at the same times; in the registry's order.
        np.testing.assert_allclose(found.network[moment, 1], 0.5 * found.network[moment, 0])
        for share, other in zip((0.75, 0.25), found.others, strict=True):
            x, mean = other[moment]
            np.testing.assert_allclose(mean, share * x + (0.5 - share) * np.roll(x, 1, axis=2))
    assert found.names.tolist() == ["wiener", "own_one"]
    for other in (found.machine, *found.others):
        np.testing.assert_array_equal(found.network[0, 0], other[0, 0])


def test_saved_explorations_are_the_same(tmp_path):
    written = [exploration(0, label="Coat"), exploration(1)]
    save_explorations(tmp_path / "two.npz", written)
    for a, b in zip(written, load_explorations(tmp_path / "two.npz"), strict=True):
        for name, value in vars(a).items():
            np.testing.assert_array_equal(value, getattr(b, name))
            assert type(value) is type(getattr(b, name))


@pytest.mark.parametrize("damage", [flip_bit, truncate, empty])
def test_damaged_explorations_are_named(tmp_path, damage):
    path = tmp_path / "one.npz"
    save_explorations(path, [exploration(0)])
    damage(path)
    with pytest.raises(ArrayError, match=r"one\.npz: not a readable npz file"):
        load_explorations(path)


def test_part_is_random_the_same_every_time_and_no_more_than_there_is():
    numbers = np.arange(100, 1100)
    part = random_part(numbers, 300)
    np.testing.assert_array_equal(part, random_part(numbers, 300))
    assert len(np.unique(part)) == 300
    assert set(part) <= set(numbers)
    assert (np.diff(part) > 0).all()
    assert 550 < part.mean() < 650
    np.testing.assert_array_equal(random_part(numbers, 2000), numbers)


@pytest.mark.parametrize(("networks", "machines", "seeds"), [(4, 3, 2), (4, 17, 1)])
def test_largest_page_is_below_20_megabytes(networks, machines, seeds):
    """Of networks of colour images, where no image can be compressed."""
    random = np.random.default_rng(0)
    moments, top, part = (EXPLORED[key] for key in ("moments", "top", "images"))
    side = 32
    index = random.integers(0, part, (moments, top, side, side))
    position = random.integers(0, side, (moments, top, side, side))
    images = random.uniform(-1, 1, (2 + machines, moments, 2, 3, side, side))

    def a_seed():
        return Exploration(
            seed=0,
            label="",
            steps=20,
            step=np.arange(moments),
            times=np.linspace(1, 0.05, moments),
            patch_sizes=np.full(moments, 3),
            network=images[0],
            machine=images[1],
            names=np.array([f"machine_{i}" for i in range(machines)]),
            others=images[2:],
            part=random.integers(0, 256, (part, 3, side, side), np.uint8),
            ids=np.arange(part),
            bank_images=50_000,
            image=index,
            row=position,
            col=position,
            weight=random.random((moments, top, side, side)),
            entropy=random.random((moments, side, side)),
        )

    names = [f"network-{i}" for i in range(networks)]
    pages = {name: [a_seed() for _ in range(seeds)] for name in names}
    page = render_explorer("default", pages, dict.fromkeys(names, "zeros"), STATEMENT)
    expected = networks * seeds * explorer_bytes(3 * side**2, side**2, machines)
    assert 0.95 * expected < len(page) - 30_000 < expected
    assert len(page) < MOST_PAGE_BYTES


FIRST = [exploration(0, label="Coat"), exploration(1, label="Sandal & <b>")]
SECOND = [exploration(5, "circular", 3)]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    if chromium.BROWSER is None:
        pytest.skip("Chromium is not installed: the page is not tested by clicking")
    path = tmp_path_factory.mktemp("explorer") / "index.html"
    found = render_explorer(
        "a <test>",
        {"a-zeros": FIRST, "b-circular": SECOND},
        {"a-zeros": "zeros", "b-circular": "circular"},
        STATEMENT,
    )
    path.write_text(found, encoding="utf-8")
    with chromium.chromium() as page:
        page.open(path.as_uri())
        page.url = path.as_uri()
        page.wait("document.body?.dataset.ready !== undefined")
        yield page


@pytest.fixture
def fresh(page):
    page.evaluate("document.body.dataset.old = true")
    page.call("Page.reload")
    page.wait("document.body && !document.body.dataset.old && 'ready' in document.body.dataset")
    return page


def shown(page, **expected):
    """Wait until the page shows that."""
    for name, value in expected.items():
        page.wait(f"JSON.parse(document.body.dataset.ready).{name} === {value}")


def pixels(page, selector):
    """The gray or colour levels of a canvas, (C, H, W)."""
    found = page.evaluate(
        f"(c => JSON.stringify([c.height, c.width, ...c.getContext('2d')"
        f".getImageData(0, 0, c.width, c.height).data]))(document.querySelector({selector!r}))"
    )
    height, width, *levels = json.loads(found)
    return np.array(levels).reshape(height, width, 4)[..., :3].transpose(2, 0, 1)


def point(page, row, col):
    """Where a pixel of the machine's image is in the window."""
    left, top, width, height = page.evaluate(
        "(b => [b.left, b.top, b.width, b.height])($('machine').getBoundingClientRect())"
    )
    return left + (col + 0.5) / SIZE * width, top + (row + 0.5) / SIZE * height


def levels(images):
    return np.round((images.clip(-1, 1) + 1) * 127.5)


def assert_shows(page, e, moment, row, col, boundary="zeros"):
    """Images, patches and words are those of the exploration."""
    shown(page, moment=moment, row=row, col=col)
    np.testing.assert_allclose(pixels(page, "#network")[:1], levels(e.network[moment, 1])[:1])
    machine = pixels(page, "#machine")
    np.testing.assert_allclose(
        machine, np.broadcast_to(levels(e.machine[moment, 1]), machine.shape)
    )
    cards = page.evaluate("[...document.querySelectorAll('.card')].map(c => c.innerText)")
    weights = e.weight[moment, :, row, col]
    assert len(cards) == (weights > 0).sum()
    size = int(e.patch_sizes[moment])
    for k, card in enumerate(cards):
        image, r, c = (getattr(e, name)[moment, k, row, col] for name in ("image", "row", "col"))
        assert f"image {e.ids[image]}\nrow {r}, column {c}" in card
        if weights[k] > 1e-4:
            assert float(card.split("%")[0]) == pytest.approx(100 * weights[k], rel=0.06)
        else:
            assert "below" in card or float(card.split("%")[0]) < 0.02
        one = f".card:nth-child({k + 1})"
        np.testing.assert_array_equal(
            pixels(page, f"{one} .sample canvas"),
            np.broadcast_to(e.part[image], (3, SIZE, SIZE)),
        )
        drawn, inside = pixels(page, f"{one} > canvas"), np.ones((1, SIZE, SIZE))
        expected = reference.patch(e.part[image].astype(float), r, c, size, boundary)
        mask = reference.patch(inside, r, c, size, boundary) > 0  # the rest is beyond the border
        mask = np.broadcast_to(mask, drawn.shape)
        np.testing.assert_array_equal(drawn[mask], np.broadcast_to(expected, drawn.shape)[mask])
    effective = np.exp(e.entropy[moment, row, col])
    words = page.evaluate("$('chosen').textContent")
    assert f"Row {row}, column {col}:" in words
    assert f"{size} \N{MULTIPLICATION SIGN} {size} pixels" in words
    stated = float(words.split("is fitted by ")[1].split()[0])
    assert stated == pytest.approx(effective, rel=0.01)
    assert "7 training images, drawn at random from 70,000" in page.evaluate(
        "$('searched').textContent"
    )


def test_begins_with_the_last_time_of_the_first(fresh):
    assert_shows(fresh, FIRST[0], 2, 3, 3)
    assert fresh.evaluate("$('seed').innerText.split('\\n').length") == 2
    assert "Sandal & <b>" in fresh.evaluate("$('seed').innerText")


def test_pointing_shows_a_pixel_and_a_click_keeps_it(fresh):
    fresh.mouse("mouseMoved", *point(fresh, 1, 4))
    assert_shows(fresh, FIRST[0], 2, 1, 4)
    fresh.mouse("mouseMoved", 5, 5)
    assert_shows(fresh, FIRST[0], 2, 3, 3)
    fresh.click(*point(fresh, 0, 5))
    fresh.mouse("mouseMoved", 5, 5)
    assert_shows(fresh, FIRST[0], 2, 0, 5)


def test_keys_move_through_time_and_over_pixels(fresh):
    fresh.key("ArrowLeft")
    assert_shows(fresh, FIRST[0], 1, 3, 3)
    fresh.key("ArrowLeft")
    fresh.key("ArrowLeft")  # there is nothing before the first
    assert_shows(fresh, FIRST[0], 0, 3, 3)
    fresh.key("ArrowRight")
    shown(fresh, moment=1)
    reached = []
    for _ in range(12):
        fresh.key("Tab")
        reached.append(fresh.evaluate("document.activeElement.id"))
        if reached[-1]:
            look = (
                "(s => [s.outlineStyle, s.outlineWidth])(getComputedStyle(document.activeElement))"
            )
            assert fresh.evaluate(look) == ["solid", "3px"], reached[-1]
        if reached[-1] == "machine":
            break
    controls = ("evaluated", "predictor", "seed", "view", "earlier", "time", "later", "machine")
    assert set(controls) <= set(reached)
    fresh.key("ArrowUp")
    fresh.key("ArrowLeft")
    assert_shows(fresh, FIRST[0], 1, 2, 2)
    fresh.key("ArrowRight", modifiers=8)  # by four, but not beyond the border
    assert_shows(fresh, FIRST[0], 1, 2, 5)
    fresh.key("Tab", modifiers=8)
    fresh.key("Tab", modifiers=8)
    assert fresh.evaluate("document.activeElement.id") == "time"
    fresh.key("ArrowRight")
    assert_shows(fresh, FIRST[0], 2, 2, 5)


def test_all_is_reached_and_done_by_keys_alone(fresh):
    """From the top of the page, by real keys; every stop shows that it has the focus."""

    def reach(name, modifiers=0):
        for _ in range(12):
            fresh.key("Tab", modifiers)
            if fresh.evaluate("document.activeElement.id") == name:
                look = "getComputedStyle(document.activeElement).outlineStyle"
                assert fresh.evaluate(look) == "solid"
                return
        raise AssertionError(f"{name} is not reached")

    reach("evaluated")
    fresh.key("ArrowDown")
    shown(fresh, evaluated=1)
    assert_shows(fresh, SECOND[0], 2, 3, 3, "circular")
    fresh.key("ArrowUp")
    shown(fresh, evaluated=0)
    reach("predictor")
    fresh.key("ArrowDown")
    shown(fresh, predictor=1)
    fresh.key("ArrowUp")
    shown(fresh, predictor=0)
    reach("seed")
    fresh.key("ArrowDown")
    shown(fresh, seed=1)
    assert_shows(fresh, FIRST[1], 2, 3, 3)
    reach("view")
    fresh.key("ArrowDown")
    fresh.wait(f"{drawn('machine')} === {levels(FIRST[1].machine[2, 0, :, 0, 0])[0]:.0f}")
    fresh.key("ArrowUp")
    reach("earlier")
    fresh.key("Enter")
    fresh.key("Space")
    shown(fresh, moment=0)
    reach("time")
    fresh.key("ArrowRight")
    shown(fresh, moment=1)
    assert "step 3 of 5" in fresh.evaluate("$('time').getAttribute('aria-valuetext')")
    reach("later")
    fresh.key("Enter")
    shown(fresh, moment=2)
    reach("machine")
    fresh.key("ArrowUp")
    fresh.key("ArrowLeft", modifiers=8)
    assert_shows(fresh, FIRST[1], 2, 2, 0)
    fresh.key("Tab")  # no key is kept
    assert fresh.evaluate("document.activeElement.id") != "machine"
    reach("machine", modifiers=8)
    reach("later", modifiers=8)
    reach("evaluated", modifiers=8)


def drawn(canvas):
    """The level of the first pixel of a canvas."""
    return f"$('{canvas}').getContext('2d').getImageData(0, 0, 1, 1).data[0]"


def test_buttons_and_choices(fresh):
    def click(name):
        centre = (
            "(b => [b.left + b.width / 2, b.top + b.height / 2])($('{}').getBoundingClientRect())"
        )
        fresh.click(*fresh.evaluate(centre.format(name)))

    click("earlier")
    assert_shows(fresh, FIRST[0], 1, 3, 3)
    click("later")
    assert_shows(fresh, FIRST[0], 2, 3, 3)
    fresh.evaluate("$('seed').focus()")
    fresh.key("ArrowDown")
    shown(fresh, seed=1)
    assert_shows(fresh, FIRST[1], 2, 3, 3)
    assert "of the class “Sandal & <b>”" in fresh.evaluate("$('searched').textContent")
    fresh.evaluate("$('evaluated').focus()")
    fresh.key("ArrowDown")
    shown(fresh, evaluated=1, seed=0)
    assert_shows(fresh, SECOND[0], 2, 3, 3, "circular")
    fresh.evaluate("choosePixel(0, 5, true)")  # where patches wrap around
    assert_shows(fresh, SECOND[0], 2, 0, 5, "circular")
    fresh.evaluate("$('view').focus()")
    fresh.key("ArrowDown")
    noisy = levels(SECOND[0].machine[2, 0])
    fresh.wait(f"{drawn('machine')} === {noisy[0, 0, 0]:.0f}")
    np.testing.assert_allclose(pixels(fresh, "#machine"), noisy)


def test_any_predictor_is_chosen_by_keys_and_put_beside_the_network(fresh):
    e = FIRST[0]
    fresh.evaluate("$('predictor').focus()")
    for k, label in enumerate(("Wiener", "own_one")):
        fresh.key("ArrowDown")
        shown(fresh, predictor=k + 1)
        assert fresh.evaluate("$('named').textContent") == label
        assert label in fresh.evaluate("$('machine').ariaLabel")
        predicted = {"#noise": e.network[0, 0], "#network": e.network[2, 1]}
        for canvas, image in (predicted | {"#machine": e.others[k][2, 1]}).items():
            seen = pixels(fresh, canvas)
            np.testing.assert_allclose(seen, np.broadcast_to(levels(image), seen.shape))
        r = pearson_r(e.others[k][2:, 1], e.network[2:, 1])[0]
        assert abs(r) < 0.99
        words = f"at this time: {r:.3f}.".replace("-", "\N{MINUS SIGN}")
        assert words in fresh.evaluate("$('agreement').textContent")
        said = fresh.evaluate("$('chosen').textContent")
        assert "Row 3, column 3: predicted value" in said
        assert "Training patches are shown of ELS of 7 images alone" in said
        for hidden in ("#box", "#query", "#cards"):
            height = f"document.querySelector('{hidden}').getBoundingClientRect().height"
            assert fresh.evaluate(height) == 0
    said = fresh.evaluate("$('searched').textContent")
    assert said.startswith("own_one: a machine of your own, with the training images of the re")
    assert "of the class “Coat”." in said
    fresh.evaluate("choosePixel(1, 4, true)")
    fresh.wait("$('chosen').textContent.startsWith('Row 1, column 4:')")
    fresh.evaluate("$('evaluated').focus()")
    fresh.key("ArrowDown")  # of another network it stays chosen
    shown(fresh, evaluated=1, predictor=2)
    fresh.evaluate("$('evaluated').focus()")
    fresh.key("ArrowUp")
    fresh.evaluate("$('predictor').focus()")
    fresh.key("ArrowUp")
    fresh.key("ArrowUp")
    shown(fresh, predictor=0)
    assert_shows(fresh, e, 2, 1, 4)


def test_accessibility_checker_finds_nothing_with_another_predictor(fresh):
    fresh.evaluate("$('predictor').focus()")
    fresh.key("ArrowDown")
    shown(fresh, predictor=1)
    assert accessibility.violations(fresh) == []


@pytest.mark.parametrize("width", [360, 800, 1600])
def test_nothing_is_wider_than_the_window(fresh, width):
    fresh.resize(width, 900)
    assert fresh.evaluate("document.documentElement.scrollWidth") <= width
    left, top, right, bottom = fresh.evaluate(
        "(b => [b.left, b.top, b.right, b.bottom])($('machine').getBoundingClientRect())"
    )
    assert right - left == pytest.approx(bottom - top)
    assert left >= 0
    assert right <= width
    fresh.resize(1200, 900)


def test_no_errors_and_no_requests_after_all_of_that(page):
    assert page.errors == []
    assert set(page.requests) == {page.url}
