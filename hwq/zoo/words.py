"""Pictures of words with Pillow's own font, turned, blurred, pale and noisy: labels are exact, since hwq drew them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwq.zoo import wordnet

__all__ = ["HEIGHT", "LONGEST", "WIDTH", "chosen", "pictures"]

HEIGHT, WIDTH = 64, 400
SHORTEST, LONGEST = 4, 14
SEED = 97
_FONT = 36

Pixels = NDArray[np.uint8]


def chosen(start: int, stop: int) -> list[str]:
    """Words start..stop of WordNet's nouns of 4 to 14 letters of the English alphabet, in a fixed random order."""
    known = sorted({word for word, _ in wordnet.nouns() if word.isascii() and word.isalpha()})
    fit = [word for word in known if SHORTEST <= len(word) <= LONGEST]
    return [fit[i] for i in np.random.default_rng(SEED).permutation(len(fit))[start:stop]]


def pictures(texts: list[str], number: int) -> Pixels:
    """Grey pictures [N, 64, 400] of words; the i-th is degraded by chance number + i."""
    return np.stack([_picture(text, number + i) for i, text in enumerate(texts)])


def _picture(text: str, number: int) -> Pixels:
    from PIL import Image, ImageDraw, ImageFilter, ImageFont

    random = np.random.default_rng((SEED, number))
    font = ImageFont.load_default(_FONT)
    paper, ink = (190, 95) if random.random() < 0.5 else (90, 170)
    wide = round(font.getlength(text)) + 40
    drawn = Image.new("L", (wide, 100), paper)
    ImageDraw.Draw(drawn).text((20, 50), text, ink, font, "lm")
    drawn = drawn.rotate(random.uniform(-4, 4), Image.Resampling.BICUBIC, fillcolor=paper)
    drawn = drawn.filter(ImageFilter.GaussianBlur(random.uniform(0.7, 2.1)))
    drawn = drawn.crop((10, 20, wide - 10, 80))
    fitted = drawn.resize((min(WIDTH, round(drawn.width * HEIGHT / drawn.height)), HEIGHT), Image.Resampling.BICUBIC)
    grey = np.asarray(fitted, np.float64) + random.normal(0, 14, (HEIGHT, fitted.width))
    padded = np.pad(grey, ((0, 0), (0, WIDTH - fitted.width)), "edge")
    return padded.round().clip(0, 255).astype(np.uint8)
