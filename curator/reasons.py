"""What became of a URL or an image: one closed list, the same in every file, table and report.

The numbers are what the ledger stores. They are written to disk: never change or reuse one.
"""

from enum import StrEnum


class Kind(StrEnum):
    """The family a Reason belongs to."""

    SAVED = "saved"
    FILTERED = "filtered"
    DUPLICATE = "duplicate"
    OPTED_OUT = "opted_out"
    REFUSED = "refused"
    PERMANENT = "permanent"
    TRANSIENT = "transient"


class Reason(StrEnum):
    """Why a URL ended as it did. `code` is what the ledger stores, `kind` the family."""

    code: int
    kind: Kind

    def __new__(cls, value: str, code: int, kind: Kind) -> "Reason":
        """Give the member its ledger number and its family."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.code = code
        member.kind = kind
        return member

    SAVED = "saved", 10, Kind.SAVED

    TOO_SMALL = "too_small", 20, Kind.FILTERED
    TOO_MANY_PIXELS = "too_many_pixels", 21, Kind.FILTERED
    BAD_ASPECT = "bad_aspect", 22, Kind.FILTERED
    EXCLUDED = "excluded", 23, Kind.FILTERED

    SAME_BYTES = "same_bytes", 30, Kind.DUPLICATE
    NEAR_DUPLICATE = "near_duplicate", 31, Kind.DUPLICATE
    PLACEHOLDER = "placeholder", 32, Kind.DUPLICATE

    ROBOTS_TXT = "robots_txt", 40, Kind.OPTED_OUT
    X_ROBOTS_TAG = "x_robots_tag", 41, Kind.OPTED_OUT
    TDM_RESERVATION = "tdm_reservation", 42, Kind.OPTED_OUT

    BAD_URL = "bad_url", 50, Kind.REFUSED
    FORBIDDEN_ADDRESS = "forbidden_address", 51, Kind.REFUSED
    TOO_MANY_REDIRECTS = "too_many_redirects", 52, Kind.REFUSED
    BLOCKED = "blocked", 53, Kind.REFUSED
    REMOVED = "removed", 54, Kind.REFUSED

    HTTP_403 = "http_403", 60, Kind.PERMANENT
    HTTP_404 = "http_404", 61, Kind.PERMANENT
    HTTP_410 = "http_410", 62, Kind.PERMANENT
    HTTP_OTHER = "http_other", 63, Kind.PERMANENT
    NO_SUCH_HOST = "no_such_host", 64, Kind.PERMANENT
    TLS_CERTIFICATE = "tls_certificate", 65, Kind.PERMANENT
    NOT_AN_IMAGE = "not_an_image", 66, Kind.PERMANENT
    UNSUPPORTED_FORMAT = "unsupported_format", 67, Kind.PERMANENT
    UNDECODABLE = "undecodable", 68, Kind.PERMANENT
    TOO_MANY_BYTES = "too_many_bytes", 69, Kind.PERMANENT
    DECODER_CRASH = "decoder_crash", 70, Kind.PERMANENT
    UNREADABLE = "unreadable", 71, Kind.PERMANENT

    DNS = "dns", 80, Kind.TRANSIENT
    CONNECT = "connect", 81, Kind.TRANSIENT
    TLS = "tls", 82, Kind.TRANSIENT
    TIMEOUT = "timeout", 83, Kind.TRANSIENT
    STALLED = "stalled", 84, Kind.TRANSIENT
    HTTP_429 = "http_429", 85, Kind.TRANSIENT
    HTTP_5XX = "http_5xx", 86, Kind.TRANSIENT
    TRUNCATED = "truncated", 87, Kind.TRANSIENT
    BAD_RESPONSE = "bad_response", 88, Kind.TRANSIENT
    HOST_DOWN = "host_down", 89, Kind.TRANSIENT
    ROBOTS_UNREACHABLE = "robots_unreachable", 90, Kind.TRANSIENT


BY_CODE: dict[int, Reason] = {reason.code: reason for reason in Reason}
BY_NAME: dict[str, Reason] = {reason.value: reason for reason in Reason}
TRANSIENT = frozenset(reason for reason in Reason if reason.kind is Kind.TRANSIENT)
