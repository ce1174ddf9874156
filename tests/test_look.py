"""The look: one palette, readable in both schemes."""

import math
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHEET = ROOT / "proxy/thumbseal/web/static/base.css"
EXAMPLE = ROOT / "examples/chat/index.html"
COLOUR = re.compile(r"--([\w-]+): light-dark\(oklch\(([^)]*)\), oklch\(([^)]*)\)\);")
TEXT, CONTROL = 4.5, 3.0  # WCAG 2.2: 1.4.3 and 1.4.11
PAIRS = [
    ("ink", "ground", TEXT),
    ("ink", "surface", TEXT),
    ("quiet", "ground", TEXT),
    ("quiet", "surface", TEXT),
    ("accent", "ground", TEXT),
    ("accent", "surface", TEXT),
    ("on-accent", "accent", TEXT),
    ("edge", "ground", CONTROL),
    ("edge", "surface", CONTROL),
]


def palette(path: Path) -> dict[str, tuple[str, str]]:
    found = COLOUR.findall(path.read_text(encoding="utf-8"))
    return {name: (light, dark) for name, light, dark in found}


def linear_srgb(colour: str) -> list[float]:
    """OKLCH to linear sRGB (Björn Ottosson's matrices)."""
    lightness, chroma, hue = map(float, colour.split())
    a = chroma * math.cos(math.radians(hue))
    b = chroma * math.sin(math.radians(hue))
    long, medium, short = (
        (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3,
        (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3,
        (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3,
    )
    return [
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    ]


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        red, green, blue = (min(1.0, max(0.0, value)) for value in linear_srgb(colour))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("front", "back", "least"), PAIRS)
def test_contrast(front: str, back: str, least: float) -> None:
    """Text and controls are readable on every ground they stand on, light and dark."""
    colours = palette(SHEET)
    for scheme in (0, 1):
        assert contrast(colours[front][scheme], colours[back][scheme]) >= least


def test_every_colour_exists_on_any_screen() -> None:
    """No colour lies outside sRGB, where browsers would each clip it their own way."""
    for light, dark in palette(SHEET).values():
        for colour in (light, dark):
            assert all(-0.001 <= value <= 1.001 for value in linear_srgb(colour))


def test_the_example_has_the_same_palette() -> None:
    """The chat page stands alone, and still looks like the rest."""
    assert palette(EXAMPLE) == palette(SHEET)
