"""The patterns of the model, each with values for and against it; and enums that are strings."""

from __future__ import annotations

import pytest

# For each pattern of the model: values that Java's matches() takes, and values that it does not.
PATTERNS: dict[str, tuple[list[str], list[str]]] = {
    "[0-9]{12}": (["123456789012"], ["12345678901", "1234567890123", "١٢٣٤٥٦٧٨٩٠١٢"]),
    "^[a-zA-Z0-9:/_-]+$": (["alias/a-b_c:9"], ["", "alias/a b", "alias/a\n", "alias/é"]),
    "^[a-f0-9]+$": (["0123456789abcdef" * 4], ["", "ABCDEF", "0" * 63 + "\n"]),
    "cluster-[2-7a-zA-Z]{11,16}": (["cluster-234abcDEFGH"], ["cluster-2", "cluster-10000000000"]),
    "^arn:aws[a-z0-9-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:.+$": (
        ["arn:aws:s3::123456789012:bucket/x", "arn:aws-cn:sns:cn-north-1:123456789012:é"],
        ["arn:aws:s3::123456789012:", "arn:aws:s3::1234:x", "arn:aws:s3::123456789012:a\u2028b"],
    ),
    "^[a-zA-Z0-9:/_\\s.-]+$": (["a b\tc\x0b.", "x\n"], ["", "é", "a\u00a0b"]),
    "[\\u0020-\\u00FF]*": (["", "a~\u00ff"], ["\n", "\u0100", "\x1f"]),
    "[\\w]+": (["default_1"], ["", "a-b", "é", "a\n"]),
    "[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+": (["{\t\r\n}", "é"], ["", "\x00", "\u0100"]),
    "^[\\w+=,.@:/-]+$": (["arn:aws:iam::1:user/a+=,.@-"], ["", "a b", "*"]),
    "^([a-z]+-){2,3}\\d+$": (
        ["us-east-1", "us-gov-east-1"],
        ["useast1", "us-east-", "us-east-\u0661"],
    ),
    "^([A-Za-z0-9\\-]+)\\.([A-Za-z0-9\\-]+)(\\.[A-Za-z0-9\\-]+)+$": (
        ["sns.us-east-1.amazonaws.com", "a.b.c"],
        ["a.b", "a..b.c", "a.b.c\n"],
    ),
    "^[a-zA-Z0-9-_.]+$": (["a-b_c.9"], ["", "a/b", "a b"]),
    "^[A-Z2-7]+$": (["ABCDEFGHIJ2345672345"], ["", "a", "1"]),
    "^[a-zA-Z0-9\\/+=]+$": (["abcd/+=" * 7], ["", "a-b"]),
    "^https://[a-zA-Z0-9.-]+$": (["https://xks.example.com"], ["http://x", "https://x/y"]),
    "^(/[a-zA-Z0-9\\/_-]+/kms/xks/v\\d{1,2})$|^(/kms/xks/v\\d{1,2})$": (
        ["/kms/xks/v1", "/a/b/kms/xks/v12"],
        ["/kms/xks/v123", "/kms/xks/v", "kms/xks/v1", "/kms/xks/v1\n"],
    ),
    "^(com|eu)\\.amazonaws\\.vpce\\.([a-z]+-){2,3}\\d+\\.vpce-svc-[0-9a-z]+$": (
        ["com.amazonaws.vpce.us-east-1.vpce-svc-0a"],
        ["com.amazonaws.vpce.us-east-1.vpce-svc-", "org.amazonaws.vpce.us-east-1.vpce-svc-0"],
    ),
}


@pytest.fixture(scope="session")
def patterns() -> dict[str, tuple[list[str], list[str]]]:
    """For each pattern of the model: values that fit it, and values that do not."""
    return PATTERNS
