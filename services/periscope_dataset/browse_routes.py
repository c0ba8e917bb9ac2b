"""URLs that tell what a version is like: figures, plots, preview, thumbnails, differences."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from typing import Literal

from flask import Response
from flask_openapi3 import APIBlueprint
from pydantic import Field

from detectnet.sizes import STRIDE
from periscope.web.auth import requires
from periscope.web.openapi import gives
from periscope.web.pages import decode_cursor, encode_cursor, page
from periscope.wire.base import PageQuery, RequestModel
from periscope.wire.browsing import (
    DifferenceResponse,
    ImageChange,
    PreviewResponse,
    SplitChanges,
    StatisticsResponse,
)
from periscope.wire.datasets import ImageList, ImageResponse
from periscope_dataset.browsing import UnknownImage
from periscope_dataset.choosing import choose
from periscope_dataset.differences import Side, difference
from periscope_dataset.figures import statistics
from periscope_dataset.grid import Size
from periscope_dataset.looking import Looks
from periscope_dataset.plots import PlotName, plot
from periscope_dataset.preview import draw_preview, preview, usual_size
from periscope_dataset.routes import DATASETS, Api, ImagePath, VersionPath, answer
from periscope_dataset.tables import Manifest, Tables

BASE = "/v1/datasets/<dataset_id>/versions/<version>"
UNCHANGING = "private, max-age=86400, immutable"


class PlotQuery(RequestModel):
    """Which plot."""

    plot: PlotName = Field("counts", description="Boxes by class; their sizes; their shapes; their places")


class InputQuery(RequestModel):
    """The network's input to look at; without a size the one that training would most likely take."""

    width: int | None = Field(None, ge=32, le=4096, description="Pixels; give height too")
    height: int | None = Field(None, ge=32, le=4096, description="Pixels; give width too")
    stride: int = Field(STRIDE, ge=4, le=64, description="Pixels a grid cell; DetectNet has 16")

    @property
    def size(self) -> Size | None:
        """Width and height where both are given."""
        return None if self.width is None or self.height is None else (self.width, self.height)


class ImagesQuery(PageQuery):
    """Which pictures to list."""

    split: Literal["train", "val", "test"] = "train"
    class_name: str | None = Field(
        None, alias="class", max_length=100, description="Those that show this class, or dontcare"
    )
    finding: str | None = Field(None, max_length=100, description="Those with a finding of this code")


class ThumbnailQuery(RequestModel):
    """How large."""

    side: int = Field(256, ge=16, le=512, description="Neither side has more pixels")


class DifferenceQuery(PageQuery):
    """Compared with what."""

    base: str = Field(pattern=r"^[1-9][0-9]{0,7}$", description="Number of the version to compare with")


@dataclass(frozen=True)
class Browser:
    """What these routes work with."""

    api: Api
    tables: Tables
    looks: Looks = field(default_factory=Looks)

    def manifest(self, path: VersionPath) -> Manifest:
        """Of the version that a path names. Raises UnknownDataset, UnknownVersion."""
        self.api.catalogue.get(path.dataset_id)
        return self.api.catalogue.manifest(path.dataset_id, path.version)


