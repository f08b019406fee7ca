"""What may stand behind the question mark of an architecture: each option's parser, and its domain in words."""


def _share(text: str) -> float:
    if not 0 <= (value := float(text)) < 1:
        raise ValueError(text)
    return value


def _axes(text: str) -> int:
    if (value := int(text)) not in {2, 3}:
        raise ValueError(text)
    return value


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise ValueError(text)
    return value


SHARE, AXES, COUNT = (_share, "a number in [0, 1)"), (_axes, "2 or 3"), (_count, "a whole number of at least 1")
UNET_OPTIONS = {"depth": COUNT, "dropout": SHARE, "width": COUNT}
"""Options of the U-Nets: levels, dropout, and channels of the first level, which double from level to level."""
