"""Backgrounds (rooms, parks, streets, beaches, gyms, studios) and the objects that stand in them."""

from collections.abc import Callable

import numpy as np

from baselines.mannequins.canvas import Canvas, Colour, mix, shade

Generator = np.random.Generator

WALLS = (
    (232, 224, 208),
    (206, 218, 214),
    (222, 204, 196),
    (188, 200, 216),
    (214, 206, 226),
    (176, 190, 170),
    (240, 220, 170),
)
FLOORS = ((176, 132, 92), (142, 104, 76), (198, 176, 148), (120, 124, 134), (168, 170, 168), (134, 92, 84))
BRIGHT = ((206, 84, 70), (240, 180, 80), (84, 146, 190), (96, 158, 112), (150, 110, 170), (226, 130, 90))


def _pick(rng: Generator, colours: tuple[Colour, ...]) -> Colour:
    return colours[rng.integers(len(colours))]


def _gradient(canvas: Canvas, horizon: float, upper: tuple[Colour, Colour], lower: tuple[Colour, Colour]) -> None:
    """Two vertical gradients that meet at the horizon (a pixel row)."""
    rows = np.empty((canvas.height, 3))
    y = np.arange(canvas.height)
    for k in range(3):
        top = np.interp(y, [0, horizon], [upper[0][k], upper[1][k]])
        bottom = np.interp(y, [horizon, canvas.height], [lower[0][k], lower[1][k]])
        rows[:, k] = np.where(y < horizon, top, bottom)
    canvas.rows(rows.astype(np.uint8))
    # the border between the two is sharp
    canvas.rectangle(-1, horizon, canvas.width + 2, 1.0, lower[0])


def _room(canvas: Canvas, rng: Generator, horizon: float) -> None:
    """A wall, a skirting board, a floor of planks, and what hangs on the wall."""
    wall, floor = _pick(rng, WALLS), _pick(rng, FLOORS)
    edge = horizon + 0.12 * canvas.height
    _gradient(canvas, edge, (shade(wall, 0.86), wall), (shade(floor, 0.82), shade(floor, 1.12)))
    if rng.random() < 0.4:
        gap = rng.uniform(9, 20)
        for x in np.arange(rng.uniform(0, gap), canvas.width, gap):
            canvas.rectangle(x, 0, gap * 0.45, edge, shade(wall, 0.93))
    vanish = canvas.width * rng.uniform(0.3, 0.7)
    for x in np.linspace(-1.5, 2.5, 25) * canvas.width:
        canvas.line([(vanish + (x - vanish) * 0.42, edge), (x, canvas.height)], shade(floor, 0.72), 0.6)
    for i in range(int(rng.integers(1, 4))):
        w, h = rng.uniform(26, 54), rng.uniform(28, 50)
        x, y = rng.uniform(0, canvas.width - w), rng.uniform(4, max(5.0, edge - h - 12))
        canvas.rectangle(x + 1.5, y + 2, w, h, shade(wall, 0.72))
        if i == 0 and rng.random() < 0.5:  # a window
            canvas.rectangle(x, y, w, h, (250, 250, 248))
            for u in (0.06, 0.54):
                for v in (0.06, 0.54):
                    canvas.rectangle(x + u * w, y + v * h, 0.4 * w, 0.4 * h, mix((150, 200, 236), (214, 234, 246), v))
        else:  # a picture
            canvas.rectangle(x, y, w, h, _pick(rng, FLOORS))
            canvas.rectangle(x + 2.5, y + 2.5, w - 5, h - 5, shade(_pick(rng, BRIGHT), 1.3))
            canvas.ellipse(x + w * rng.uniform(0.35, 0.65), y + h * 0.5, w * 0.24, h * 0.22, _pick(rng, BRIGHT))
    canvas.rectangle(0, edge - 4.0, canvas.width, 4.0, shade(wall, 1.5))
    canvas.rectangle(0, edge - 0.4, canvas.width, 0.9, shade(floor, 0.5))
    if rng.random() < 0.5:  # a rug
        x, y = canvas.width * rng.uniform(0.3, 0.7), edge + (canvas.height - edge) * 0.55
        rug = _pick(rng, BRIGHT)
        for share, colour in ((1.0, shade(rug, 0.8)), (0.86, shade(rug, 1.45)), (0.76, rug)):
            canvas.ellipse(x, y, canvas.width * 0.36 * share, (canvas.height - edge) * 0.32 * share, colour)


