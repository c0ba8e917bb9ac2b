"""Things in the synthetic sea that carry no label: rocks, weed, fish and bubbles.

A detector that only looks for "something that is not water" fails on them. Colours are BGR in 0..1.
"""

from __future__ import annotations

import cv2
import numpy as np

from periscope_embedded.water import Pixels, Water, fractal_noise, noise_field


def add_rocks(water: Water, rng: np.random.Generator, horizon: int | None) -> None:
    """Lumps on the sea floor; none where there is no floor."""
    height, width = water.picture.shape[:2]
    if horizon is None:
        return
    feet = np.sort(rng.uniform(horizon + 4, height * 1.1, int(rng.integers(0, 5))))
    for foot in feet:
        near = max((foot - horizon) / max(height - horizon, 1), 0.05)
        _add_rock(
            water,
            rng,
            float(rng.uniform(0, width)),
            float(foot),
            width * near * rng.uniform(0.05, 0.16),
            near,
        )


def _add_rock(
    water: Water, rng: np.random.Generator, x: float, foot: float, radius: float, near: float
) -> None:
    radius = max(radius, 3.0)
    side = int(radius * 2.6) + 8
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    bumps = np.interp(angles, np.linspace(0, 2 * np.pi, 9), rng.uniform(0.65, 1.1, 9), period=2 * np.pi)
    points = np.stack([np.cos(angles) * bumps * radius, np.sin(angles) * bumps * radius * 0.62], 1) + side / 2
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    down = np.linspace(1.15, 0.3, side, dtype=np.float32)[:, None]
    rough = 0.5 + fractal_noise(rng, side, side, max(radius / 2, 2), 4)
    tone = np.array(rng.choice([[0.2, 0.26, 0.26], [0.16, 0.22, 0.18], [0.3, 0.34, 0.36]]), np.float32)
    colour = tone * (down * rough)[..., None]
    left, top = int(x - side / 2), int(foot - side * 0.65)
    water.paint(colour, mask / 255, left, top, 1.2 / near)


def add_weed(water: Water, rng: np.random.Generator, horizon: int | None) -> None:
    """A few waving strands that stand on the floor."""
    height, width = water.picture.shape[:2]
    if horizon is None or rng.random() < 0.6:
        return
    root = rng.uniform(0, width)
    for _ in range(int(rng.integers(3, 9))):
        x0, tall = root + rng.normal(0, width * 0.03), height * rng.uniform(0.12, 0.4)
        steps = np.linspace(0, 1, 20)
        xs = x0 + np.sin(steps * rng.uniform(2, 5) + rng.uniform(0, 6)) * tall * 0.12 * steps
        points = np.stack([xs, height + 4 - steps * tall], 1)
        alpha = np.zeros((height, width), np.uint8)
        thick = int(max(width * rng.uniform(0.004, 0.014), 1))
        cv2.polylines(alpha, [np.round(points * 16).astype(np.int32)], False, 255, thick, cv2.LINE_AA, 4)
        green = np.array([0.1, rng.uniform(0.22, 0.42), 0.14], np.float32)
        colour = np.broadcast_to(green, (height, width, 3)).copy()
        water.paint(colour, alpha / 255, 0, 0, float(rng.uniform(1.5, 4)))


def add_fish(water: Water, rng: np.random.Generator) -> None:
    """Sometimes one fish, sometimes a small school."""
    height, width = water.picture.shape[:2]
    count = int(rng.choice([0, 0, 1, 2, 7]))
    school = rng.uniform(0.1, 0.9, 2) * (width, height)
    heading = rng.choice([-1.0, 1.0])
    for _ in range(count):
        x, y = school + rng.normal(0, 0.09 * width, 2)
        length = width * (rng.uniform(0.03, 0.07) if count > 2 else rng.uniform(0.06, 0.2))
        _add_one_fish(water, rng, float(x), float(y), float(length), float(heading))


def _add_one_fish(
    water: Water, rng: np.random.Generator, x: float, y: float, length: float, heading: float
) -> None:
    side = int(length * 1.4) + 8
    t = np.linspace(0, 1, 24)
    belly = np.sin(np.pi * t**0.75) * length * rng.uniform(0.13, 0.22)
    spine = (t - 0.55) * length
    upper, lower = np.stack([spine, -belly], 1), np.stack([spine, belly * 0.9], 1)[::-1]
    tail_x, fin = 0.42 * length, 0.17 * length
    tail = np.array([[tail_x, 0], [tail_x + fin, -fin], [tail_x + 0.6 * fin, 0], [tail_x + fin, fin]])
    lean = rng.normal(0, 0.15)
    turn = np.array([[np.cos(lean), np.sin(lean)], [-np.sin(lean), np.cos(lean)]])
    mask = np.zeros((side, side), np.uint8)
    for part in (np.concatenate([upper, lower]), tail):
        moved = (part * (heading, 1)) @ turn + side / 2
        cv2.fillPoly(mask, [np.round(moved * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    # Fish are dark above and pale below, which hides them well.
    shade = np.linspace(0.15, 0.75, side, dtype=np.float32)[:, None] + 0.2 * noise_field(rng, side, side, 5)
    tone = np.array(rng.choice([[0.6, 0.62, 0.55], [0.35, 0.5, 0.55], [0.3, 0.3, 0.28]]), np.float32)
    colour = tone * shade[..., None]
    left, top = int(x - side / 2), int(y - side / 2)
    water.paint(colour, mask / 255, left, top, float(rng.uniform(1.5, 5)))


def add_bubbles(water: Water, rng: np.random.Generator) -> None:
    """A rising column of air: bright rims, clear inside."""
    height, width = water.picture.shape[:2]
    if rng.random() < 0.6:
        return
    column, foot = rng.uniform(0, width), rng.uniform(0.3, 1.0) * height
    for _ in range(int(rng.integers(4, 22))):
        rise = rng.uniform(0, 1)
        centre = (column + rng.normal(0, 3 + 14 * rise) * width / 320, foot * (1 - rise))
        _add_bubble(water, centre, float(rng.uniform(1.2, 5.5) * width / 320))


def _add_bubble(water: Water, centre: tuple[float, float], radius: float) -> None:
    side = int(radius * 2) + 7
    left, top = int(centre[0] - side / 2), int(centre[1] - side / 2)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    u, v = (x + left + 0.5 - centre[0]) / radius, (y + top + 0.5 - centre[1]) / radius
    r: Pixels = np.sqrt(u * u + v * v).astype(np.float32)
    rim = np.exp(-(((r - 0.85) * radius / 0.9) ** 2)) * np.clip(0.35 - 0.45 * v, 0.1, 1)
    spot = np.exp(-((u + 0.3) ** 2 + (v + 0.35) ** 2) * 14)
    cover = np.clip(rim + 0.7 * spot, 0, 0.85) * (r < 1.3)
    colour = np.full((side, side, 3), 0.92, np.float32)
    water.paint(colour, cover, left, top, 1.0)
