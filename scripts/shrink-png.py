"""Makes PNGs of screenshots smaller without changing a pixel: no alpha, a palette where the colours fit in one, and zlib at
its best. Only what Chromium writes is understood: eight bits of RGB or RGBA, not interlaced.

usage: shrink-png.py FILE..."""

import struct
import sys
import zlib


def chunks(data):
    at = 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def lines(raw, width, height, size):
    """The bytes of each line, without its filter (PNG specification, section 9)."""
    stride, before, at = width * size, bytearray(width * size), 0
    for _ in range(height):
        kind, line = raw[at], bytearray(raw[at + 1 : at + 1 + stride])
        at += 1 + stride
        for i in range(stride if kind else 0):
            left = line[i - size] if i >= size else 0
            above, corner = before[i], before[i - size] if i >= size else 0
            if kind == 1:
                guess = left
            elif kind == 2:
                guess = above
            elif kind == 3:
                guess = (left + above) // 2
            else:
                p = left + above - corner
                guess = min((left, above, corner), key=lambda one: abs(p - one))
            line[i] = (line[i] + guess) & 0xFF
        yield line
        before = line


def shrunk(data):
    parts = list(chunks(data))
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", parts[0][1])
    assert (depth, interlaced) == (8, 0) and colour in (2, 6), "not as Chromium writes it"
    size = 4 if colour == 6 else 3
    raw = zlib.decompress(b"".join(body for name, body in parts if name == b"IDAT"))
    rows = [[bytes(line[i : i + 3]) for i in range(0, len(line), size)] for line in lines(raw, width, height, size)]
    palette = {pixel: n for n, pixel in enumerate(sorted({pixel for row in rows for pixel in row}))}
    out = []
    if len(palette) <= 256:
        colour = 3
        out.append((b"PLTE", b"".join(palette)))
        packed = b"".join(b"\0" + bytes(palette[pixel] for pixel in row) for row in rows)
    else:
        colour = 2
        packed = b"".join(b"\0" + b"".join(row) for row in rows)
    out.insert(0, (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)))
    out += [(b"IDAT", zlib.compress(packed, 9)), (b"IEND", b"")]
    check = lambda name, body: struct.pack(">I", zlib.crc32(name + body))
    return data[:8] + b"".join(struct.pack(">I", len(b)) + n + b + check(n, b) for n, b in out)


for path in sys.argv[1:]:
    with open(path, "rb") as file:
        small = shrunk(file.read())
    with open(path, "wb") as file:
        file.write(small)
