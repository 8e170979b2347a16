"""Objects that change only as their reader knows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from heph_dagster.storage.bucket import Bucket, BucketError, ChangedError, ConflictError, is_bucket


@pytest.fixture
def bucket(address: str) -> Bucket:
    return Bucket(address)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"as it was")
    return path


def names(bucket: Bucket, prefix: str = "") -> list[str]:
    return [name for name, _ in bucket.list(prefix)]


def test_an_object_comes_back_as_it_was_put(bucket: Bucket, file: Path, tmp_path: Path) -> None:
    tag = bucket.put("4326/a", file, None)
    assert dict(bucket.list("")) == {"4326/a": tag}
    bucket.get("4326/a", tag, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"as it was"


def test_a_listing_has_the_names_that_begin_so(bucket: Bucket, file: Path) -> None:
    for name in ("4326/2024-04-01/a.mrf", "4326/a.features/1", "4326/a.x", "4326/ab.x", "4326/b.x", "alerts.json"):
        bucket.put(name, file, None)
    assert names(bucket, "4326/a.") == ["4326/a.features/1", "4326/a.x"]
    assert names(bucket, "4326/2024-04-01/") == ["4326/2024-04-01/a.mrf"]
    assert names(bucket, "alerts.json") == ["alerts.json"]
    assert names(bucket, "alert") == ["alerts.json"]
    assert names(bucket, "nothing/") == names(bucket, "4326/c") == []
    assert len(names(bucket)) == 6


@pytest.mark.slow
def test_a_listing_is_more_than_a_page(bucket: Bucket, file: Path) -> None:
    for number in range(1003):
        bucket.put(f"{number:04}", file, None)
    assert names(bucket) == [f"{number:04}" for number in range(1003)]
    assert len(names(bucket, "100")) == 3


def test_who_has_read_an_older_version_does_not_overwrite(bucket: Bucket, file: Path) -> None:
    first = bucket.put("a", file, None)
    file.write_bytes(b"second")
    second = bucket.put("a", file, first)
    file.write_bytes(b"third")
    with pytest.raises(ConflictError, match=r"/a was changed by somebody else meanwhile, and is left so: do it again"):
        bucket.put("a", file, first)
    with pytest.raises(ConflictError):
        bucket.put("a", file, None)
    with pytest.raises(ConflictError):
        bucket.delete("a", first)
    assert dict(bucket.list("")) == {"a": second}


def test_who_writes_the_same_is_no_conflict(bucket: Bucket, file: Path) -> None:
    tag = bucket.put("a", file, None)
    assert bucket.put("a", file, None) == tag


def test_what_was_removed_meanwhile_is_not_put_back(bucket: Bucket, file: Path) -> None:
    tag = bucket.put("a", file, None)
    bucket.delete("a", tag)
    file.write_bytes(b"second")
    with pytest.raises(ConflictError):
        bucket.put("a", file, tag)
    bucket.delete("a", tag)
    assert names(bucket) == []


def test_a_reader_hears_of_another_version(bucket: Bucket, file: Path, tmp_path: Path) -> None:
    first = bucket.put("a", file, None)
    file.write_bytes(b"second")
    second = bucket.put("a", file, first)
    with pytest.raises(ChangedError):
        bucket.get("a", first, tmp_path / "back")
    bucket.delete("a", second)
    with pytest.raises(ChangedError):
        bucket.get("a", second, tmp_path / "back")


@pytest.mark.parametrize("address", ["s3://", "s3://x", "gs://earth/a", "s3://earth?a=b", "s3://name:word@earth/a"])
def test_an_address_is_one_of_s3(address: str) -> None:
    assert is_bucket(address)
    with pytest.raises(ValueError, match=r"is no address of a bucket, which reads s3://<bucket>/<prefix>"):
        Bucket(address)


@pytest.mark.usefixtures("_store")
def test_a_bucket_that_is_not_there_is_told() -> None:
    with pytest.raises(BucketError, match="s3://mars: there is no such bucket; make it first"):
        names(Bucket("s3://mars"))


@pytest.mark.slow
@pytest.mark.usefixtures("_store")
def test_a_store_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(BucketError, match=r"s3://earth/a: .*after 10 retries"):
        names(Bucket("s3://earth/a"))


def test_a_store_wants_to_know_who_asks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(BucketError, match="nothing tells who asks; set AWS_ACCESS_KEY_ID"):
        names(Bucket("s3://earth"))
