#!/usr/bin/env python3
"""An example of a program of your own: detect in a camera's pictures, and follow the robot's current model.

Needs jetson-inference's Python modules. The link is looked at between two pictures, and the network is loaded anew when
it has moved; until that is done, the old one is in use. Everything is opened below the folder that the link names at
that moment, so that two models are never mixed.
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import detector

CURRENT = os.path.join(detector.DEFAULT_ROOT, "current")
LOOK_EVERY_FRAMES = 30


def load(folder):
    """The network of a model's folder, by the very words of its command line."""
    import jetson_inference  # Not at the top, so that this file can be read on any machine.

    name, words = detector.command_line(folder)
    threshold = detector.load_model(folder)["thresholds"]["coverage"]
    os.chdir(folder)  # The words name files of this folder, and TensorRT keeps its engine there.
    return jetson_inference.detectNet(argv=words[1:], threshold=threshold)


class CurrentNetwork:
    """The network of the current model; loaded when it is first asked for, and when the link has moved."""

    def __init__(self, link=CURRENT, load=load):
        self._link = link
        self._load = load
        self._folder = None
        self._network = None

    def get(self):
        folder = os.path.realpath(self._link)
        if folder != self._folder:
            try:
                self._network = self._load(folder)
                self._folder = folder
            except Exception as error:
                if self._network is None:
                    raise
                print("the new model cannot be loaded, the old one stays: %s" % error, file=sys.stderr)
                self._folder = folder  # Until the link moves again.
        return self._network


def main():
    """Print each picture's detections as a line of JSON."""
    import jetson_utils

    camera = jetson_utils.videoSource(sys.argv[1] if len(sys.argv) > 1 else "csi://0")
    current = CurrentNetwork()
    frame = 0
    network = current.get()
    while camera.IsStreaming():
        image = camera.Capture()
        if image is None:
            continue
        if frame % LOOK_EVERY_FRAMES == 0:
            network = current.get()
        frame += 1
        found = network.Detect(image, overlay="none")
        boxes = [[box.ClassID, box.Confidence, box.Left, box.Top, box.Right, box.Bottom] for box in found]
        print(json.dumps({"frame": frame, "boxes": boxes}), flush=True)


if __name__ == "__main__":
    main()