def _clouds(canvas: Canvas, rng: Generator, horizon: float, colour: Colour) -> None:
    for _ in range(int(rng.integers(1, 5))):
        x, y, size = rng.uniform(0, canvas.width), rng.uniform(0.08, 0.7) * horizon, rng.uniform(6, 15)
        for dx, dy, r in ((-1.3, 0.2, 0.7), (-0.5, -0.2, 0.95), (0.5, -0.1, 0.85), (1.3, 0.25, 0.6)):
            canvas.ellipse(x + dx * size, y + dy * size, r * size, r * size * 0.62, colour)


def _tree(canvas: Canvas, rng: Generator, x: float, y: float, size: float, green: Colour) -> None:
    canvas.rectangle(x - size * 0.06, y - size * 0.5, size * 0.12, size * 0.5, (98, 70, 52))
    if rng.random() < 0.4:
        for k in range(3):
            top, half = y - size * (1.15 - 0.27 * k), size * (0.17 + 0.07 * k)
            outline = np.array([[x, top], [x + half, top + size * 0.42], [x - half, top + size * 0.42]])
            canvas.polygon(outline, shade(green, 0.8 + 0.1 * (2 - k)))
    else:
        for dx, dy, r, f in (
            (0.12, -0.68, 0.3, 0.78),
            (-0.16, -0.7, 0.27, 0.9),
            (0.02, -0.9, 0.27, 1.0),
            (-0.06, -0.96, 0.14, 1.12),
        ):
            canvas.ellipse(x + dx * size, y + dy * size, r * size, r * size, shade(green, f))


def _park(canvas: Canvas, rng: Generator, horizon: float) -> None:
    sky = _pick(rng, ((120, 178, 226), (150, 196, 226), (244, 196, 150), (176, 190, 214)))
    grass = _pick(rng, ((128, 168, 84), (104, 152, 88), (166, 168, 92), (188, 162, 96)))
    _gradient(canvas, horizon, (sky, shade(sky, 1.6)), (shade(grass, 0.86), shade(grass, 1.1)))
    _clouds(canvas, rng, horizon, shade(sky, 1.7))
    x = np.linspace(-2, canvas.width + 2, 40)
    for k, share in enumerate((0.5, 0.25)):
        ridge = horizon - canvas.height * share * (
            0.28 + 0.12 * np.sin(x / canvas.width * rng.uniform(4, 9) + rng.uniform(0, 6))
        )
        outline = np.concatenate([np.stack([x, ridge], 1), [[canvas.width + 2, horizon + 1], [-2, horizon + 1]]])
        canvas.polygon(outline, mix(shade(grass, 0.85), sky, 0.55 - 0.3 * k))
    for y in np.sort(rng.uniform(0.0, 0.2, size=int(rng.integers(2, 8)))):
        size = canvas.height * (0.22 + 1.4 * y)
        _tree(canvas, rng, rng.uniform(0, canvas.width), horizon + y * canvas.height * 0.5, size, shade(grass, 0.74))
    if rng.random() < 0.5:  # a path
        a, b = canvas.width * rng.uniform(0.2, 0.8), canvas.width * rng.uniform(0.1, 0.9)
        path = np.array(
            [[a - 4, horizon + 1], [a + 4, horizon + 1], [b + 60, canvas.height + 1], [b - 60, canvas.height + 1]]
        )
        canvas.polygon(path, (214, 196, 164))
    for _ in range(30):
        u, v = rng.uniform(0, canvas.width), rng.uniform(horizon + 4, canvas.height)
        tall = 1.5 + 4.0 * (v - horizon) / canvas.height
        canvas.line([(u, v), (u + rng.uniform(-1, 1), v - tall)], shade(grass, rng.uniform(0.7, 1.3)), 0.7)


