"""How the report says things: estimates, names from anywhere, and each Reason in plain words."""

from curator.reasons import BY_NAME, Reason
from curator.settings import Settings
from curator.text import ELLIPSIS, harmless

_EXPLAINED: dict[Reason, str] = {
    Reason.SAVED: "Worth keeping: it passed every rule, and no better copy of it is kept.",
    Reason.TOO_SMALL: "Its shorter side is below {min_side:,} pixels.",
    Reason.BAD_ASPECT: "One of its sides is more than {max_aspect:g} times the other.",
    Reason.TOO_MANY_PIXELS: "It claims more than {max_pixels:,} pixels, so it was not decoded.",
    Reason.TOO_MANY_BYTES: "Its file is larger than allowed ({max_bytes:,} bytes).",
    Reason.EXCLUDED: "The condition of --where does not hold for it, or a person dropped it.",
    Reason.SAME_BYTES: "Byte for byte the same file as one that is kept, or that --against has.",
    Reason.NEAR_DUPLICATE: "Its hash is within {radius} bits of that of one that is kept, or that --against has.",
    Reason.PLACEHOLDER: "The same bytes under {placeholder_from:,} or more URLs of one host: a stand-in, no picture.",
    Reason.NOT_AN_IMAGE: "The file is no image at all.",
    Reason.UNSUPPORTED_FORMAT: "An image, but of a format that is not decoded here.",
    Reason.UNDECODABLE: "The file is damaged: it does not decode to the end.",
    Reason.DECODER_CRASH: "Decoding it crashed, took too long or took too much memory.",
    Reason.UNREADABLE: "The file could not be read.",
    Reason.TRUNCATED: "The file ends too early.",
}


def explained(reason: str, settings: Settings) -> str:
    """What a Reason means under these settings, one sentence; "" for one that curation does not give."""
    known = BY_NAME.get(reason)
    return _EXPLAINED.get(known, "").format_map(_values(settings)) if known else ""


def _values(settings: Settings) -> dict[str, object]:
    names = ("min_side", "max_aspect", "max_pixels", "max_bytes", "radius", "placeholder_from")
    return {name: getattr(settings, name) for name in names}


def named(reason: str) -> str:
    """A Reason as a heading: "kept", "near duplicate"."""
    return "kept" if reason == Reason.SAVED else reason.replace("_", " ")


def shown(text: str, limit: int = 160) -> str:
    """A name from anywhere in one line of some `limit` characters, its middle left out where it is longer.

    What could disturb the lines around it (controls, a turned direction of writing) is spelled out.
    """
    if len(text) <= limit:
        return harmless(text, limit)
    head = limit // 2
    return f"{harmless(text[:head], head)}{ELLIPSIS}{harmless(text[head - limit :], limit - head)}"


def about(n: float) -> str:
    """An estimate with no more digits than it deserves: "0.03", "7", "1,300"."""
    if n < 0.01:
        return "0.01 or fewer" if n else "0"
    return f"{n:.1g}" if n < 1 else f"{float(f'{n:.2g}'):,.0f}"


def told(value: object) -> str:
    """A setting's value: "yes", "1,024", "a, b", and a dash where nothing was set."""
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case list() | tuple():
            return ", ".join(map(told, value)) or "–"
        case None | "":
            return "–"
        case _:
            return str(value)
