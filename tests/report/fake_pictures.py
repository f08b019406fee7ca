"""Draws the pictures of a run folder: crude radiographs, their attacked copies, differences and maps."""

import json
import math
import random
import struct
import zlib


def png(path, size, pixel):
    """Write a colour PNG whose pixel (x, y) in [-1, 1] squared is ``pixel(x, y)``, a grey or an (r, g, b) in [0, 1]."""
    lines = bytearray()
    for row in range(size):
        lines.append(0)
        for column in range(size):
            value = pixel(2 * column / size - 1, 2 * row / size - 1)
            rgb = value if isinstance(value, tuple) else (value,) * 3
            lines += bytes(round(255 * min(1, max(0, part))) for part in rgb)

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(lines))) + chunk(b"IEND", b"")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def chest(x, y):
    """A crude chest radiograph: two dark lungs, a spine, a heart."""
    body = 0.75 * math.exp(-((x / 0.95) ** 6) - (y / 1.15) ** 8)
    lungs = sum(0.55 * math.exp(-((((x - s * 0.42) / 0.27) ** 2 + ((y + 0.05) / 0.62) ** 2) ** 2)) for s in (-1, 1))
    heart = 0.35 * math.exp(-(((x - 0.14) / 0.25) ** 2) - ((y - 0.3) / 0.3) ** 2)
    ribs = 0.05 * math.sin(22 * y + 5 * x * x) * (abs(x) < 0.75)
    return body - lungs + heart + ribs + 0.12 * math.exp(-((x / 0.07) ** 2))


def pictures(folder, count, size, decisions):
    examples = []
    for index in range(count):
        dice = random.Random(index)  # noqa: S311 - a picture, not a secret
        blob = (dice.uniform(-0.6, 0.6), dice.uniform(-0.4, 0.4))
        clean = {}
        noise = {}

        def scan(x, y, blob=blob, clean=clean):
            clean[x, y] = chest(x, y) + 0.2 * math.exp(-(((x - blob[0]) ** 2 + (y - blob[1]) ** 2) / 0.05))
            return clean[x, y]

        def attacked(x, y, clean=clean, noise=noise, dice=dice):
            noise[x, y] = dice.choice((-1, 1)) * 2 / 255
            return clean[x, y] + noise[x, y]

        def heat(x, y, centre=blob, clean=clean):
            hot = math.exp(-(((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / 0.12))
            grey = clean[x, y]
            return (grey * (1 - hot) + hot, grey * (1 - hot) + 0.45 * hot, grey * (1 - hot))

        def moved(x, y, heat=heat, blob=blob):
            return heat(x, y, (-blob[0], -0.7))

        stem = f"figures/ex{index}"
        png(folder / f"{stem}_clean.png", size, scan)
        png(folder / f"{stem}_attacked.png", size, attacked)
        png(folder / f"{stem}_clean_map.png", size, heat)
        png(folder / f"{stem}_attacked_map.png", size, moved)
        png(folder / f"{stem}_attacked_saliency.png", size, lambda x, y, noise=noise: 0.5 + 40 * noise[x, y])
        png(folder / f"{stem}_clean_saliency.png", size, lambda x, y, clean=clean: clean[x, y] ** 2)
        png(folder / f"{stem}_diff.png", size, lambda x, y, noise=noise: 0.5 + 16 * noise[x, y])
        before, after = decisions
        examples.append(
            {
                "id": f"img-{index:04d}",
                "truth": before,
                "grey_levels": 2.0,
                "attack": "pgd",
                "clean": {
                    "decision": before,
                    "score": 0.981,
                    "image": f"{stem}_clean.png",
                    "map": f"{stem}_clean_map.png",
                    "saliency": f"{stem}_clean_saliency.png",
                },
                "attacked": {
                    "decision": after,
                    "score": 0.997,
                    "image": f"{stem}_attacked.png",
                    "map": f"{stem}_attacked_map.png",
                    "saliency": f"{stem}_attacked_saliency.png",
                },
                "difference": {"image": f"{stem}_diff.png", "factor": 16},
                "why": ("The surest decision that was turned.", "The image whose explanation moved furthest.")[
                    index % 2
                ],
            }
        )
    (folder / "figures" / "examples.json").write_text(json.dumps(examples))
