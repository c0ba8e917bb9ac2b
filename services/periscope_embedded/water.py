"""What water does to light: how an underwater camera's picture comes about.

Light from a thing at distance d arrives weakened by exp(-k d), red most of all, and the water between
adds its own glow; that is all a murky picture is. No objects here: they are in ``underwater_objects``.
Colours are float BGR in 0..1, distances in metres, images float32 [H, W, 3].
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.float32]

TEXTURE_PIXELS = 768
GREEN_WATER = np.array([0.42, 0.52, 0.20], np.float32)
BLUE_WATER = np.array([0.66, 0.45, 0.12], np.float32)


def noise_field(rng: np.random.Generator, height: int, width: int, cell: float) -> Pixels:
    """Smooth noise in 0..1 whose bumps are about ``cell`` pixels wide."""
    grid = rng.random((int(height / cell) + 3, int(width / cell) + 3), dtype=np.float32)
    return np.clip(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def fractal_noise(rng: np.random.Generator, height: int, width: int, cell: float, octaves: int) -> Pixels:
    """Noise in about 0..1 with detail down to ``cell / 2**octaves`` pixels."""
    total = np.zeros((height, width), np.float32)
    weight, weights = 1.0, 0.0
    for octave in range(octaves):
        total += weight * noise_field(rng, height, width, max(cell / 2**octave, 1.0))
        weights += weight
        weight *= 0.6
    return total / weights


@dataclass(frozen=True)
class Textures:
    """Large patterns made once a data set; every picture looks at another piece of them."""

    sand: Pixels
    caustics: Pixels

    @classmethod
    def make(cls, rng: np.random.Generator) -> Textures:
        """Sand with ripples, and the net of light that waves throw on it."""
        n = TEXTURE_PIXELS
        rows = np.arange(n, dtype=np.float32)[:, None]
        bends = 60 * noise_field(rng, n, n, 160)
        ripples = 0.5 + 0.5 * np.sin((rows + bends) * (2 * np.pi / 26))
        sand = 0.55 * fractal_noise(rng, n, n, 90, 5) + 0.2 * ripples + 0.25 * noise_field(rng, n, n, 1.5)
        return cls(sand.astype(np.float32), _caustic_net(rng, n))


def _caustic_net(rng: np.random.Generator, n: int) -> Pixels:
    """Bright thin lines along the level sets of bent noise: 0 dark, 1 in a focus."""
    y, x = np.mgrid[0:n, 0:n].astype(np.float32)
    net = np.zeros((n, n), np.float32)
    for cell in (46, 30):
        bend_x, bend_y = (40 * noise_field(rng, n, n, 60) for _ in range(2))
        field = noise_field(rng, n, n, cell)
        bent = cv2.remap(field, x + bend_x, y + bend_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        net += np.exp(-np.abs(bent - 0.5) * 22)
    return np.asarray(np.clip(net / 1.5, 0, 1), np.float32)


@dataclass
class Water:
    """One place and time in the sea, and the picture so far."""

    picture: Pixels
    glow: Pixels
    """The light that the water itself sends to the camera, per pixel."""
    absorption: Pixels
    """Per metre, BGR."""
    light: float
    """Brightness of what is near the camera."""

    def arrive(self, colour: Pixels, glow: Pixels, distance_m: Pixels | float) -> Pixels:
        """What is left of ``colour`` [..., 3] after ``distance_m`` of water that glows."""
        left = np.exp(-np.asarray(distance_m, np.float32)[..., None] * self.absorption)
        return np.asarray((colour * self.light * left + glow * (1 - left)), np.float32)

    def paint(
        self, colour: npt.ArrayLike, alpha: npt.ArrayLike, left: int, top: int, distance_m: float
    ) -> None:
        """Put a patch [h, w, 3] with its cover [h, w] at a distance; what lies outside is cut off."""
        colour, alpha = np.asarray(colour, np.float32), np.asarray(alpha, np.float32)
        murk = 0.12 * distance_m * float(self.absorption[1]) * 10
        if murk > 0.35:
            alpha, colour = (
                cv2.GaussianBlur(part, (0, 0), murk).astype(np.float32) for part in (alpha, colour)
            )
        height, width = self.picture.shape[:2]
        y0, y1 = max(top, 0), min(top + alpha.shape[0], height)
        x0, x1 = max(left, 0), min(left + alpha.shape[1], width)
        if y0 >= y1 or x0 >= x1:
            return
        here = (slice(y0, y1), slice(x0, x1))
        patch = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        seen = self.arrive(colour[patch], self.glow[here], distance_m)
        cover = alpha[patch][..., None]
        self.picture[here] = self.picture[here] * (1 - cover) + seen * cover


def open_water(rng: np.random.Generator, height: int, width: int) -> Water:
    """Empty water: brighter towards the surface and the sun, with rays of light, darker below."""
    blueness = rng.beta(0.8, 0.8)
    tint = GREEN_WATER * (1 - blueness) + BLUE_WATER * blueness
    tint = tint * rng.uniform(0.85, 1.35)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    sun_x, sun_y = rng.uniform(-0.2, 1.2) * width, -rng.uniform(0.15, 0.9) * height
    fall = np.exp(-y / height * rng.uniform(0.7, 1.7))
    near_sun = np.exp(-np.hypot(x - sun_x, y - sun_y) / (0.55 * np.hypot(width, height)))
    brightness = 0.2 + 0.72 * fall + 0.55 * near_sun
    brightness *= 1 + rng.uniform(0, 0.5) * _rays(rng, x, y, sun_x, sun_y)
    murky_parts = 0.92 + 0.16 * fractal_noise(rng, height, width, width / 3, 3)
    glow = tint * (brightness * murky_parts)[..., None]
    # Near the surface the water washes out to a paler green; far below only blue is left.
    glow += np.array([0.05, 0.07, 0.05], np.float32) * (fall**3)[..., None]
    turbidity = rng.uniform(0.5, 1.1)
    absorption = turbidity * np.array([0.22 - 0.1 * blueness, 0.15, 0.42], np.float32)
    glow = np.clip(glow, 0, 1).astype(np.float32)
    return Water(glow.copy(), glow, absorption.astype(np.float32), float(rng.uniform(0.85, 1.2)))


def _rays(rng: np.random.Generator, x: Pixels, y: Pixels, sun_x: float, sun_y: float) -> Pixels:
    """Beams from the sun through the waves, fading with depth; about -0.5..1."""
    height = y.shape[0]
    angle = np.arctan2(x - sun_x, y - sun_y)
    waves = noise_field(rng, 1, 1024, 28)[0] * 0.6 + noise_field(rng, 1, 1024, 9)[0] * 0.4
    place = np.clip((angle + np.pi / 2) / np.pi * 1023, 0, 1023).astype(np.float32)
    beams = cv2.remap(waves[None], place, np.zeros_like(place), cv2.INTER_LINEAR)
    return np.asarray((beams - 0.5) * 2.4 * np.exp(-y / height * 1.6), np.float32)


def add_sea_floor(water: Water, rng: np.random.Generator, textures: Textures) -> int | None:
    """Lay sand with ripples and caustics under the scene; the row of its horizon, or None for deep water."""
    height, width = water.picture.shape[:2]
    if rng.random() < 0.25:
        return None
    horizon = int(height * rng.uniform(0.5, 0.85))
    y, x = np.mgrid[horizon:height, 0:width].astype(np.float32)
    camera_height_m = rng.uniform(0.9, 1.8)
    focal = 0.8 * width
    tilt = np.tan(rng.normal(0, 0.05)) * (x - width / 2)
    distance = np.clip(camera_height_m * focal / np.maximum(y - horizon + 2 + tilt, 1.0), 0, 60)
    scale, shift = 95.0, rng.uniform(0, TEXTURE_PIXELS, 2)
    across = np.mod((x - width / 2) / focal * distance * scale + shift[0], 2 * TEXTURE_PIXELS)
    along = np.mod(distance * scale + shift[1], 2 * TEXTURE_PIXELS)
    sand, net = (_look(texture, across, along) for texture in (textures.sand, textures.caustics))
    grain = np.array(rng.choice([[0.42, 0.52, 0.58], [0.33, 0.42, 0.44], [0.5, 0.6, 0.62]]), np.float32)
    shade = 0.35 + 0.9 * sand + rng.uniform(0, 1.1) * net * np.exp(-distance / 5)
    colour = (grain * shade[..., None]).astype(np.float32)
    glow = water.glow[horizon:]
    seen = water.arrive(colour, glow * 0.85, distance.astype(np.float32))
    edge = np.clip((y - horizon + tilt) / 6, 0, 1)[..., None]
    water.picture[horizon:] = glow * (1 - edge) + seen * edge
    return horizon


def _look(texture: Pixels, across: Pixels, along: Pixels) -> Pixels:
    """The texture, continued by mirroring, at float coordinates in 0..2n."""
    column, row = (
        np.clip(TEXTURE_PIXELS - 1 - np.abs(TEXTURE_PIXELS - 1 - part), 0, None).astype(np.float32)
        for part in (across, along)
    )
    return np.asarray(cv2.remap(texture, column, row, cv2.INTER_LINEAR), np.float32)


def add_particles(water: Water, rng: np.random.Generator) -> None:
    """Marine snow: many faint specks, and some near ones that are large and out of focus."""
    height, width = water.picture.shape[:2]
    snow = np.zeros((height, width), np.float32)
    specks = int(rng.integers(30, 260) * width * height / 102_400)
    rows, columns = rng.integers(0, height, specks), rng.integers(0, width, specks)
    snow[rows, columns] = rng.uniform(0.1, 0.7, specks)
    snow = np.asarray(cv2.GaussianBlur(snow, (0, 0), float(rng.uniform(0.5, 0.9))), np.float32)
    for _ in range(int(rng.integers(0, 14))):
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        disc = np.zeros_like(snow)
        cv2.circle(disc, centre, int(rng.integers(1, 4)), float(rng.uniform(0.06, 0.25)), -1, cv2.LINE_AA)
        snow = np.maximum(snow, np.asarray(cv2.blur(disc, (3, 3)), np.float32))
    lit = np.clip(water.glow * 1.3 + 0.15, 0, 1)
    water.picture += (lit - water.picture) * np.clip(snow, 0, 0.8)[..., None]


def through_the_camera(picture: Pixels, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Lens and sensor: softness, darker corners, a colour cast, grain. Gives uint8 BGR."""
    height, width = picture.shape[:2]
    soft = np.asarray(cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.35, 0.95))), np.float32)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    radius2 = ((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2) * 2
    soft *= (1 - rng.uniform(0.15, 0.55) * radius2)[..., None]
    soft *= rng.uniform(0.95, 1.05, 3).astype(np.float32)
    soft = np.clip(soft, 0, 1) ** rng.uniform(0.85, 1.1)
    grain = rng.standard_normal((height, width, 1), dtype=np.float32) * rng.uniform(0.006, 0.02)
    tinted = rng.standard_normal((height, width, 3), dtype=np.float32) * 0.008
    return np.asarray((np.clip(soft + grain + tinted, 0, 1) * 255).round(), np.uint8)
