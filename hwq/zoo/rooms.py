"""Rooms with exact depth, drawn by a small ray caster: a seed and a number make a picture, so that none is stored.

A fixed camera (62 degrees wide, 1.5 m above the floor, level) looks into a box of a room with 2 to 6 spheres and turned
boxes, under one lamp; checkers, stripes and waves cover the surfaces; the sensor is noisy. Lengths are metres.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi, radians, sin, tan

import numpy as np
from numpy.typing import NDArray

__all__ = ["HEIGHT", "WIDTH", "room", "rooms"]

HEIGHT, WIDTH = 96, 128
_EYE = np.array([0.0, 1.5, 0.0])  # x right, y up, z ahead
_SPREAD = tan(radians(31))
_NOISE = 0.02

Floats = NDArray[np.float64]
Random = np.random.Generator


@dataclass(frozen=True, eq=False)
class Hit:
    """Where the rays [R] meet a thing: the depth, inf where they miss; surface coordinates, normals, the face."""

    depth: Floats  # [R]
    place: Floats  # [R, 2]
    normal: Floats  # [R, 3]
    face: NDArray[np.int64]  # [R], 0..5


def rooms(seed: int, count: int, start: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Pictures [count, 96, 128, 3] and depths [count, 96, 128] of the rooms start, start + 1 ... of a seed."""
    made = [room(seed, number) for number in range(start, start + count)]
    return np.stack([picture for picture, _ in made]), np.stack([depth for _, depth in made])


