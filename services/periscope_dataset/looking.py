"""What the grid does to whole splits, kept: of a hundred thousand pictures it takes a while to find out."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from detectnet.sizes import STRIDE
from periscope_dataset.grid import Seen, Size, look_at_boxes
from periscope_dataset.tables import SplitTable, without_small

MAX_KEPT = 32


class Looks:
    """Remembers the last looks; tables never change."""

    def __init__(self, most: int = MAX_KEPT) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[Any, ...], Seen] = OrderedDict()
        self._lock = threading.Lock()

    def at(
        self,
        table: SplitTable,
        options: Mapping[str, Any],
        network: Size,
        stride: int = STRIDE,
        smallest_px: float = 0.0,
    ) -> Seen:
        """Masks over the split's boxes; smaller ones than ``smallest_px`` are don't care.

        Raises IllegalSize.
        """
        name = (table.content, json.dumps(options["pad"]), network, stride, smallest_px)
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
        boxes = without_small(table.boxes, smallest_px)[0]
        seen = look_at_boxes(boxes, table.sizes, options, network, stride)
        with self._lock:
            self._kept[name] = seen
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return seen