def _street(canvas: Canvas, rng: Generator, horizon: float) -> None:
    night = rng.random() < 0.25
    sky = (34, 40, 74) if night else _pick(rng, ((160, 196, 222), (206, 212, 218), (246, 206, 170)))
    road = (84, 86, 94) if night else (138, 140, 146)
    kerb = horizon + 0.1 * canvas.height
    _gradient(canvas, kerb, (sky, shade(sky, 1.3)), (shade(road, 1.15), shade(road, 0.9)))
    x = -rng.uniform(0, 30)
    while x < canvas.width:
        w, h = rng.uniform(34, 70), rng.uniform(0.45, 0.98) * kerb
        front = mix(
            _pick(rng, ((196, 140, 116), (214, 190, 150), (150, 160, 176), (188, 112, 96), (172, 178, 170))), sky, 0.25
        )
        front = shade(front, 0.5) if night else front
        canvas.rectangle(x, kerb - h, w, h, front)
        canvas.rectangle(x, kerb - h, w, 2.2, shade(front, 0.7))
        columns, rows = int(w // 13), int(h // 17)
        lit = rng.random((columns + 1, rows + 1)) < 0.45
        for i in range(columns):
            for j in range(rows):
                pane = (250, 220, 140) if night and lit[i, j] else shade(front, 0.62 if not lit[i, j] else 0.78)
                canvas.rectangle(x + (i + 0.5) * w / columns - 3.2, kerb - h + 7 + j * 16, 6.4, 9, pane)
        if rng.random() < 0.5:
            canvas.rectangle(x + 4, kerb - 15, w - 8, 5, _pick(rng, BRIGHT))
        x += w
    canvas.rectangle(0, kerb, canvas.width, 0.07 * canvas.height, shade(road, 1.35))
    for u in np.arange(-20, canvas.width, 46.0):
        y = kerb + 0.55 * (canvas.height - kerb)
        canvas.polygon(np.array([[u, y], [u + 24, y], [u + 20, y + 4], [u - 6, y + 4]]), (232, 226, 206))


def _beach(canvas: Canvas, rng: Generator, horizon: float) -> None:
    sky = _pick(rng, ((126, 190, 232), (250, 190, 140), (168, 210, 232)))
    sea, sand = (58, 136, 168), (234, 208, 158)
    _gradient(canvas, horizon, (sky, shade(sky, 1.6)), (shade(sand, 0.9), shade(sand, 1.2)))
    canvas.ellipse(canvas.width * rng.uniform(0.1, 0.9), horizon * rng.uniform(0.15, 0.6), 9, 9, (255, 244, 206))
    _clouds(canvas, rng, horizon, shade(sky, 1.7))
    shore = horizon + 0.13 * canvas.height
    canvas.rectangle(0, horizon, canvas.width, shore - horizon, sea)
    for _ in range(14):
        u, v = rng.uniform(-10, canvas.width), rng.uniform(horizon + 1, shore - 1)
        canvas.line([(u, v), (u + rng.uniform(8, 26), v)], shade(sea, rng.uniform(1.1, 1.5)), 0.7)
    x = np.linspace(-2, canvas.width + 2, 30)
    foam = shore + 1.6 * np.sin(x / rng.uniform(7, 16))
    canvas.line(np.stack([x, foam], 1), (250, 250, 246), 2.4)
    for _ in range(60):
        u, v = rng.uniform(0, canvas.width), rng.uniform(shore + 3, canvas.height)
        canvas.ellipse(u, v, 0.9, 0.6, shade(sand, rng.uniform(0.78, 0.95)))


def _gym(canvas: Canvas, rng: Generator, horizon: float) -> None:
    wall, floor = _pick(rng, ((188, 204, 214), (226, 214, 186), (170, 186, 176))), (214, 160, 98)
    edge = horizon + 0.08 * canvas.height
    _gradient(canvas, edge, (shade(wall, 0.8), shade(wall, 1.1)), (shade(floor, 0.86), shade(floor, 1.14)))
    for y in np.arange(6, edge - 6, 13):
        canvas.line([(0, y), (canvas.width, y)], shade(wall, 0.84), 0.6)
    band = _pick(rng, BRIGHT)
    canvas.rectangle(0, edge * rng.uniform(0.5, 0.72), canvas.width, 9, band)
    paint = _pick(rng, ((244, 244, 240), (70, 110, 170), (190, 66, 60)))
    u = canvas.width * rng.uniform(0.2, 0.8)
    v = edge + 0.5 * (canvas.height - edge)
    canvas.ellipse(u, v, 74, 21, paint)
    canvas.ellipse(u, v, 70, 19, floor)
    canvas.line([(0, v), (canvas.width, v)], paint, 2.0)
    canvas.rectangle(0, edge - 1, canvas.width, 2, shade(wall, 0.5))


def _studio(canvas: Canvas, rng: Generator, horizon: float) -> None:
    """A paper backdrop with a grid of soft shapes."""
    tone = mix(_pick(rng, BRIGHT), (236, 232, 226), rng.uniform(0.25, 0.8))
    edge = horizon + 0.18 * canvas.height
    _gradient(canvas, edge, (shade(tone, 0.82), shade(tone, 1.06)), (shade(tone, 1.02), shade(tone, 0.84)))
    canvas.rectangle(0, edge - 1, canvas.width, 3, shade(tone, 1.04))
    for _ in range(int(rng.integers(3, 9))):
        u, v, r = rng.uniform(0, canvas.width), rng.uniform(0, edge), rng.uniform(6, 30)
        colour = mix(tone, _pick(rng, BRIGHT), rng.uniform(0.15, 0.6))
        if rng.random() < 0.5:
            canvas.ellipse(u, v, r, r, colour)
        else:
            angle = rng.uniform(0, np.pi)
            corners = angle + np.arange(4) * np.pi / 2
            canvas.polygon(np.stack([u + r * np.cos(corners), v + r * np.sin(corners)], 1), colour)


_SCENES: tuple[Callable[[Canvas, Generator, float], None], ...] = (_room, _park, _street, _beach, _gym, _studio)
_SHARES = np.array([0.28, 0.24, 0.18, 0.12, 0.1, 0.08])


def draw_scene(canvas: Canvas, rng: Generator, horizon: float) -> None:
    """Fill the canvas with a random scene whose horizon is at pixel row `horizon`."""
    _SCENES[rng.choice(len(_SCENES), p=_SHARES)](canvas, rng, horizon)


def draw_stool(canvas: Canvas, rng: Generator, x: float, seat: float, floor: float, size: float) -> None:
    """Something to sit on: its top at pixel row `seat`, standing on row `floor`; `size` is the sitter's height."""
    colour = _pick(rng, BRIGHT + FLOORS)
    half = 0.12 * size
    if rng.random() < 0.5:
        canvas.rectangle(x - half, seat, 2 * half, floor - seat, shade(colour, 0.8))
        canvas.rectangle(x - half, seat, 0.8 * half, floor - seat, colour)
        canvas.rectangle(x - half, seat, 2 * half, 0.03 * size, shade(colour, 1.3))
    else:
        for u in (-0.8, 0.8):
            canvas.line([(x + u * half * 0.8, seat), (x + u * half, floor)], shade(colour, 0.55), 0.022 * size)
        canvas.rectangle(x - half, seat, 2 * half, 0.045 * size, colour)


def draw_object(canvas: Canvas, rng: Generator, x: float, floor: float, size: float) -> None:
    """An object on the floor at (x, floor) that may hide people; `size`: how many pixels tall a person is there."""
    canvas.shadow(x, floor, 0.24 * size, 0.05 * size, 0.8)
    colour = _pick(rng, BRIGHT)
    kind = rng.integers(6)
    if kind == 0:  # a crate
        w, h = size * rng.uniform(0.26, 0.4), size * rng.uniform(0.24, 0.42)
        wood = _pick(rng, ((190, 144, 96), (164, 118, 78), (206, 172, 124)))
        canvas.rectangle(x - w / 2, floor - h, w, h, shade(wood, 0.72))
        for k in range(4):
            canvas.rectangle(
                x - w / 2 + 0.02 * size,
                floor - h + (k + 0.12) * h / 4,
                w - 0.04 * size,
                h / 4 * 0.8,
                shade(wood, 0.9 + 0.05 * k),
            )
        canvas.line([(x - w / 2, floor), (x + w / 2, floor - h)], shade(wood, 0.8), 0.03 * size, 0)
    elif kind == 1:  # a potted plant
        w, h = size * 0.12, size * 0.2
        leaf = _pick(rng, ((76, 136, 84), (98, 150, 74), (54, 112, 92)))
        for a in np.linspace(-1.2, 1.2, 9) + rng.normal(0, 0.1, 9):
            long = size * rng.uniform(0.3, 0.46)
            u, v = x + np.sin(a) * long * 0.55, floor - h - np.cos(a) * long * 0.55
            canvas.ellipse(u, v, size * 0.045, long * 0.5, shade(leaf, rng.uniform(0.75, 1.2)), 0, a)
        canvas.polygon(
            np.array([[x - w, floor - h], [x + w, floor - h], [x + w * 0.7, floor], [x - w * 0.7, floor]]), colour
        )
        canvas.rectangle(x - w * 1.1, floor - h, w * 2.2, 0.04 * size, shade(colour, 0.8))
    elif kind == 2:  # a post with a sign
        tall = size * rng.uniform(0.9, 1.25)
        canvas.line([(x, floor), (x, floor - tall)], (110, 114, 122), 0.045 * size, 0)
        canvas.ellipse(x, floor - tall, 0.13 * size, 0.13 * size, (244, 240, 234))
        canvas.ellipse(x, floor - tall, 0.11 * size, 0.11 * size, colour)
    elif kind == 3:  # a ball
        r = size * rng.uniform(0.09, 0.18)
        canvas.ellipse(x, floor - r, r, r, shade(colour, 0.8))
        canvas.ellipse(x - 0.12 * r, floor - 1.12 * r, 0.8 * r, 0.8 * r, colour)
        canvas.ellipse(x - 0.1 * r, floor - 1.1 * r, 0.3 * r, 0.86 * r, (246, 242, 234), None, 0.4)
    elif kind == 4:  # a table
        w, h = size * rng.uniform(0.4, 0.66), size * rng.uniform(0.36, 0.44)
        wood = _pick(rng, FLOORS)
        for u in (-0.43, 0.43):
            canvas.line([(x + u * w, floor), (x + u * w, floor - h)], shade(wood, 0.7), 0.035 * size, 0)
        canvas.rectangle(x - w / 2, floor - h - 0.05 * size, w, 0.07 * size, shade(wood, 1.1))
        canvas.rectangle(x - w * 0.2, floor - h - 0.16 * size, 0.09 * size, 0.11 * size, colour)
    else:  # a cone
        w, h = size * 0.14, size * 0.36
        canvas.polygon(
            np.array(
                [[x - w * 0.15, floor - h], [x + w * 0.15, floor - h], [x + w * 0.8, floor], [x - w * 0.8, floor]]
            ),
            (232, 110, 52),
        )
        canvas.polygon(
            np.array(
                [
                    [x - w * 0.4, floor - h * 0.62],
                    [x + w * 0.4, floor - h * 0.62],
                    [x + w * 0.55, floor - h * 0.4],
                    [x - w * 0.55, floor - h * 0.4],
                ]
            ),
            (248, 244, 238),
        )
        canvas.rectangle(x - w, floor - 0.03 * size, 2 * w, 0.04 * size, (200, 88, 40))
