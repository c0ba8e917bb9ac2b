"""What each store key may touch: the prefixes of the bucket, for whoever makes users and policies.

Services hold a key for the whole bucket. Training programs read users' pictures on machines of their own, so
their key reaches what a training needs and nothing else: no models, tokens, devices or job documents.
"""

from __future__ import annotations

from typing import Any

from periscope import keys

TRAINER_READS = ("blobs/", "versions/datasets/", "jobs/")
"""Pictures and weights, dataset versions, and its own job's spec and checkpoints."""
TRAINER_WRITES = ("jobs/",)
TRAINER_CHANGES = (keys.documents_prefix("checkpoints"),)
"""Read, and changed by conditional writes: what makes an epoch count."""


def services_policy(bucket: str) -> dict[str, Any]:
    """The services' key as an S3 policy document: all objects of one bucket, none of its settings."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            _allow(
                [
                    "s3:GetObject",
                    "s3:PutObject",
                    "s3:DeleteObject",
                    "s3:AbortMultipartUpload",
                    "s3:ListMultipartUploadParts",
                ],
                bucket,
                ("",),
            ),
            {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [f"arn:aws:s3:::{bucket}"]},
        ],
    }


def trainer_policy(bucket: str) -> dict[str, Any]:
    """The training program's key as an S3 policy document, for MinIO and AWS alike."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            _allow(["s3:GetObject"], bucket, (*TRAINER_READS, *TRAINER_CHANGES)),
            _allow(["s3:PutObject", "s3:AbortMultipartUpload"], bucket, (*TRAINER_WRITES, *TRAINER_CHANGES)),
            _allow(["s3:DeleteObject"], bucket, TRAINER_WRITES),
        ],
    }


def trainer_seaweedfs_actions(bucket: str) -> list[str]:
    """The same as the actions of a SeaweedFS identity; there Write includes removing."""
    reads = [f"Read:{bucket}/{prefix}*" for prefix in (*TRAINER_READS, *TRAINER_CHANGES)]
    return reads + [f"Write:{bucket}/{prefix}*" for prefix in (*TRAINER_WRITES, *TRAINER_CHANGES)]


def _allow(actions: list[str], bucket: str, prefixes: tuple[str, ...]) -> dict[str, Any]:
    resources = [f"arn:aws:s3:::{bucket}/{prefix}*" for prefix in prefixes]
    return {"Effect": "Allow", "Action": actions, "Resource": resources}
