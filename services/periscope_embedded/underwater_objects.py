"""What swims, hangs and lies in the synthetic sea: buoys and gates, and things that are neither.

Each ``draw_*`` paints one thing into the water and, for buoys and gates, gives the box around its outline as
(x1, y1, x2, y2) in pixels, not yet cut by the frame. Colours are BGR in 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from periscope_embedded.water import Pixels, Textures, Water, fractal_noise, noise_field

Box = tuple[float, float, float, float]
Points = npt.NDArray[np.float64]

SUBPIXEL_BITS = 4
BUOY_PAINT = ((0.12, 0.16, 0.95), (0.08, 0.45, 1.0), (0.15, 0.85, 1.0), (0.92, 0.95, 0.95), (0.25, 0.75, 0.2))
RED, ORANGE, BLACK = (0.10, 0.10, 0.92), (0.05, 0.42, 1.0), (0.05, 0.05, 0.05)


@dataclass(frozen=True)
class Placement:
    """Where a thing goes: its centre and largest extent in pixels, and how far away it is."""

    x: float
    y: float
    size: float
    distance_m: float


def draw_buoy(water: Water, rng: np.random.Generator, place: Placement, textures: Textures) -> Box:
    """A ball, lit from above, on a tether that runs down to the floor."""
    height = water.picture.shape[0]
    radius = place.size / 2
    _draw_tether(water, rng, place, height)
    margin = 6
    side = int(np.ceil(place.size)) + 2 * margin
    left, top = int(np.floor(place.x - radius)) - margin, int(np.floor(place.y - radius)) - margin
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    u, v = (x + left + 0.5 - place.x) / radius, (y + top + 0.5 - place.y) / radius
    r2 = u * u + v * v
    depth = np.sqrt(np.clip(1 - r2, 0, 1))
    lean = rng.uniform(-0.5, 0.5)
    light = np.clip(0.45 * depth - 0.8 * v + lean * u, 0, 1.2) / 1.1
    colour = np.array(BUOY_PAINT[rng.integers(len(BUOY_PAINT))], np.float32)
    paint = np.broadcast_to(colour, (side, side, 3)).copy()
    if rng.random() < 0.35:
        band = np.abs(v * np.cos(lean) + u * np.sin(lean) * 0.4 + 0.15 * depth) < rng.uniform(0.12, 0.25)
        paint[band] = (0.95, 0.95, 0.95) if colour.min() < 0.5 else BLACK
    paint *= (0.82 + 0.36 * fractal_noise(rng, side, side, max(side / 3, 2), 3))[..., None]
    shaded = paint * (0.28 + 0.85 * light)[..., None]
    shaded += 0.4 * (_caustics_on(textures, rng, side, side) * np.clip(-v, 0, 1) * depth)[..., None] * paint
    glint = np.exp(-((u - lean * 0.5) ** 2 + (v + 0.5) ** 2) * 28) * rng.uniform(0.05, 0.4)
    shaded += glint[..., None]
    cover = np.clip((1 - np.sqrt(r2)) * radius + 0.5, 0, 1)
    water.paint(shaded, cover, left, top, place.distance_m)
    return place.x - radius, place.y - radius, place.x + radius, place.y + radius


def _draw_tether(water: Water, rng: np.random.Generator, place: Placement, height: int) -> None:
    drift = rng.uniform(-0.25, 0.25)
    length = max(height - place.y, 1.0) + 20
    steps = np.linspace(0, 1, 24)
    xs = place.x + drift * length * steps**1.5
    ys = place.y + 0.95 * place.size / 2 + length * steps
    _draw_lines(
        water, [np.stack([xs, ys], 1)], max(place.size * 0.02, 0.8), (0.3, 0.35, 0.3), place.distance_m
    )


def _draw_lines(
    water: Water, lines: list[Points], width: float, colour: tuple[float, float, float], distance_m: float
) -> None:
    height, wide = water.picture.shape[:2]
    alpha = np.zeros((height, wide), np.uint8)
    scaled = [np.round(line * 2**SUBPIXEL_BITS).astype(np.int32) for line in lines]
    cv2.polylines(alpha, scaled, False, 255, max(round(width), 1), cv2.LINE_AA, SUBPIXEL_BITS)
    paint = np.broadcast_to(np.array(colour, np.float32), (height, wide, 3)).copy()
    water.paint(paint, alpha / 255 * min(width, 1.0), 0, 0, distance_m)


def draw_gate(water: Water, rng: np.random.Generator, place: Placement, textures: Textures) -> Box:
    """Two posts and a crossbar, turned and tilted, with painted bars, hanging from two ropes."""
    bars, thickness = _gate_bars(rng, place)
    tops = [bars[0][0], bars[1][0]]
    ropes = [np.array([top, (top[0] + rng.uniform(-20, 20), -30.0)]) for top in tops if top[1] > 0]
    if ropes and rng.random() < 0.6:
        _draw_lines(water, ropes, max(place.size * 0.012, 0.7), (0.4, 0.45, 0.42), place.distance_m)
    paints = _gate_paint(rng)
    outlines = []
    for bar, widths, paint in zip(bars, thickness, paints, strict=True):
        outlines.append(_draw_bar(water, rng, bar, widths, paint, place.distance_m, textures))
    corners = np.concatenate(outlines)
    (x1, y1), (x2, y2) = corners.min(0), corners.max(0)
    return float(x1), float(y1), float(x2), float(y2)


def _gate_paint(rng: np.random.Generator) -> list[tuple[tuple[float, float, float], ...]]:
    """One or two alternating colours for the left post, the right post and the crossbar."""
    choices: list[list[tuple[tuple[float, float, float], ...]]] = [
        [(RED,), (BLACK,), (ORANGE,)],
        [(ORANGE,), (ORANGE,), (ORANGE,)],
        [(RED,), (RED,), (BLACK,)],
        [(ORANGE, BLACK), (ORANGE, BLACK), (ORANGE,)],
        [(BLACK,), (RED,), (RED, BLACK)],
    ]
    return choices[int(rng.integers(len(choices)))]


def _gate_bars(rng: np.random.Generator, place: Placement) -> tuple[list[Points], list[tuple[float, float]]]:
    """Ends [2, 2] in pixels and widths at both ends of left post, right post, crossbar."""
    tall = rng.uniform(0.7, 0.95)
    half = 0.5
    yaw, roll, pitch = rng.normal(0, 0.22), rng.normal(0, 0.06), rng.normal(0, 0.1)
    yaw = float(np.clip(yaw, -0.85, 0.85))
    posts = [[(-half, -tall / 2, 0), (-half, tall / 2, 0)], [(half, -tall / 2, 0), (half, tall / 2, 0)]]
    bar = [(-half, -tall / 2, 0), (half, -tall / 2, 0)]
    points = np.array([*posts, bar], np.float64).reshape(-1, 3)
    turned = points @ (_turn(0, 2, yaw) @ _turn(1, 2, pitch) @ _turn(0, 1, roll))
    away = 2.2
    near = away / (away + turned[:, 2])
    flat = turned[:, :2] * near[:, None]
    extent = np.ptp(flat, axis=0).max()
    scale = place.size / extent
    pixels = flat * scale
    pixels += (place.x, place.y) - (pixels.min(0) + pixels.max(0)) / 2
    widths = np.maximum(rng.uniform(0.07, 0.1) * scale * near, 2.2)
    ends = pixels.reshape(3, 2, 2)
    return list(ends), [(float(a), float(b)) for a, b in widths.reshape(3, 2)]


def _turn(i: int, j: int, angle: float) -> Points:
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
    return matrix


def _draw_bar(
    water: Water,
    rng: np.random.Generator,
    ends: Points,
    widths: tuple[float, float],
    paint: tuple[tuple[float, float, float], ...],
    distance_m: float,
    textures: Textures,
) -> Points:
    """A round bar as a quad, lit across its width; gives its corners [4, 2]."""
    along = ends[1] - ends[0]
    along /= max(float(np.hypot(*along)), 1e-6)
    across = np.array([-along[1], along[0]])
    # The ends reach a little further, so that posts and crossbar meet in a full corner.
    a, b = ends[0] - along * widths[0] / 2, ends[1] + along * widths[1] / 2
    offset_a, offset_b = across * widths[0] / 2, across * widths[1] / 2
    quad = np.stack([a + offset_a, b + offset_b, b - offset_b, a - offset_a])
    margin = 4
    low = np.floor(quad.min(0)).astype(int) - margin
    wide, high = (np.ceil(quad.max(0)).astype(int) - low + margin).tolist()
    mask = np.zeros((high, wide), np.uint8)
    cv2.fillPoly(
        mask,
        [np.round((quad - low - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32)],
        255,
        cv2.LINE_AA,
        SUBPIXEL_BITS,
    )
    y, x = np.mgrid[0:high, 0:wide].astype(np.float32)
    from_a = np.stack([x + 0.5 + low[0] - a[0], y + 0.5 + low[1] - a[1]], -1)
    length = max(float(np.hypot(*(b - a))), 1.0)
    position = from_a @ along / length
    side = (from_a @ across) / (max(widths) / 2)
    lit = -1.0 if across[1] > 0 or (abs(across[1]) < 0.3 and rng.random() < 0.5) else 1.0
    shade = 0.45 + 0.55 * np.clip(np.sqrt(np.clip(1 - side**2, 0, 1)) * 0.8 + 0.35 * lit * side, 0, 1)
    stripe = np.floor(position * 5).astype(int) % len(paint)
    colour = np.array(paint, np.float32)[stripe] * shade[..., None]
    colour *= (0.8 + 0.4 * noise_field(rng, high, wide, 7))[..., None]
    colour += 0.25 * (_caustics_on(textures, rng, high, wide) * shade)[..., None] * colour
    water.paint(colour, mask / 255, int(low[0]), int(low[1]), distance_m)
    return quad


def _caustics_on(textures: Textures, rng: np.random.Generator, height: int, width: int) -> Pixels:
    net = textures.caustics
    top, left = (int(rng.integers(0, max(net.shape[0] - n, 1))) for n in (height, width))
    piece = net[top : top + height, left : left + width]
    return piece if piece.shape == (height, width) else np.zeros((height, width), np.float32)