def room(seed: int, number: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Picture [96, 128, 3] and depth along the optical axis [96, 128]."""
    random = np.random.default_rng((seed, number))
    rays = _rays()
    low = np.array([-random.uniform(0.7, 5), 0.0, -1.0])
    high = np.array([random.uniform(0.7, 5), random.uniform(2.3, 4.5), random.uniform(2, 14)])
    hits = [_inside(rays, low, high)]
    hits += [_thing(random, rays, low, high) for _ in range(int(random.integers(2, 7)))]
    depth = np.stack([hit.depth for hit in hits])
    nearest = depth.argmin(0)
    colour = np.zeros((len(rays), 3))
    lamp = np.array([random.uniform(low[0], high[0]), high[1] - 0.2, random.uniform(0, high[2])])
    for i, hit in enumerate(hits):
        seen = nearest == i
        points = _EYE + rays[seen] * hit.depth[seen, None]
        colour[seen] = _texture(random, hit, seen) * _light(points, hit.normal[seen], lamp)[:, None]
    colour = colour * random.uniform(0.8, 1.3) + random.normal(0, _NOISE, colour.shape)
    picture = (colour.clip(0, 1) * 255).round().astype(np.uint8)
    return picture.reshape(HEIGHT, WIDTH, 3), depth.min(0).reshape(HEIGHT, WIDTH).astype(np.float32)


def _rays() -> Floats:
    """Directions [R, 3] through the pixels' middles, each 1 long along z: a hit's parameter is its depth."""
    x = ((np.arange(WIDTH) + 0.5) / WIDTH * 2 - 1) * _SPREAD
    y = -((np.arange(HEIGHT) + 0.5) / HEIGHT * 2 - 1) * _SPREAD * HEIGHT / WIDTH
    across, up = np.meshgrid(x, y)
    return np.stack([across.ravel(), up.ravel(), np.ones(HEIGHT * WIDTH)], 1)


def _inside(rays: Floats, low: Floats, high: Floats) -> Hit:
    """The walls of the box between two corners, seen from within."""
    with np.errstate(divide="ignore"):
        leave = np.where(rays > 0, high - _EYE, low - _EYE) / rays
    axis = leave.argmin(1)
    depth = leave.min(1)
    return _box_hit(depth, _EYE + rays * depth[:, None], axis, -np.sign(rays[np.arange(len(rays)), axis]))


def _thing(random: Random, rays: Floats, low: Floats, high: Floats) -> Hit:
    """A sphere or a turned box on the floor, away from the camera and within the walls' middle."""
    middle = np.array([random.uniform(low[0] + 0.4, high[0] - 0.4), 0.0, random.uniform(1.0, 0.9 * high[2])])
    if random.random() < 0.5:
        radius = random.uniform(0.2, 0.8)
        return _sphere(rays, middle + np.array([0, radius * random.uniform(1, 2), 0]), radius)
    half = np.array([random.uniform(0.15, 0.6), random.uniform(0.1, 1.1), random.uniform(0.15, 0.6)])
    return _turned_box(rays, middle + np.array([0, half[1], 0]), half, random.uniform(0, pi))


def _sphere(rays: Floats, middle: Floats, radius: float) -> Hit:
    off = _EYE - middle
    a, b = (rays * rays).sum(1), rays @ off
    inner = b * b - a * (off @ off - radius * radius)
    depth = (-b - np.sqrt(inner.clip(0))) / a
    depth = np.where((inner > 0) & (depth > 0), depth, np.inf)
    normal = (off + rays * np.where(np.isfinite(depth), depth, 0)[:, None]) / radius
    place = np.stack([np.arctan2(normal[:, 0], normal[:, 2]), np.arcsin(normal[:, 1].clip(-1, 1))], 1) * radius
    return Hit(depth, place, normal, np.zeros(len(rays), np.int64))


def _turned_box(rays: Floats, middle: Floats, half: Floats, angle: float) -> Hit:
    """A box of half sides `half`, turned about the vertical."""
    c, s = cos(angle), sin(angle)
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    way, start = rays @ turn, (_EYE - middle) @ turn
    with np.errstate(divide="ignore"):
        one, other = (-half - start) / way, (half - start) / way
    enter, leave = np.minimum(one, other), np.maximum(one, other)
    axis, depth = enter.argmax(1), enter.max(1)
    depth = np.where((depth <= leave.min(1)) & (depth > 0), depth, np.inf)
    points = start + way * np.where(np.isfinite(depth), depth, 0)[:, None]
    hit = _box_hit(depth, points, axis, -np.sign(way[np.arange(len(way)), axis]))
    return Hit(hit.depth, hit.place, hit.normal @ turn.T, hit.face)


def _box_hit(depth: Floats, points: Floats, axis: NDArray[np.int64], sign: Floats) -> Hit:
    """A hit on the faces across `axis` [R], whose normals point to `sign`."""
    rows = np.arange(len(points))
    normal = np.zeros_like(points)
    normal[rows, axis] = sign
    place = np.stack([points[rows, (axis + 1) % 3], points[rows, (axis + 2) % 3]], 1)
    return Hit(depth, place, normal, 2 * axis + (sign > 0))


def _light(points: Floats, normals: Floats, lamp: Floats) -> Floats:
    """Lambert's law under one lamp that fades with distance, over a little light from everywhere."""
    to = lamp - points
    far = np.sqrt((to * to).sum(1))
    return np.asarray(0.3 + 0.9 * ((to * normals).sum(1) / far).clip(0) / (1 + 0.04 * far * far))


def _texture(random: Random, hit: Hit, seen: NDArray[np.bool_]) -> Floats:
    """Colours [S, 3] of the seen rays: each face mixes two colours in a pattern of its own."""
    face, place = hit.face[seen], hit.place[seen]
    colour = np.zeros((len(face), 3))
    for number in range(6):  # all are drawn, so that what is seen changes nothing else
        pattern, pair = _pattern(random), random.uniform(0.1, 1, (2, 3))
        mix = pattern(place[face == number])[:, None]
        colour[face == number] = pair[0] + (pair[1] - pair[0]) * mix
    return colour


def _pattern(random: Random) -> Callable[[Floats], Floats]:
    """A map from surface coordinates [S, 2] to 0..1: plain, checkered, striped or wavy."""
    kind, period, angle = int(random.integers(4)), random.uniform(0.2, 1.2), random.uniform(0, pi)
    waves, phases = random.normal(0, 2 / period, (2, 6)), random.uniform(0, 2 * pi, 6)
    along = np.array([cos(angle), sin(angle)])

    def checkers(place: Floats) -> Floats:
        return np.asarray(np.floor(place / period).sum(1) % 2)

    def stripes(place: Floats) -> Floats:
        return np.asarray(np.floor(place @ along / period) % 2)

    def wavy(place: Floats) -> Floats:
        return np.asarray(0.5 + 0.5 * np.tanh(np.sin(place @ waves + phases).sum(1) / 2))

    return (lambda place: np.zeros(len(place)), checkers, stripes, wavy)[kind]
