"""Whatever a seed document holds, reading it gives keys or a SeedError that names the place."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from clavero import SeedError
from clavero.seeds.document import MEMBERS, load

ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["RSA_2048", "SIGN_VERIFY", "EXTERNAL", "alias/a", "hex:00", "mrk-", ID])
)
values = st.recursive(
    scalars | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*MEMBERS, "TagKey", "TagValue"]) | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
members = st.dictionaries(st.sampled_from([*MEMBERS]), values, max_size=5)
entries = members.map(lambda made: {"id": ID, **made}) | values


def check(source: object) -> None:
    try:
        keys = load(source, "000000000000", "us-east-1")  # type: ignore[arg-type]
    except SeedError as error:
        assert str(error).startswith("seed")
    else:
        assert all(key.where.startswith("seed: keys[") for key in keys)


@given(
    st.lists(entries, max_size=3).map(lambda keys: {"keys": keys})
    | st.dictionaries(values.filter(lambda v: isinstance(v, str | int | bytes)), values, max_size=2)
)
def test_any_dict(document):
    check(document)


@given(
    content=st.binary(max_size=40)
    | values.map(lambda value: json.dumps(value, default=str).encode())
)
def test_any_file(tmp_path_factory, content):
    for name in ("seed.json", "seed.toml"):
        path = tmp_path_factory.getbasetemp() / name
        path.write_bytes(content)
        check(path)
