"""The object store on any S3 server, by boto3. The only module that knows boto3."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from periscope.settings import S3Settings
from periscope.store import (
    InvalidUpload,
    ObjectInfo,
    ObjectMissing,
    PreconditionFailed,
    StoredObject,
    StoreError,
    StoreUnavailable,
    UploadedPart,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import LifecycleRuleTypeDef

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 60
ATTEMPTS = 4
POOL_CONNECTIONS = 32
MULTIPART_BYTES = 16 << 20

_MISSING = {"NoSuchKey", "404", "NotFound"}
_CONDITION = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}
_UPLOAD = {"NoSuchUpload", "InvalidPart", "InvalidPartOrder", "EntityTooSmall", "BadDigest"}


class S3Store:
    """One bucket of an S3 server. Safe to use from several threads."""

    def __init__(self, settings: S3Settings) -> None:
        self._bucket = settings.bucket
        self._client = _client(settings, settings.endpoint, ATTEMPTS)
        # A retried conditional write would meet its own first try and take it for another's.
        self._once = _client(settings, settings.endpoint, 1)
        self._public = _client(settings, settings.public_endpoint, 1)
        self._transfer = TransferConfig(
            multipart_threshold=MULTIPART_BYTES, multipart_chunksize=MULTIPART_BYTES, max_concurrency=4
        )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> S3Store:
        """Connect as the environment says. Raises SettingsError naming what is missing."""
        return cls(S3Settings.from_environ(environ))

    def make_bucket(self) -> None:
        """Make the bucket unless it is there. Raises StoreUnavailable."""
        with _translated(self._bucket):
            try:
                self._client.create_bucket(Bucket=self._bucket)
            except ClientError as error:
                if _code(error) not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                    raise

    def expire(self, prefix: str, *, objects_after_days: int, parts_after_days: int) -> None:
        """Let the store remove what lies below a prefix, by the bucket's one lifecycle rule; others go.

        Raises:
            StoreUnavailable: the store refuses.
        """
        rule: LifecycleRuleTypeDef = {
            "ID": prefix,
            "Status": "Enabled",
            "Filter": {"Prefix": prefix},
            "Expiration": {"Days": objects_after_days},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": parts_after_days},
        }
        with _translated(prefix):
            self._client.put_bucket_lifecycle_configuration(
                Bucket=self._bucket, LifecycleConfiguration={"Rules": [rule]}
            )

    def get(self, key: str) -> StoredObject:
        """See ObjectStore."""
        with _translated(key):
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
            return StoredObject(answer["Body"].read(), _bare(answer["ETag"]))

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """See ObjectStore."""
        if length <= 0:
            return b""
        with _translated(key):
            try:
                answer = self._client.get_object(
                    Bucket=self._bucket, Key=key, Range=f"bytes={start}-{start + length - 1}"
                )
            except ClientError as error:
                if _code(error) in {"InvalidRange", "416"}:
                    return b""
                raise
            return answer["Body"].read()

    def iterate(self, key: str, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
        """See ObjectStore."""
        with _translated(key):
            body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"]
            try:
                yield from body.iter_chunks(chunk_bytes)
            finally:
                body.close()

    def head(self, key: str) -> ObjectInfo | None:
        """See ObjectStore."""
        try:
            with _translated(key):
                answer = self._client.head_object(Bucket=self._bucket, Key=key)
        except ObjectMissing:
            return None
        return ObjectInfo(key, _bare(answer["ETag"]), answer["ContentLength"], answer["LastModified"])

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See ObjectStore. Sorted here: some servers list ``a/b`` before ``a-b``."""
        found: list[ObjectInfo] = []
        with _translated(prefix):
            for page in self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix
            ):
                found += [
                    ObjectInfo(entry["Key"], _bare(entry["ETag"]), entry["Size"], entry["LastModified"])
                    for entry in page.get("Contents", [])
                ]
        return iter(sorted(found, key=lambda info: info.key.encode()))

    def put(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> str:
        """See ObjectStore."""
        with _translated(key):
            answer = self._client.put_object(
                Bucket=self._bucket, Key=key, Body=body, ContentType=content_type
            )
            return _bare(answer["ETag"])

    def put_if_absent(self, key: str, body: bytes, *, content_type: str = "application/json") -> str:
        """See ObjectStore."""
        with _translated(key, conditional=True):
            answer = self._once.put_object(
                Bucket=self._bucket, Key=key, Body=body, ContentType=content_type, IfNoneMatch="*"
            )
            return _bare(answer["ETag"])

    def put_if_match(
        self, key: str, body: bytes, etag: str, *, content_type: str = "application/json"
    ) -> str:
        """See ObjectStore."""
        with _translated(key, conditional=True):
            answer = self._once.put_object(
                Bucket=self._bucket, Key=key, Body=body, ContentType=content_type, IfMatch=f'"{etag}"'
            )
            return _bare(answer["ETag"])

    def put_file(self, key: str, path: Path, *, content_type: str = "application/octet-stream") -> None:
        """See ObjectStore."""
        with _translated(key):
            self._client.upload_file(
                str(path), self._bucket, key, ExtraArgs={"ContentType": content_type}, Config=self._transfer
            )

    def delete(self, key: str) -> None:
        """See ObjectStore."""
        with _translated(key):
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def create_upload(self, key: str, *, content_type: str = "application/octet-stream") -> str:
        """See ObjectStore."""
        with _translated(key):
            answer = self._client.create_multipart_upload(
                Bucket=self._bucket, Key=key, ContentType=content_type
            )
            return answer["UploadId"]

    def list_parts(self, key: str, upload_id: str) -> Sequence[UploadedPart]:
        """See ObjectStore."""
        parts: list[UploadedPart] = []
        with _translated(key, upload=True):
            pages = self._client.get_paginator("list_parts").paginate(
                Bucket=self._bucket, Key=key, UploadId=upload_id
            )
            for page in pages:
                parts += [
                    UploadedPart(part["PartNumber"], _bare(part["ETag"]), part["Size"])
                    for part in page.get("Parts", [])
                ]
        return sorted(parts, key=lambda part: part.number)

    def complete_upload(self, key: str, upload_id: str, parts: Sequence[UploadedPart]) -> str:
        """See ObjectStore."""
        if not parts:
            raise InvalidUpload(f"{key}: no part was uploaded")
        with _translated(key, upload=True):
            answer = self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=key,
                UploadId=upload_id,
                MultipartUpload={"Parts": [{"PartNumber": part.number, "ETag": part.etag} for part in parts]},
            )
            return _bare(answer["ETag"])

    def abort_upload(self, key: str, upload_id: str) -> None:
        """See ObjectStore."""
        try:
            with _translated(key, upload=True):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload_id)
        except InvalidUpload:
            return

    def presign_get(self, key: str, expires_s: int, *, filename: str | None = None) -> str:
        """See ObjectStore."""
        parameters = {"Bucket": self._bucket, "Key": key}
        if filename is not None:
            parameters["ResponseContentDisposition"] = f'attachment; filename="{_header_safe(filename)}"'
        return self._public.generate_presigned_url("get_object", Params=parameters, ExpiresIn=expires_s)

    def presign_part(self, key: str, upload_id: str, number: int, expires_s: int) -> str:
        """See ObjectStore."""
        return self._public.generate_presigned_url(
            "upload_part",
            Params={"Bucket": self._bucket, "Key": key, "UploadId": upload_id, "PartNumber": number},
            ExpiresIn=expires_s,
        )


