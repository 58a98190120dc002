"""`clavero --seed FILE`: the store has the seed's keys at every command."""

from __future__ import annotations

import json

ID = "1234abcd-12ab-34cd-56ef-1234567890ab"


def test_a_seed_makes_the_store_and_its_keys(cli, tmp_path):
    file = tmp_path / "seed.json"
    key = {"id": ID, "aliases": ["alias/s"], "material": ["hex:" + "00" * 32]}
    file.write_text(json.dumps({"keys": [key]}))
    listed = cli.json("key", "list", "--details", "--seed", str(file))
    assert [(each["KeyId"], each["Aliases"]) for each in listed["Keys"]] == [(ID, ["alias/s"])]
    blob = cli("encrypt", "--key", "alias/s", stdin=b"text").out  # it stays without the seed
    opened = cli("decrypt", stdin=blob, CLAVERO_SEED=str(file))
    assert opened.out == b"text"
    assert cli("--seed", str(file), "random").out


def test_a_seed_that_does_not_fit_is_one_line(cli, tmp_path):
    file = tmp_path / "seed.toml"
    file.write_text(f'[[keys]]\nid = "{ID}"\nalias = "x"\n')
    told = cli("key", "list", "--seed", str(file), code=1).err
    assert told == "clavero: seed.toml: keys[0].alias: unknown member; did you mean aliases?\n"
    assert not cli.data.exists()
    assert "missing.json" in cli("key", "list", "--seed", "missing.json", code=1).err
