"""How fast the emulated CUDA library copies, by product: numbers as real machines have them, for what people read.

Independent of the catalog's floors on purpose. Most are some four fifths of what the makers publish, which is what
NVIDIA's nvbandwidth finds on machines that are well; a product without a row has the library's own numbers.
"""

from __future__ import annotations

_WORDS = ("cuda-memory", "cuda-host", "cuda-peer")

# Words of the product's name; GB/s within its memory, to and from the host, to the next device. The first that fits.
_SPEEDS = (
    ("GB300", (6500, 350, 720)),
    ("GB200", (6500, 350, 720)),
    ("B300", (6400, 54, 720)),
    ("B200", (6400, 54, 720)),
    ("H200", (4000, 54, 370)),
    ("H100", (2800, 54, 370)),
    ("A100-SXM4-80GB", (1650, 25, 240)),
    ("A100-SXM4-40GB", (1290, 25, 240)),
    ("V100", (750, 12, 46)),
    ("RTX PRO 6000", (1300, 52, 0)),
    ("L40S", (690, 25, 0)),
    ("L4", (240, 13, 0)),
    ("A10G", (480, 25, 0)),
    ("T4", (250, 6, 0)),
)


def speed_of(name: str) -> list[tuple[str, int]]:
    """Return the lines for a product: words of ``cuda.c``, and GB/s."""
    speeds = next((speeds for words, speeds in _SPEEDS if words in name), ())
    return list(zip(_WORDS, speeds, strict=False))
