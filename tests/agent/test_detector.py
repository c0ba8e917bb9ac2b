import contextlib
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

from agent_case import AGENT_PATH, AgentCase, build_zip, members_of, model_files

DETECTOR_PATH = os.path.join(os.path.dirname(AGENT_PATH), "detector.py")
CAFFE_LINE = ["detectnet", "--prototxt=deploy.prototxt", "--model=snapshot_iter_540.caffemodel"]
FLAVOURS = {
    "caffe": {"tensorrt": {"below": "10"}, "command_line": CAFFE_LINE},
    "trt8": {"tensorrt": {"from": "7", "below": "10"}, "command_line": ["detectnet", "--model=trt8.onnx"]},
    "trt10": {"tensorrt": {"from": "10"}, "command_line": ["detectnet", "--model=trt10.onnx"]},
    "grid": {"model": "grid.onnx"},
}
GOLDEN = {"image": "golden/image.png", "expected": "golden/expected.json"}
EXPECTED = [
    {"class": 0, "label": "buoy", "confidence": 0.9, "xyxy": [10.0, 20.0, 50.0, 60.0]},
    {"class": 1, "label": "gate", "confidence": 0.8, "xyxy": [100.0, 20.0, 180.0, 90.0]},
]

# Says what a stock detectnet says of each box, and notes how it was started.
DETECTNET = """#!/bin/sh
echo "$PWD $*" >> {folder}/started
cat {folder}/says
exit {code}
"""
DPKG_QUERY = """#!/bin/sh
case "$4" in
  {package}) printf 'install ok installed\\t{version}' ;;
  *) exit 1 ;;
esac
"""


def load_detector():
    spec = importlib.util.spec_from_file_location("detector", DETECTOR_PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


detector = load_detector()


def says(boxes, first=0):
    """The lines of jetson-inference's detectnet."""
    lines = ["detected %d objects in image" % len(boxes)]
    for number, box in enumerate(boxes):
        about = (number, box["class"] + first, box["label"], box["confidence"])
        x1, y1, x2, y2 = box["xyxy"]
        lines.append("\ndetected obj %i  class #%u (%s)  confidence=%f" % about)
        lines.append(
            "bounding box %i  (%.2f, %.2f)  (%.2f, %.2f)  w=%.2f  h=%.2f"
            % (number, x1, y1, x2, y2, x2 - x1, y2 - y1)
        )
    return "\n".join(lines) + "\n"


def jetson_files():
    """The members of a zip as the training service makes it, as far as the robot looks at them."""
    expected = {"threshold": 0.5, "boxes": EXPECTED}
    files = dict(model_files(1, 1000))
    files["model.json"] = json.dumps({"flavours": FLAVOURS, "golden": GOLDEN}).encode()
    files["golden/expected.json"] = json.dumps(
        {"flavours": dict.fromkeys(("caffe", "trt8", "trt10"), expected)}
    ).encode()
    return files


class Machine:
    """A folder of programs that stands for what is installed on a robot."""

    def __init__(self, folder):
        self.folder = folder
        self.path = os.path.join(folder, "bin")
        os.mkdir(self.path)

    def add(self, name, text):
        path = os.path.join(self.path, name)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, 0o755)

    def has_tensorrt(self, version, package="libnvinfer8"):
        self.add("dpkg-query", DPKG_QUERY.format(package=package, version=version))

    def has_detectnet(self, said, code=0):
        with open(os.path.join(self.folder, "says"), "w") as file:
            file.write(said)
        self.add("detectnet", DETECTNET.format(folder=self.folder, code=code))

    def started(self):
        with open(os.path.join(self.folder, "started")) as file:
            return file.read().splitlines()


