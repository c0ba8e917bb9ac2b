"""Why each finding matters to DetectNet, and what to do; listed in ``docs/dataset-findings.md`` too."""

from __future__ import annotations

from typing import NamedTuple


class Explanation(NamedTuple):
    """What is true of all findings of one code."""

    why: str
    advice: str


_ARCHIVE = "Nothing of an archive that is not whole and safe is used: half a data set trains half a network."
_PAIR = "A picture without label would teach the network that nothing is on it."

EXPLANATIONS: dict[str, Explanation] = {
    # The archive as a whole: no version is made.
    "archive_damaged": Explanation(_ARCHIVE, "Send a whole .zip, .tar or .tar.gz file without a password."),
    "archive_too_big": Explanation(_ARCHIVE, "Split it into several data sets, or pack it as .tar.gz."),
    "bomb": Explanation(
        _ARCHIVE, "Pack pictures as PNG or JPEG; they hardly shrink, so neither may the archive."
    ),
    "link": Explanation(_ARCHIVE, "Pack the files themselves: tar --dereference --hard-dereference."),
    "unsafe_path": Explanation(_ARCHIVE, "Pack the data set's folder itself, with relative names and /."),
    "unsafe_name": Explanation(_ARCHIVE, "Give the file a short name of plain letters."),
    "duplicate_member": Explanation(_ARCHIVE, "Pack each file once."),
    "member_too_big": Explanation(_ARCHIVE, "Make the file smaller, or leave it out."),
    "layout": Explanation(
        "Pictures must find their labels, and validation must be apart from training.",
        "Pack train/images, train/labels, val/images and val/labels, in any one folder.",
    ),
    "annotations": Explanation(_ARCHIVE, "Export the data set as COCO object detection anew."),
    "upload_missing": Explanation(_ARCHIVE, "Upload the archive again."),
    "source_changed": Explanation(_ARCHIVE, "Ingest again once all is copied."),
    "base_missing": Explanation(_ARCHIVE, "Name a base version that is there."),
    "given_up": Explanation(_ARCHIVE, "Ask who runs the service, then upload the archive again."),
    # Single files that cannot be used: no version is made.
    "image": Explanation(
        "The training program decodes every picture; one that fails would end the job hours later.",
        "Save it again as an 8-bit PNG or JPEG, or remove it with its label.",
    ),
    "image_exceeds_pad": Explanation(
        "Padding adds at the right and bottom; it cannot take away.",
        "Pad to at least the largest picture, or leave the padding out.",
    ),
    "label": Explanation(
        "DIGITS failed the whole job at such a line.",
        "A KITTI line has a type and 14 numbers, or 15 with a score, with spaces between, in UTF-8.",
    ),
    "duplicate_name": Explanation(
        "A picture and its label are joined by their name, so it must be clear which.",
        "Give every picture of a split a name of its own.",
    ),
    "empty_split": Explanation(
        "Without validation pictures nobody can tell whether the network learns.",
        "Put some pictures and labels into train and val.",
    ),
    "label_missing": Explanation(_PAIR, "Add the label; an empty file says that nothing is on the picture."),
    "unknown_class": Explanation(
        "DIGITS took an unknown type for don't care: a misspelt class was never learnt, and mAP stayed 0.",
        "Add the class to the list, or rename it in the label (dontcare leaves it out).",
    ),
    "no_boxes": Explanation(
        "From pictures without any object of a class the network learns to see nothing.",
        "Check the labels and the list of classes.",
    ),
    "too_many_classes": Explanation(
        "Each class is a channel of the coverage grid; hundreds mean that column 1 is no class.",
        "List the classes you want, and rename the others to dontcare.",
    ),
    # The whole: a version is made; what is an error keeps training jobs from it until overridden.
    "class_not_in_train": Explanation(
        "A class without a training object has a coverage channel that only ever learns 0; its mAP stays 0.",
        "Label some in the training pictures, or leave the class out.",
    ),
    "class_missing": Explanation(
        "Without validation objects the class's mAP is 0 however well it is learnt, and draws the mean down.",
        "Move some pictures with the class to val, or leave it out.",
    ),
    "boxes_normalised": Explanation(
        "KITTI boxes are in pixels. Boxes from 0 to 1 lie in the picture's first pixel and cover nothing.",
        "Multiply columns 5-8 by the picture's width and height, or send the YOLO export as it is.",
    ),
    "box_outside": Explanation(
        "A box beyond the edge has its coverage elsewhere; most of them: labels of another size.",
        "Check that the labels were made for pictures of this size.",
    ),
    "empty_box": Explanation(
        "A box without area covers no cell and is not learnt; when most are, columns 7-8 are sizes.",
        "Columns 5-8 are left, top, right, bottom in pixels.",
    ),
    "class_too_low": Explanation(
        "Clustering drops boxes lower than 22 pixels of the network's input, so none is ever found.",
        "Train at a larger input size, or crop the pictures around the objects.",
    ),
    "box_low": Explanation(
        "Clustering drops boxes lower than 22 pixels of the network's input: they count as missed.",
        "Train at a larger input size, or mark such objects dontcare.",
    ),
    "class_hidden": Explanation(
        "Each grid cell belongs to one object. The class keeps no cell, so nothing is learnt.",
        "Train at a larger input size, or look whether other labels cover these objects.",
    ),
    "box_hidden": Explanation(
        "Each grid cell belongs to one object; these lie outside or under nearer ones and keep none.",
        "Train at a larger input size where many are lost; look at the preview.",
    ),
    "all_small": Explanation(
        "Validation objects below val_min_box_size become don't care. With none left, mAP is always 0.",
        "Lower val_min_box_size (0 switches it off).",
    ),
    "leak": Explanation(
        "Validation with pictures from training measures memory, and tells nothing about the pool.",
        "Remove the pictures from one of both, or split anew.",
    ),
    "near_leak": Explanation(
        "Neighbouring frames of one video in train and val measure memory nearly as well as equal ones.",
        "Split by dive or video, not by frame.",
    ),
    "duplicate_image": Explanation(
        "A picture that occurs several times counts several times, perhaps with other labels.",
        "Keep one of them.",
    ),
    "near_duplicate": Explanation(
        "Frames of one video that hardly differ teach little more than one of them, and take as long.",
        "Keep every tenth frame or so; split by dive (group_by folder or sequence).",
    ),
    "duplicate_box": Explanation(
        "Of two equal boxes the second is hidden by the first, and counts as missed in validation.",
        "Remove one of them.",
    ),
    "touching_boxes": Explanation(
        "jetson-inference grows a detection by every box of its class that touches it, so these become one.",
        "Expect one box for a group on the robot, or label groups as one where that serves.",
    ),
    "imbalance": Explanation(
        "The loss sums over cells, so a class with a twentieth of another's objects hardly moves it.",
        "Add pictures of the rare class.",
    ),
    "few_boxes": Explanation(
        "Below ten training objects a class is learnt by heart, and found nowhere else.",
        "Label more of them.",
    ),
    "few_val": Explanation(
        "With few validation pictures mAP jumps by chance, and the best epoch is picked by luck.",
        "Keep about a tenth of the pictures, ten at the least, for validation.",
    ),
    "mostly_empty": Explanation(
        "Where nine of ten pictures show nothing, predicting nothing is nearly right, and that may stay.",
        "Leave most of the empty pictures out at first.",
    ),
    "mixed_sizes": Explanation(
        "All pictures of a batch have one size. Without padding or resizing the job must be told which.",
        "Give pad or resize, or the input of the training job.",
    ),
    "size_not_multiple": Explanation(
        "DetectNet halves its input four times, so both sides must be multiples of 16.",
        "Give a resize, or the input of the training job; it is squashed to that.",
    ),
    "squashed": Explanation(
        "The resize changes the shape of things by more than a quarter.",
        "Resize to the pictures' own shape.",
    ),
    "exif_rotated": Explanation(
        "The camera says that the picture is to be turned. Annotation tools may turn it, training does not.",
        "Save the pictures turned, then check boxes in the gallery.",
    ),
    "cmyk": Explanation(
        "Pictures for print are converted by guesswork; their colours differ from the robot's camera.",
        "Save them as RGB.",
    ),
    "image_missing": Explanation("The label is not used.", "Add the picture, or remove the label."),
    "ignored": Explanation(
        "The file is not used.",
        "Save pictures as PNG or JPEG and put labels beside them as the format wants.",
    ),
}