def browse_routes(browser: Browser) -> APIBlueprint:
    """Figures, preview and differences."""
    routes = APIBlueprint("browsing", __name__, abp_tags=[DATASETS])

    @routes.get(f"{BASE}/statistics", responses={HTTPStatus.OK: StatisticsResponse})
    @requires("viewer")
    def get_statistics(path: VersionPath) -> Response:
        """Counts, sizes, shapes and places of boxes, by split and class."""
        manifest = browser.manifest(path)
        found = statistics(manifest["classes"], browser.tables.all_of(manifest))
        return answer(StatisticsResponse.model_validate({"version": manifest["version"], **found}))

    @routes.get(f"{BASE}/statistics.png")
    @requires("viewer")
    @gives("image/png")
    def get_plot(path: VersionPath, query: PlotQuery) -> Response:
        """The same as a plot."""
        manifest = browser.manifest(path)
        drawn = plot(query.plot, manifest["classes"], browser.tables.all_of(manifest))
        return Response(drawn, mimetype="image/png")

    @routes.get(f"{BASE}/preview", responses={HTTPStatus.OK: PreviewResponse})
    @requires("viewer")
    def get_preview(path: VersionPath, query: InputQuery) -> Response:
        """Will it learn? How many boxes of each class survive, and the input size to take."""
        manifest = browser.manifest(path)
        tables = browser.tables.all_of(manifest)
        found = preview(manifest, tables, browser.looks, query.size, query.stride)
        return answer(PreviewResponse.model_validate({"version": manifest["version"], **found}))

    @routes.get(f"{BASE}/diff", responses={HTTPStatus.OK: DifferenceResponse})
    @requires("viewer")
    def get_difference(path: VersionPath, query: DifferenceQuery) -> Response:
        """Pictures and boxes that were added, removed or changed since another version."""
        manifest = browser.manifest(path)
        base = browser.api.catalogue.manifest(path.dataset_id, query.base)
        old, new = (Side(one["classes"], browser.tables.all_of(one)) for one in (base, manifest))
        found = difference(old, new)
        chosen, token = page(
            found.changes, query.page_size, query.page_token, lambda change: f"{change.split}/{change.key}"
        )
        return answer(
            DifferenceResponse(
                base=base["version"],
                version=manifest["version"],
                splits={split: SplitChanges.model_validate(told) for split, told in found.totals.items()},
                items=[ImageChange.model_validate(asdict(change)) for change in chosen],
                next_page_token=token,
            )
        )

    return routes


def picture_routes(browser: Browser) -> APIBlueprint:
    """Single pictures: small, and with the grid."""
    routes = APIBlueprint("pictures", __name__, abp_tags=[DATASETS])
    gallery = browser.api.gallery

    @routes.get(f"{BASE}/images", responses={HTTPStatus.OK: ImageList})
    @requires("viewer")
    def list_images(path: VersionPath, query: ImagesQuery) -> Response:
        """Pictures of a split by name; all, or those that show a class or have a finding."""
        manifest = browser.manifest(path)
        if query.class_name is not None or query.finding is not None:
            return answer(_chosen_images(browser, manifest, query))
        after = None if query.page_token is None else decode_cursor(query.page_token)
        index = gallery.index(manifest, query.split)
        entries = index.after(after, query.page_size + 1)
        chosen = entries[: query.page_size]
        token = encode_cursor(str(chosen[-1]["key"])) if len(entries) > len(chosen) else None
        items = [ImageResponse(split=query.split, **entry) for entry in chosen]
        return answer(ImageList(items=items, next_page_token=token, matched=len(index), examples_only=False))

    @routes.get(f"{BASE}/images/<split>/<key>/thumbnail")
    @requires("viewer")
    @gives("image/jpeg")
    def get_thumbnail(path: ImagePath, query: ThumbnailQuery) -> Response:
        """One picture, small, as JPEG."""
        manifest = browser.manifest(path)
        entry = gallery.entry(manifest, path.split, path.key)
        response = Response(gallery.thumbnail(manifest, path.split, entry, query.side), mimetype="image/jpeg")
        if path.version != "latest":
            response.headers["Cache-Control"] = UNCHANGING
        return response

    @routes.get(f"{BASE}/images/<split>/<key>/preview")
    @requires("viewer")
    @gives("image/png")
    def get_grid(path: ImagePath, query: InputQuery) -> Response:
        """One picture as the network gets it, with the grid and what the boxes cover, as PNG."""
        manifest = browser.manifest(path)
        entry = gallery.entry(manifest, path.split, path.key)
        network = query.size or usual_size(manifest)
        with gallery.drawing():
            source = gallery.source(manifest, path.split, entry)
            drawn = draw_preview(manifest, path.split, source, network, query.stride)
        return Response(drawn, mimetype="image/png")

    return routes


def _chosen_images(browser: Browser, manifest: Manifest, query: ImagesQuery) -> ImageList:
    """A page of those that fit; only the lines of the page are parsed."""
    tables = browser.tables.all_of(manifest)
    if query.split not in tables:
        raise UnknownImage(f"this version has no pictures in {query.split}")
    choice = choose(manifest, tables, query.split, browser.looks, query.class_name, query.finding)
    keys = tables[query.split].keys
    chosen, token = page(
        choice.numbers.tolist(), query.page_size, query.page_token, lambda number: keys[number]
    )
    index = browser.api.gallery.index(manifest, query.split)
    return ImageList(
        items=[ImageResponse(split=query.split, **index[number]) for number in chosen],
        next_page_token=token,
        matched=len(choice.numbers),
        examples_only=not choice.complete,
    )