class DetectorCase(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.machine = Machine(self.folder)
        self.model = os.path.join(self.folder, "releases", "1-0123456789ab")
        for name, content in jetson_files().items():
            path = os.path.join(self.model, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)
        os.symlink(os.path.join("releases", "1-0123456789ab"), os.path.join(self.folder, "current"))

    def run_detector(self, *arguments, **environ):
        path = self.machine.path + ":/usr/bin:/bin"
        command = [sys.executable, "-B", DETECTOR_PATH, "--agent-root", self.folder] + list(arguments)
        done = subprocess.run(
            command, env=dict(environ, PATH=path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60
        )
        self.out, self.err = done.stdout.decode(), done.stderr.decode()
        return done.returncode


class Commands(DetectorCase):
    def test_a_machine_without_jetson_inference_says_69(self):
        self.machine.has_tensorrt("8.5.2-1+cuda11.4")
        for command in ("warm-up", "smoke-test", "run", "command"):
            self.assertEqual(self.run_detector(command), 69)
            self.assertIn("jetson-inference", self.err)

    def test_a_machine_without_tensorrt_says_69(self):
        self.machine.has_detectnet("")

        self.assertEqual(self.run_detector("warm-up"), 69)
        self.assertIn("TensorRT", self.err)

    def test_run_becomes_detectnet_in_the_models_own_folder(self):
        self.machine.has_tensorrt("8.2.1-1+cuda10.2")
        self.machine.has_detectnet("", code=7)

        self.assertEqual(self.run_detector("run", "csi://0", "display://0"), 7)
        words = " ".join([self.model] + CAFFE_LINE[1:] + ["csi://0", "display://0"])
        self.assertEqual(self.machine.started(), [words])

    def test_the_release_that_the_agent_names_is_warmed_up_with_the_same_words(self):
        self.machine.has_tensorrt("8.2.1")
        self.machine.has_detectnet("")
        other = self.model + "-2"
        shutil.copytree(self.model, other)

        self.assertEqual(self.run_detector("warm-up", PERISCOPE_MODEL=other), 0, self.err)
        self.assertTrue(self.machine.started()[0].startswith(" ".join([other] + CAFFE_LINE[1:])))
        self.assertIn(" golden/image.png ", self.machine.started()[0])

    def test_tensorrt_10_gets_its_own_file(self):
        self.machine.has_tensorrt("10.3.0.30-1+cuda12.5", package="libnvinfer10")
        self.machine.has_detectnet("")

        self.assertEqual(self.run_detector("command"), 0, self.err)
        self.assertEqual(self.out, "cd %s && detectnet --model=trt10.onnx\n" % self.model)

    def test_a_model_without_a_file_for_this_tensorrt_is_told(self):
        self.machine.has_tensorrt("10.3.0", package="libnvinfer10")
        self.machine.has_detectnet("")
        few = {name: FLAVOURS[name] for name in ("caffe", "trt8", "grid")}
        with open(os.path.join(self.model, "model.json"), "w") as file:
            json.dump({"flavours": few, "golden": GOLDEN}, file)

        self.assertEqual(self.run_detector("command"), 65)
        self.assertIn("10.3.0", self.err)

    def test_probe_tells_what_is_installed(self):
        self.machine.has_tensorrt("8.5.2-1+cuda11.4")

        self.assertEqual(self.run_detector("probe"), 0)
        self.assertEqual(json.loads(self.out)["tensorrt"], "8.5.2-1+cuda11.4")

    def test_versions_compare_as_numbers(self):
        for tensorrt, flavour in (
            ("7.1.3", "caffe"),
            ("8.6.2.3-1", "caffe"),
            ("9.9", "caffe"),
            ("10.0", "trt10"),
        ):
            self.assertEqual(detector.choose_flavour(FLAVOURS, tensorrt), flavour)


class SmokeTest(DetectorCase):
    def setUp(self):
        super().setUp()
        self.machine.has_tensorrt("8.5.2")

    def verdict(self, boxes, first=0, code=0):
        self.machine.has_detectnet(says(boxes, first), code)
        return self.run_detector("smoke-test")

    def test_the_expected_boxes_pass(self):
        self.assertEqual(self.verdict(EXPECTED), 0, self.err)

    def test_boxes_a_little_beside_pass(self):
        moved = [dict(box, xyxy=[side + 3 for side in box["xyxy"]]) for box in EXPECTED]

        self.assertEqual(self.verdict(moved), 0, self.err)

    def test_onnx_files_count_the_background_as_a_class(self):
        self.machine.has_tensorrt("10.3.0", package="libnvinfer10")

        self.assertEqual(self.verdict(EXPECTED, first=1), 0, self.err)
        self.assertEqual(self.verdict(EXPECTED, first=0), 1)

    def test_a_missing_box_is_named(self):
        self.assertEqual(self.verdict(EXPECTED[:1]), 1)
        self.assertIn("missing", self.err)

    def test_a_box_too_much_is_named(self):
        extra = {"class": 0, "label": "buoy", "confidence": 0.95, "xyxy": [300.0, 300.0, 340.0, 340.0]}

        self.assertEqual(self.verdict(EXPECTED + [extra]), 1)
        self.assertIn("too much", self.err)

    def test_a_box_of_another_class_or_place_is_both(self):
        for change in ({"class": 0}, {"xyxy": [400.0, 400.0, 480.0, 470.0]}):
            self.assertEqual(self.verdict([EXPECTED[0], dict(EXPECTED[1], **change)]), 1)
            self.assertIn("missing", self.err)
            self.assertIn("too much", self.err)

    def test_what_is_near_the_threshold_may_come_or_go(self):
        near = {"class": 0, "label": "buoy", "confidence": 0.53, "xyxy": [300.0, 300.0, 340.0, 340.0]}

        self.assertEqual(self.verdict(EXPECTED + [near]), 0, self.err)

    def test_nothing_said_is_a_failure(self):
        self.assertEqual(self.verdict([]), 1)

    def test_a_detectnet_that_fails_is_told(self):
        self.assertEqual(self.verdict(EXPECTED, code=3), 3)


class WithTheAgent(AgentCase):
    """The two programs together: the configuration that the example gives."""

    def setUp(self):
        super().setUp()
        self.machine = Machine(self.folder)
        self.machine.has_tensorrt("8.5.2")
        path = "%s:%s" % (self.machine.path, os.environ["PATH"])
        patch = unittest.mock.patch.dict(os.environ, {"PATH": path})
        patch.start()
        self.addCleanup(patch.stop)
        program = [sys.executable, "-B", DETECTOR_PATH]
        for key, word in (("probe", "probe"), ("warm_up", "warm-up"), ("smoke_test", "smoke-test")):
            self.settings[key] = program + [word]

    def offer_model(self):
        files = jetson_files()
        body = build_zip(files)
        self.simulator.offer(1, body, members_of(body))
        return files

    def test_a_model_that_sees_what_it_should_comes_into_use(self):
        self.machine.has_detectnet(says(EXPECTED))
        files = self.offer_model()

        self.assertEqual(self.run_agent("once"), 0, self.log)
        self.assert_in_use(files)
        self.assertEqual(self.simulator.inventories[-1]["tensorrt"], "8.5.2")
        states = [report["state"] for report in self.simulator.reports]
        self.assertEqual(states, ["downloading", "unpacking", "warming", "smoke_tested", "active"])

    def test_a_model_that_sees_something_else_does_not(self):
        self.machine.has_detectnet(says(EXPECTED[:1]))
        self.offer_model()
        with contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(self.run_agent("once"), 65)

        self.assertIsNone(self.files_in_use())
        self.assertEqual(self.simulator.reports[-1]["reason"], "smoke_test")
