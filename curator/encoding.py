"""What new bytes are to be made of an image, if any: the settings, light to import."""

from dataclasses import dataclass

from curator.errors import UsageError

RESIZE_MODES = ("border", "keep-ratio", "keep-ratio-largest", "center-crop")
FORMATS = ("jpg", "png", "webp")
_QUALITY = 95


@dataclass(frozen=True, slots=True)
class Encoding:
    """`side` in pixels, 0 to keep the size; `format` "" to keep the bytes as they are.

    The modes mean what img2dataset's mean. Resizing without a format makes JPEGs.
    Raises UsageError where a value is out of range, or would change nothing.
    """

    side: int = 0
    mode: str = RESIZE_MODES[0]
    format: str = ""
    quality: int = _QUALITY

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming the flag."""
        if not 0 <= self.side <= 16_383:  # WebP's largest side
            raise UsageError(f"--resize must be from 0 to 16,383 pixels, not {self.side}.")
        if self.mode not in RESIZE_MODES:
            raise UsageError(f"--resize-mode is one of {', '.join(RESIZE_MODES)}, not {self.mode!r}.")
        if self.format not in ("", *FORMATS):
            raise UsageError(f"--encode is one of {', '.join(FORMATS)}, not {self.format!r}.")
        if not 1 <= self.quality <= 100:
            raise UsageError(f"--quality must be from 1 to 100, not {self.quality}.")
        if not self.side and self.mode != RESIZE_MODES[0]:
            raise UsageError("--resize-mode says how to resize: name the side, too, with --resize.")
        if not self.asked and self.quality != _QUALITY:
            raise UsageError("--quality is that of new files: ask for them, with --encode or --resize.")

    @property
    def asked(self) -> bool:
        """Whether new bytes are made at all."""
        return bool(self.side or self.format)

    @property
    def extension(self) -> str:
        """Of the files that are made: "jpg", "png" or "webp"."""
        return self.format or "jpg"