def _client(settings: S3Settings, endpoint: str, attempts: int) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=settings.secret_access_key,
        region_name=settings.region,
        config=Config(
            # Without it boto3 presigns with the old signature, which newer servers refuse.
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": attempts, "mode": "standard"},
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            max_pool_connections=POOL_CONNECTIONS,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


@contextmanager
def _translated(key: str, *, conditional: bool = False, upload: bool = False) -> Iterator[None]:
    """Turn boto3's failures into the seam's."""
    try:
        yield
    except ClientError as error:
        raise _as_store_error(key, error, conditional=conditional, upload=upload) from error
    # The last is what an answer that breaks off in its middle ends in: boto3 lets it pass.
    except (BotoCoreError, OSError, boto3.exceptions.Boto3Error, HTTPError) as error:
        raise StoreUnavailable(f"{key}: {error}") from error


def _as_store_error(key: str, error: ClientError, *, conditional: bool, upload: bool) -> StoreError:
    code = _code(error)
    text = f"{key}: {error}"
    # A conditional write on an absent key is 404 on AWS and 412 elsewhere.
    if conditional and code in _CONDITION | _MISSING:
        return PreconditionFailed(text)
    if upload and code in _UPLOAD | _MISSING:
        return InvalidUpload(text)
    if code in _MISSING:
        return ObjectMissing(text)
    return StoreUnavailable(text)


def _code(error: ClientError) -> str:
    details: Any = error.response
    return str(details.get("Error", {}).get("Code", ""))


def _header_safe(filename: str) -> str:
    # Quotes, line ends and letters outside ASCII would end or break the header.
    return re.sub(r"[^A-Za-z0-9._-]", "_", filename)


def _bare(etag: str) -> str:
    return etag.strip('"')
