"""The page in a real Chromium, opened from the disk."""

import shutil

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

KINDS = ("binary", "infected", "multilabel", "broken", "study")
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
SHARE = "box => parseFloat(getComputedStyle(box).getPropertyValue('--share'))"
UNSEEN = """() => [...document.querySelectorAll('main figure, main figure svg, main img, .compare')].filter(
    (part) => !part.checkVisibility() || part.getBoundingClientRect().width < 20
        || part.getBoundingClientRect().height < 20).map((part) => part.outerHTML.slice(0, 80))"""
LIGHTNESS = "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
CONTRAST = """() => {
  const light = (text) => text.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const ground = (part) => {
    for (let at = part; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (colour !== 'rgba(0, 0, 0, 0)') return colour;
    }
  };
  const texts = [...document.querySelectorAll('body *')].filter((part) => part.checkVisibility()
    && !part.closest('svg, .tag') && [...part.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
  return texts.map((part) => {
    const pair = [light(getComputedStyle(part).color), light(ground(part))].sort((a, b) => b - a);
    return [(pair[0] + 0.05) / (pair[1] + 0.05), part.textContent.trim().slice(0, 40)];
  }).filter(([ratio]) => ratio < 4.5);
}"""


@pytest.fixture(scope="module")
def browser():
    if (path := shutil.which("chromium")) is None:
        pytest.skip("chromium is not installed: the page cannot be opened in a browser")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture
def visit(browser, pages):
    """Return a function that opens a page; the test fails on any console message, error or request."""
    said, contexts = [], []

    def go(kind, **settings):
        context = browser.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        address = pages[kind].as_uri()
        page.on("request", lambda r: said.append(r.url) if not r.url.startswith((address, "data:")) else None)
        page.goto(address)
        return page

    yield go
    for context in contexts:
        context.close()
    assert said == []


def overflow(page):
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_figure_is_visible(visit, kind, scheme):
    page = visit(kind, viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    assert page.evaluate(UNSEEN) == []
    assert page.evaluate("() => [...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    expected = {"binary": (14, 5), "infected": (24, 5), "multilabel": (7, 4), "broken": (0, 0), "study": (2, 3)}[kind]
    assert (page.locator("img").count(), page.locator("figure.chart svg").count()) == expected
    assert overflow(page) <= 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(visit, kind, scheme):
    page = visit(kind, viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    ground = page.evaluate(LIGHTNESS)
    assert min(ground) > 240 if scheme == "light" else max(ground) < 40
    page.evaluate("() => document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    assert page.evaluate(CONTRAST) == []


@pytest.mark.parametrize("kind", KINDS)
def test_phone_needs_no_sideways_scrolling(visit, kind):
    page = visit(kind, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.evaluate("() => document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    assert overflow(page) <= 0
    assert page.evaluate(UNSEEN) == []


def test_slider_follows_the_mouse(visit):
    page = visit("binary", viewport={"width": 1280, "height": 900})
    box = page.locator(".compare").first
    over = box.locator("img.over")
    assert box.evaluate(SHARE) == 50
    box.scroll_into_view_if_needed()
    place = box.locator(".stack").bounding_box()
    middle = place["y"] + place["height"] / 2
    page.mouse.move(place["x"] + place["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(place["x"] + place["width"] * 0.8, middle, steps=5)
    page.mouse.up()
    assert box.evaluate(SHARE) == pytest.approx(80, abs=1)
    hidden = 100 - box.evaluate(SHARE)
    assert over.evaluate("image => getComputedStyle(image).clipPath") == f"inset(0px {hidden:g}% 0px 0px)"
    handle = box.locator(".handle").bounding_box()
    assert handle["x"] == pytest.approx(place["x"] + place["width"] * box.evaluate(SHARE) / 100, abs=3)
    assert page.locator(".compare").nth(1).evaluate(SHARE) == 50, "the other slider stays"


def test_slider_changes_what_is_drawn(visit):
    page = visit("binary", viewport={"width": 1280, "height": 900})
    stack = page.locator(".compare .stack").first
    drawn = {}
    for share in (0, 100):
        page.locator(".compare input").first.fill(str(share))
        drawn[share] = stack.screenshot()
    assert drawn[0] != drawn[100]


def test_slider_works_by_keyboard(visit):
    page = visit("binary", viewport={"width": 1280, "height": 900})
    box = page.locator(".compare").first
    knob = page.get_by_role("slider", name="Image 1: share of the untouched image shown")
    knob.focus()
    for key, share in (("ArrowRight", 51), ("ArrowLeft", 50), ("Home", 0), ("End", 100)):
        page.keyboard.press(key)
        assert box.evaluate(SHARE) == share
    assert knob.get_attribute("aria-valuetext") == "100 % untouched, 0 % attacked"
    outline = box.locator(".stack").evaluate("part => getComputedStyle(part).outlineStyle")
    assert outline == "solid", "the focused slider is marked"


def test_first_tab_stop_skips_to_the_verdict(visit):
    page = visit("binary", viewport={"width": 1280, "height": 900})
    page.keyboard.press("Tab")
    skip = page.locator(":focus")
    assert skip.inner_text() == "Skip to the verdict"
    assert skip.bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "verdict"


def test_paper_is_light_and_shows_both_images(visit):
    page = visit("binary", viewport={"width": 700, "height": 900}, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert min(page.evaluate(LIGHTNESS)) == 255
    left, right = (page.locator(".compare").first.locator("img").nth(k).bounding_box() for k in (1, 0))
    assert left["x"] + left["width"] <= right["x"] + 1, "untouched left of attacked"
    assert left["y"] == right["y"]
    assert not page.locator(".contents").is_visible()
    assert not page.locator(".compare input").first.is_visible()
    assert overflow(page) <= 0


def test_printing_unfolds_every_number(visit):
    page = visit("binary", viewport={"width": 1280, "height": 900})
    folded = page.locator("details:not([open])")
    before = folded.count()
    assert before > 3
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert folded.count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert folded.count() == before
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_without_script_both_images_are_shown(visit):
    page = visit("binary", viewport={"width": 1280, "height": 900}, java_script_enabled=False)
    left, right = (page.locator(".compare").first.locator("img").nth(k).bounding_box() for k in (1, 0))
    assert left["x"] + left["width"] <= right["x"]
    assert min(left["width"], right["width"]) > 100
