"""The table of Regions is botocore's."""

from __future__ import annotations

import json
from pathlib import Path

import botocore
import pytest

from clavero.model import regions

ENDPOINTS = Path(botocore.__file__).parent / "data" / "endpoints.json"


def test_the_regions_are_those_that_have_kms():
    partitions = json.loads(ENDPOINTS.read_text(encoding="utf-8"))["partitions"]
    theirs = {
        region: partition["partition"]
        for partition in partitions
        for region in partition["regions"]
        if region in partition["services"]["kms"]["endpoints"]
    }
    assert dict(regions.PARTITION_OF) == theirs


def test_a_regions_partition_follows_from_its_name():
    for region, partition in regions.PARTITION_OF.items():
        assert regions.partition_of(region) == partition


@pytest.mark.parametrize(
    ("region", "partition"),
    [("us-invalid-1", "aws"), ("eu-bodega-1", "aws"), ("cn-east-9", "aws-cn")],
)
def test_other_regions_have_one_too(region, partition):
    assert regions.partition_of(region) == partition
    assert not regions.is_known(region)
